"""What computes a model's answers: PyTorch or onnxruntime, behind one set of functions."""

from importlib.util import find_spec
from typing import Literal, Protocol

from moclip.base.errors import MoclipError
from moclip.heads.fitted import Fitted
from moclip.predict.bundle import ModelFiles
from moclip.predict.parts import Clip, Motion, Parts

Engine = Literal["auto", "torch", "onnx"]
"""PyTorch or onnxruntime; `auto` is PyTorch where it is installed."""


class Loader(Protocol):
    """A module that loads the parts of a model; each raises a StoreError where its part is missing or torn."""

    def load_parts(self, files: ModelFiles, asked: str) -> Parts:
        """What a head needs, and the heads on one of its streams alone that are there."""

    def load_clip(self, files: ModelFiles) -> Clip:
        """Both towers of CLIP."""

    def motion_of(self, files: ModelFiles) -> Motion:
        """The motion network."""

    def load_head(self, files: ModelFiles, head: str) -> Fitted:
        """A head."""

    def digests(self, files: ModelFiles) -> tuple[object, object]:
        """What stands for the weights of CLIP and of the motion network."""


def loader_of(engine: Engine) -> Loader:
    """The module of an engine.

    Raises:
        MoclipError: PyTorch is asked for and not installed.
    """
    has_torch = find_spec("torch") is not None
    if engine == "onnx" or (engine == "auto" and not has_torch):
        from moclip.predict import runtime

        return runtime
    if not has_torch:
        raise MoclipError("PyTorch is not installed; `pip install 'moclip[train]'` brings it, or take --engine onnx")
    from moclip.predict import loading  # PyTorch takes seconds

    return loading
