"""The head `prompt_guided`: zero-shot in which each class's prompt chooses frames, and a region in each.

Nothing is trained.

After Free Video-LLM (arXiv 2410.10441), whose question is here "is this class c?". The rule sees all classes alike, the
true one is never told. Its code crops a map of 24 x 12 places as if it were 12 x 24; here the map is what it is, unless
`window: published` asks for the misreading.

Axes: n video, t frame, g places a side, d joint space, k class.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import ParamsError, StoreError
from moclip.base.files import read_json, read_npz, write_json, write_npz
from moclip.heads.fitted import ClassTexts, Cost, Fitted, Seed, Videos
from moclip.heads.frames import FRAMES, GRID, MOVING, facts_of, shapes_of
from moclip.params.heads.prompt_guided import PromptGuidedParams
from moclip.video.frames import segment_points

TEXTS, CONFIG = "texts.npz", "config.json"

log = logging.getLogger(__name__)


@dataclass
class PromptGuided(Fitted):
    """CLIP itself, looking where the prompt says."""

    texts: ClassTexts
    params: PromptGuidedParams
    facts: Mapping[str, Any]

    @property
    def streams(self) -> tuple[str, ...]:
        """Frames and their grids; where they move too, if that places the window."""
        return (FRAMES, GRID, MOVING) if self.params.window == "motion" else (FRAMES, GRID)

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of frames (n, t, d), their grids (n, t, g, g, d) and where they move (n, t, 2)."""
        videos = zip(*(inputs[name] for name in self.streams), strict=True)
        found = [scores(frames, grid, self.texts, self.params, *moving) for frames, grid, *moving in videos]
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
        ParamsError: the grid cannot be misread as the published code does.
    """
    if videos.texts is None:
        raise StoreError("prompt_guided needs text features of the classes, and there are none; take it out of `heads`")
    if params.window == "published":
        _check_pairs(shapes_of(videos, [GRID])[0][1])
    return PromptGuided(videos.texts, params, facts_of(videos))


def _check_pairs(side: int) -> None:
    if side % 2:
        raise ParamsError(
            f"prompt_guided.window: published pools places in pairs along rows, and frames.grid: {side} is odd; take "
            "an even grid, or another window"
        )
    log.warning("prompt_guided.window: published misreads the map as its code does: a region is no region of a frame")


def load(directory: Path) -> PromptGuided:
    """Read what `PromptGuided.save` wrote.

    Raises:
        StoreError: a file is missing or damaged.
    """
    arrays, config = read_npz(directory / TEXTS, "features", "logit_scale"), read_json(directory / CONFIG)
    texts = ClassTexts(arrays["features"], float(arrays["logit_scale"]))
    return PromptGuided(texts, PromptGuidedParams(**config["params"]), config["frames"])


def scores(
    frames: np.ndarray,
    grid: np.ndarray,
    texts: ClassTexts,
    params: PromptGuidedParams,
    moving: np.ndarray | None = None,
) -> np.ndarray:
    """Logits (k,) of one video: the mean over paths of the mean over their frames of the cosine with the class.

    Args:
        frames: Features of its frames (t, d), of any length.
        grid: Tokens of its frames (t, g, g, d).
        texts: Of the classes.
        params: Paths: `slow` takes the frames that are most like each class, `middle` some at equal distances, both by
            the region most like it; `fast` takes all frames whole.
        moving: Where each frame moves (t, 2), shares down and across, for `window: motion` alone.
    """
    whole = _unit(frames.astype(np.float32)) @ texts.features.T  # (t, k)
    count, classes = whole.shape
    by_region, places = whole, grid.shape[1] * grid.shape[2]
    if params.region < 1:
        tokens = misread(grid) if params.window == "published" else grid
        by_region = region_likeness(tokens.astype(np.float32), texts.features, params.region, moving)
        places = math.prod(window_side(side, params.region) for side in tokens.shape[1:3])
    paths: list[np.ndarray] = []
    weights: list[float] = []
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


def region_likeness(
    grid: np.ndarray, classes: np.ndarray, share: float, moving: np.ndarray | None = None
) -> np.ndarray:
    """Cosine (t, k) of each class with the mean of the unit tokens in a window of each frame.

    Args:
        grid: Tokens (t, rows, columns, d).
        classes: Unit features (k, d).
        share: Of the frame's places that the window has.
        moving: Its middle (t, 2), shares down and across; without it, each class chooses: the mean place of the tokens
            most like it.
    """
    tokens = _unit(grid)
    t, rows, columns = tokens.shape[:3]
    height, width = window_side(rows, share), window_side(columns, share)
    down, across = _likest(tokens, classes, share) if moving is None else _places(moving, rows, columns)
    row, column = window_start(down, height, rows), window_start(across, width, columns)  # (t, k), or (t, 1)
    sums = np.zeros((t, rows + 1, columns + 1, tokens.shape[-1]), dtype=np.float64)
    sums[:, 1:, 1:] = tokens.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    frame = np.arange(t)[:, None]
    inside = (
        sums[frame, row + height, column + width]
        - sums[frame, row, column + width]
        - sums[frame, row + height, column]
        + sums[frame, row, column]
    )  # (t, k, d)
    likest: np.ndarray = (_unit(inside) * classes).sum(axis=-1)
    return likest.astype(np.float32)


def _likest(tokens: np.ndarray, classes: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean row and mean column (t, k) of the share of a frame's tokens that are most like each class."""
    t, rows, columns = tokens.shape[:3]
    most = max(1, math.floor(rows * columns * share))
    likeness = (tokens @ classes.T).reshape(t, rows * columns, -1)
    best = np.argsort(-likeness, axis=1, kind="stable")[:, :most]  # (t, most, k)
    return (best // columns).mean(axis=1), (best % columns).mean(axis=1)


def _places(moving: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column (t, 1) at shares (t, 2) of a frame; the middle of the first place is at half a place."""
    return moving[:, :1] * rows - 0.5, moving[:, 1:] * columns - 0.5


def misread(grid: np.ndarray) -> np.ndarray:
    """Tokens (t, g, g, d) as the published code takes them, (t, g / 2, g, d): a row of it is two rows of the frame.

    It takes the larger of each two neighbours along rows, which leaves g rows of g / 2 places, and reads them as g / 2
    rows of g.
    """
    t, side, _, width = grid.shape
    pooled: np.ndarray = grid.reshape(t, side * side // 2, 2, width).max(axis=2)
    return pooled.reshape(t, side // 2, side, width)


def window_side(side: int, share: float) -> int:
    """Places a side of a window that holds about a share of a map with `side` places on that side."""
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
