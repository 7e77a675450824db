"""Splits whose videos have frames, for tests of heads on frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moclip.data.splits import Member, Split
from moclip.heads.fitted import ClassTexts, Videos

FACTS = {"rule": "uniform:8", "select": "uniform", "keep": None, "order": "time", "frames": 8, "looked_at": 8}


@dataclass(frozen=True)
class Array:
    """A stream of frames from an array (n, t, ...) in the order of the ids."""

    ids: Sequence[str]
    values: np.ndarray
    facts: Mapping[str, Any]

    def of(self, ids: Sequence[str]) -> np.ndarray:
        places = {video: place for place, video in enumerate(self.ids)}
        return self.values[[places[video] for video in ids]]


def members(count: int, classes: int) -> list[Member]:
    parts = ("train", "train", "train", "val", "test")
    return [Member(f"v{i:03}", i % classes, parts[(i // classes) % 5], f"g{i:03}") for i in range(count)]


def videos(
    streams: Mapping[str, np.ndarray], classes: int, texts: np.ndarray | None = None, scale: float = 20.0
) -> Videos:
    """Videos v000 and on, of classes 0, 1, ... in turn."""
    count = len(next(iter(streams.values())))
    own = members(count, classes)
    ids = [member.id for member in own]
    split = Split(own, [f"C{label}" for label in range(classes)])
    of_classes = None if texts is None else ClassTexts(texts.astype(np.float32), scale)
    return Videos(split, {name: Array(ids, values, FACTS) for name, values in streams.items()}, of_classes)


def in_two_orders(count: int = 160, frames: int = 8, width: int = 16, noise: float = 0.3) -> dict[str, np.ndarray]:
    """Two patterns, one in each half of a video; the class is which comes first, so a mean over time tells nothing."""
    rng = np.random.default_rng(0)
    first, second = np.linalg.qr(rng.normal(size=(width, 2)))[0].T
    label = np.arange(count) % 2
    half = np.arange(frames) < frames // 2
    early = np.where(label[:, None] == 0, half, ~half)
    values = np.where(early[..., None], first, second) + rng.normal(0, noise / width**0.5, (count, frames, width))
    grid = np.repeat(np.repeat(values[:, :, None, None], 2, axis=2), 2, axis=3)
    return {"frames": values.astype(np.float16), "grid": grid.astype(np.float16)}


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)
