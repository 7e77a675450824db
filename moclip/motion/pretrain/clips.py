"""Clips and crops that hold what moves, drawn from one video at a time. NumPy alone.

A clip is named by its first frame. Queries come from one half of a video, keys from the other one.

Source: MCL (arXiv 2201.04029), `clip_transforms.py` and `motion_sts.py` of its code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moclip.motion.maps import COARSE
from moclip.video.crop import Box

AREA = (0.2, 1.0)  # of a crop, as a share of the picture
RATIO = (3 / 4, 4 / 3)  # of its share of the width to its share of the height
SIZES, PLACES = 20, 40  # crops that are drawn before the best of them has to do
COVERED = ((4, 0.9), (8, 0.8), (12, 0.7))  # a box of at most so many coarse places is in the crop by that share
WHOLE = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Clips:
    """Starts of a query's clip and of two others, from the other half of the video.

    Attributes:
        query: First frame of the query, and of its own key.
        others: First frames of the other two keys.
        is_first: Whether the query's half is the first one.
    """

    query: int
    others: tuple[int, int]
    is_first: bool


def draw_clips(energy: np.ndarray, span: int, share: float, top: float, rng: np.random.Generator) -> Clips:
    """Clips of `span` frames of a video.

    Args:
        energy: Of each frame, as `moclip.motion.maps.boundary_energy` gives it.
        span: Frames from the first to the last field of a clip, both counted.
        share: Chance that a start is one of the best, where the clip's mean energy is highest.
        top: Share of a half's starts that are the best.
        rng: Source of the draws.
    """
    halves = starts_of_halves(len(energy), span)
    is_first = bool(rng.integers(2))
    own, other = halves if is_first else halves[::-1]
    query, *others = (draw_start(energy, starts, span, share, top, rng) for starts in (own, other, other))
    return Clips(query, (others[0], others[1]), is_first)


def starts_of_halves(frames: int, span: int) -> tuple[range, range]:
    """First frames of the clips within each half of a video; a half that is shorter than a clip has one.

    >>> starts_of_halves(36, 5)
    (range(0, 14), range(18, 32))
    """
    middle = frames // 2
    first = range(0, max(1, middle - span + 1))
    second = range(middle, middle + max(1, frames - middle - span + 1))
    return first, second


def draw_start(energy: np.ndarray, starts: range, span: int, share: float, top: float, rng: np.random.Generator) -> int:
    """One of the starts: with chance `share` of the best `top` of them, else of all."""
    candidates = best_starts(energy, starts, span, top) if rng.random() < share else starts
    return int(candidates[int(rng.integers(len(candidates)))])


def best_starts(energy: np.ndarray, starts: range, span: int, top: float) -> Sequence[int]:
    """The `top` share of the starts, one or more, whose clips have the highest mean energy; of equals the earlier."""
    summed = np.concatenate([[0.0], np.cumsum(energy, dtype=np.float64)])
    ends = np.minimum(np.array(starts) + span, len(energy))
    means = (summed[ends] - summed[np.array(starts)]) / (ends - np.array(starts))
    order = np.argsort(-means, kind="stable")[: max(1, round(top * len(starts)))]
    found: list[int] = (order + starts.start).tolist()
    return found


def frames_of(start: int, fields: int, stride: int, frames: int) -> np.ndarray:
    """Frames of a clip's fields; beyond a video's end its last frame stands for those that are missing."""
    return np.minimum(start + stride * np.arange(fields), frames - 1)


def draw_crop(box: Box | None, rng: np.random.Generator) -> Box:
    """A random part of a picture that holds the box, by the share that its size asks for; any part without a box.

    Of 20 sizes each is tried at 40 places, and the place that covers most of the box is taken where that suffices. If
    none does, the best of all is taken.
    """
    needed = 0.0 if box is None else covered_share(box)
    best, best_covered = WHOLE, -1.0
    for _ in range(SIZES):
        area, ratio = rng.uniform(*AREA), math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if width > 1 or height > 1:
            continue
        corners = rng.random((PLACES, 2)) * (1 - width, 1 - height)
        covered = np.zeros(PLACES) if box is None else covered_by(box, corners, width, height)
        place = int(covered.argmax())
        if covered[place] > best_covered:
            left, top = corners[place].tolist()
            best, best_covered = Box(left, top, left + width, top + height), float(covered[place])
        if best_covered >= needed:
            break
    return best


def covered_share(box: Box) -> float:
    """By how much a crop has to cover a box: the more, the smaller it is; a large one is free."""
    places = round(box.width * COARSE) * round(box.height * COARSE)
    return next((share for most, share in COVERED if places <= most), 0.0)


def covered_by(box: Box, corners: np.ndarray, width: float, height: float) -> np.ndarray:
    """Share of the box that lies in each crop of a size, by its left upper corner (m, 2)."""
    across = np.minimum(corners[:, 0] + width, box.right) - np.maximum(corners[:, 0], box.left)
    down = np.minimum(corners[:, 1] + height, box.bottom) - np.maximum(corners[:, 1], box.top)
    found: np.ndarray = across.clip(0) * down.clip(0) / (box.width * box.height)
    return found
