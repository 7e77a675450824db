"""Motion fields at chosen frames of a grid: each frame's own motion, or what has accumulated up to it. NumPy alone.

Axes: t frames in presentation order, gh and gw cells down and across, n points (frames that were asked for).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from moclip.base.errors import ParamsError
from moclip.motion.grid import HALF_PELS_PER_PX, LIMIT_HALF_PELS, MotionGrid, check_choice, grid_shape

ACCUMULATIONS = ("none", "gop", "window")
_MARGIN_PX = LIMIT_HALF_PELS // HALF_PELS_PER_PX + 1  # one step of a trace leaves the picture by less


def field_at(
    grid: MotionGrid,
    points: Sequence[int] | np.ndarray,
    accumulate: str = "none",
    window: int | None = None,
) -> np.ndarray:
    """The motion field at chosen frames of a video.

    Args:
        grid: The motion of the video (`moclip.motion.grid.rasterise`, or `MotionStore.clip`).
        points: Frame indices; any order, repeats allowed.
        accumulate: "none" gives each frame's own motion, halves kept. "gop" gives CoViAR's displacement since the last
            key frame: what is in a cell's centre is traced back through the cells, whole pixels at a time, and a step
            that would leave the picture is not taken; exact where no block is smaller than a cell. "window" does the
            same over the last `window` frames, past any key frame, whose own step adds nothing; for videos with one
            key frame at their start.
        window: Number of frames, for "window" alone.

    Returns:
        float32 (n, 2, gh, gw), (dx, dy) in pixels. With "none" and "gop" a key frame takes the field of the last frame
        before it that is none, as CoViAR does; where there is none, as at frame 0, nothing has moved: zeros.

    Raises:
        ParamsError: a point lies outside the video, or an option is unknown.

    Source: pytorch-coviar `coviar_data_loader.c` (accumulation) and `dataset.py` (key frames).
    """
    check_choice("accumulate", accumulate, ACCUMULATIONS)
    frames = np.asarray(points, dtype=np.int64)
    t = len(grid.mv)
    if frames.ndim != 1 or not len(frames) or frames.min() < 0 or frames.max() >= t:
        raise ParamsError(f"points must be frame indices from 0 to {t - 1}, got {points}")
    if accumulate == "window":
        if window is None or window < 1:
            raise ParamsError(f"window must be a number of frames, 1 or more, got {window}")
        return _trace(grid, frames, np.minimum(frames + 1, window))
    position = np.arange(t)
    frames = np.maximum(np.maximum.accumulate(np.where(grid.key, -1, position))[frames], 0)
    if accumulate == "none":
        return np.moveaxis(grid.mv[frames], -1, 1) / np.float32(HALF_PELS_PER_PX)
    last_key = np.maximum.accumulate(np.where(grid.key, position, -1))
    return _trace(grid, frames, frames - last_key[frames])


class _Plane(NamedTuple):
    """Positions in a picture with a margin around it, as one number each: y * stride + x."""

    stride: int
    centre: np.ndarray  # (cells,) centre of the visible part of each cell
    cell: np.ndarray  # (positions,) the cell at each position, -1 outside the picture
    step: np.ndarray  # (65536,) displacement of each pair of int8 half pixels, in whole pixels


@lru_cache(maxsize=8)
def _plane(width: int, height: int, cell_px: int) -> _Plane:
    gh, gw = grid_shape(width, height, cell_px)
    stride = width + 2 * _MARGIN_PX
    y, x = np.arange(height), np.arange(width)
    cell = np.full((height + 2 * _MARGIN_PX, stride), -1, dtype=np.int32)
    inside = slice(_MARGIN_PX, -_MARGIN_PX)
    cell[inside, inside] = (y // cell_px * gw)[:, None] + x // cell_px
    left, top = np.arange(gw) * cell_px, np.arange(gh) * cell_px
    centre_x = (left + np.minimum(left + cell_px, width)) // 2 + _MARGIN_PX
    centre_y = (top + np.minimum(top + cell_px, height)) // 2 + _MARGIN_PX
    pairs = np.arange(1 << 16, dtype=np.uint16).view(np.int8).reshape(-1, 2)
    px = np.trunc(pairs / HALF_PELS_PER_PX).astype(np.int32)
    return _Plane(
        stride=stride,
        centre=(centre_y[:, None] * stride + centre_x).astype(np.int32).ravel(),
        cell=cell.ravel(),
        step=px[:, 1] * np.int32(stride) + px[:, 0],
    )


def _trace(grid: MotionGrid, frames: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Trace every cell's centre back through `spans[i]` frames, from `frames[i]` on; float32 (n, 2, gh, gw)."""
    plane = _plane(grid.width, grid.height, grid.cell_px)
    t, gh, gw, _ = grid.mv.shape
    pairs = np.ascontiguousarray(grid.mv).view(np.uint16).reshape(t, gh * gw)
    longest_first = np.argsort(-spans, kind="stable")
    frames, spans = frames[longest_first], spans[longest_first]
    position = np.tile(plane.centre, (len(frames), 1))
    cell = plane.cell[position]
    row = (np.arange(len(frames)) * (gh * gw))[:, None]
    for back in range(int(spans[0])):
        m = int(np.searchsorted(-spans, -back))  # the points that still go on: the first m
        pair = pairs[frames[:m] - back].take(cell[:m] + row[:m])
        moved = position[:m] - plane.step.take(pair)
        moved_cell = plane.cell.take(moved)
        inside = moved_cell >= 0
        np.copyto(position[:m], moved, where=inside)
        np.copyto(cell[:m], moved_cell, where=inside)
    y, x = np.divmod(position, plane.stride)
    centre_y, centre_x = np.divmod(plane.centre, plane.stride)
    out = np.empty((len(frames), 2, gh, gw), dtype=np.float32)
    out[longest_first, 0] = (centre_x - x).reshape(-1, gh, gw)
    out[longest_first, 1] = (centre_y - y).reshape(-1, gh, gw)
    return out
