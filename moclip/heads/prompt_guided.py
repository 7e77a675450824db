"""The head `prompt_guided`: zero-shot in which each class's prompt chooses frames, and a region in each.

Nothing is trained.

After Free Video-LLM (arXiv 2410.10441), whose question is here "is this class c?". The rule sees all classes alike, the
true one is never told. Its code crops a map of 24 x 12 places as if it were 12 x 24; here the map is what it is.

Axes: n video, t frame, g places a side, d joint space, k class.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.files import read_json, read_npz, write_json, write_npz
from moclip.heads.fitted import ClassTexts, Cost, Fitted, Seed, Videos
from moclip.heads.frames import FRAMES, GRID, facts_of
from moclip.params.heads.prompt_guided import PromptGuidedParams
from moclip.video.frames import segment_points

TEXTS, CONFIG = "texts.npz", "config.json"


@dataclass
class PromptGuided(Fitted):
    """CLIP itself, looking where the prompt says."""

    texts: ClassTexts
    params: PromptGuidedParams
    facts: Mapping[str, Any]
    streams = (FRAMES, GRID)

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of frames (n, t, d) and their grids (n, t, g, g, d)."""
        pairs = zip(inputs[FRAMES], inputs[GRID], strict=True)
        found = [scores(frames, grid, self.texts, self.params) for frames, grid in pairs]
        return np.array(found, dtype=np.float32).reshape(-1, len(self.texts.features))

    def save(self, directory: Path) -> None:
        """Write the text features, the parameters, and how frames were chosen."""
        scale = np.array(self.texts.logit_scale)
        write_npz(directory / TEXTS, features=self.texts.features, logit_scale=scale)
        write_json(directory / CONFIG, {"params": self.params.model_dump(), "frames": dict(self.facts)})

    def cost(self) -> Cost:
        """A product of each text with each frame; those with places are left out, as their number hangs on the map."""
        return Cost(0, self.texts.features.size * int(self.facts.get("frames", 1)))


def fit(videos: Videos, params: PromptGuidedParams, seed: Seed, **_: Any) -> PromptGuided:
    """Take the text features of the classes.

    Raises:
        StoreError: there are none, as with precomputed image features alone.
    """
    if videos.texts is None:
        raise StoreError("prompt_guided needs text features of the classes, and there are none; take it out of `heads`")
    return PromptGuided(videos.texts, params, facts_of(videos))


def load(directory: Path) -> PromptGuided:
    """Read what `PromptGuided.save` wrote.

    Raises:
        StoreError: a file is missing or damaged.
    """
    arrays, config = read_npz(directory / TEXTS, "features", "logit_scale"), read_json(directory / CONFIG)
    texts = ClassTexts(arrays["features"], float(arrays["logit_scale"]))
    return PromptGuided(texts, PromptGuidedParams(**config["params"]), config["frames"])


def scores(frames: np.ndarray, grid: np.ndarray, texts: ClassTexts, params: PromptGuidedParams) -> np.ndarray:
    """Logits (k,) of one video: the mean over paths of the mean over their frames of the cosine with the class.

    Args:
        frames: Features of its frames (t, d), of any length.
        grid: Tokens of its frames (t, g, g, d).
        texts: Of the classes.
        params: Paths: `slow` takes the frames that are most like each class, `middle` some at equal distances, both by
            the region most like it; `fast` takes all frames whole.
    """
    whole = _unit(frames.astype(np.float32)) @ texts.features.T  # (t, k)
    count, classes = whole.shape
    by_region = whole if params.region == 1 else region_likeness(grid.astype(np.float32), texts.features, params.region)
    paths: list[np.ndarray] = []
    weights: list[float] = []
    places = window_side(grid.shape[1], params.region) ** 2
    if params.slow:
        best = np.argsort(-whole, axis=0, kind="stable")[: params.slow]  # (slow, k): ties to the earlier frame
        paths.append(np.take_along_axis(by_region, best, axis=0).mean(axis=0))
        weights.append(len(best) * places)
    if params.middle:
        points = segment_points(count, min(params.middle, count))
        paths.append(by_region[points].mean(axis=0))
        weights.append(len(points) * places)
    if params.fast:
        paths.append(whole.mean(axis=0))
        weights.append(count)
    share = np.array(weights if params.paths == "tokens" else np.ones(len(weights)))
    logits: np.ndarray = texts.logit_scale * np.average(paths, axis=0, weights=share)
    assert logits.shape == (classes,)
    return logits.astype(np.float32)


def region_likeness(grid: np.ndarray, classes: np.ndarray, share: float) -> np.ndarray:
    """Cosine (t, k) of each class with the mean of the unit tokens in the window that it chooses in each frame."""
    tokens = _unit(grid)
    t, g = tokens.shape[:2]
    side, most = window_side(g, share), max(1, math.floor(g * g * share))
    likeness = (tokens @ classes.T).reshape(t, g * g, -1)
    best = np.argsort(-likeness, axis=1, kind="stable")[:, :most]  # (t, most, k)
    tops = [window_start((best // g).mean(axis=1), side, g), window_start((best % g).mean(axis=1), side, g)]  # (t, k)
    sums = np.zeros((t, g + 1, g + 1, tokens.shape[-1]), dtype=np.float64)
    sums[:, 1:, 1:] = tokens.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    frame = np.arange(t)[:, None]
    row, column = tops
    inside = (
        sums[frame, row + side, column + side]
        - sums[frame, row, column + side]
        - sums[frame, row + side, column]
        + sums[frame, row, column]
    )  # (t, k, d)
    likest: np.ndarray = (_unit(inside) * classes).sum(axis=-1)
    return likest.astype(np.float32)


def window_side(side: int, share: float) -> int:
    """Places a side of a square window that holds about a share of a map of `side` by `side`."""
    return max(1, round(side * share**0.5))


def window_start(centres: np.ndarray, window: int, side: int) -> np.ndarray:
    """First row or column of windows around these centres, shifted so that they lie inside.

    >>> window_start(np.array([0.0, 3.0, 6.0]), 3, 7).tolist()
    [0, 2, 4]
    """
    return np.clip(np.floor(centres - (window - 1) / 2 + 0.5).astype(np.int64), 0, side - window)


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
