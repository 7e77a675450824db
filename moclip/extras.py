"""What brings a library that is missing: the extra of moclip whose list in pyproject.toml has it."""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from moclip.base.errors import MoclipError

EXTRAS = {
    "predict": ("onnxruntime", "huggingface_hub", "ftfy", "regex"),
    "train": (
        *("torch", "torchvision", "open_clip", "timm", "pandas", "rarfile", "requests", "sklearn", "scipy"),
        *("threadpoolctl", "urllib3"),
    ),
    "tokenizers": ("transformers",),
    "track": ("mlflow", "sqlalchemy", "fastapi"),
    "pipeline": ("dvc", "jinja2", "markdown_it", "matplotlib"),
    "export": ("onnx", "onnxscript"),
    "cluster": ("distributed",),
    "rar": ("libarchive",),
}
"""Modules by the first extra that brings them."""

_OURS = ("moclip", "stages")


class MissingExtraError(MoclipError, ModuleNotFoundError):
    """A library that an extra of moclip brings is not installed."""


class _NamesExtras:
    """Comes last among those that find modules, so it is asked for what nobody found."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        extra = next((extra for extra, modules in EXTRAS.items() if name in modules), None)
        if extra is not None and _asks_for_itself():
            raise MissingExtraError(f"{name} is not installed; `pip install 'moclip[{extra}]'` brings it", name=name)
        return None


def _asks_for_itself() -> bool:
    """Whether moclip's own code imports, and no other library that can do without."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("importlib._", "_frozen_import")
    ):
        frame = frame.f_back
    return frame.f_globals.get("__name__", "").split(".")[0] in _OURS


def name_extras() -> None:
    """From now on, an import in moclip of what is not installed names the extra."""
    if not any(isinstance(finder, type) and finder.__name__ == _NamesExtras.__name__ for finder in sys.meta_path):
        sys.meta_path.append(_NamesExtras)
