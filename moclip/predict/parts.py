"""What a predictor asks, whatever computes it: heads, a motion network, CLIP's picture tower.

Axes: n video, d feature.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from moclip.base.errors import StoreError
from moclip.data.splits import Split
from moclip.heads.fitted import Fitted, Videos
from moclip.heads.registry import HEADS, in_order, module_of, servable
from moclip.motion.grid import MotionGrid
from moclip.params.motion_net import MotionInput
from moclip.predict.bundle import ModelFiles


class NoPartError(StoreError):
    """A part of the model that the engine has not, with the reason."""


class Motion(Protocol):
    """A motion network, and how a video becomes what it takes."""

    @property
    def made_for(self) -> MotionInput:
        """What the network was made for."""

    def describe(self, name: str, grid: MotionGrid) -> np.ndarray:
        """Features (1, d) of a video of this name."""

    def single(self, fields_px: np.ndarray) -> np.ndarray:
        """Features of single fields (n, 2, gh, gw) in pixels, float32 (n, d); a video's are their mean."""


class Pictures(Protocol):
    """CLIP's picture tower with its preprocessing."""

    def images(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Projected features, not normalised, (n, d) float32, of RGB frames (h, w, 3) uint8."""


class Clip(Pictures, Protocol):
    """Both towers of CLIP."""

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Projected features, not normalised, (n, d) float32."""

    def read_part(self, text: str) -> str:
        """As much of a text, from its start, as the text tower reads."""


@dataclass(frozen=True)
class Parts:
    """What answers: heads by name, in the order of all tables, and what they need of motion network and CLIP."""

    heads: Mapping[str, Fitted]
    motion: Motion | None
    encoder: Pictures | None


def answering(asked: str, load: Callable[[str], Fitted], is_there: Callable[[str], bool]) -> dict[str, Fitted]:
    """The head that is asked, and of those on one of its streams alone the ones that are there."""
    found = {asked: load(asked)}
    streams = set(found[asked].streams)
    for head in servable():
        if head != asked and streams & set(HEADS[head].streams) and is_there(head):
            fitted = load(head)
            if len(fitted.streams) == 1 and set(fitted.streams) <= streams:
                found[head] = fitted
    return {head: found[head] for head in in_order(found)}


def of_class_texts(files: ModelFiles, head: str) -> Fitted:
    """A head that is the likeness to the classes' texts.

    Raises:
        StoreError: the model has no text features.
    """
    if files.texts is None:
        raise StoreError(f"no text features of the classes, which {head} needs; {files.remedy}")
    videos = Videos(Split((), files.classes), {}, files.texts)
    fitted: Fitted = module_of(head).fit(videos, None, (0, head, files.split))
    return fitted
