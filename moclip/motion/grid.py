"""Motion vectors on a grid: units, averaging, and accumulation over frames. NumPy alone.

Axes: t frames in presentation order, gh and gw cells down and across, n points (frames that were asked for).
Sign: displacement of the content, dst - src, x right and y down. Stored in half pixels of the decoded frame as int8.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple, Protocol

import numpy as np

from moclip.base.errors import ParamsError

HALF_PELS_PER_PX = 2
LIMIT_HALF_PELS = 127  # int8 without -128, so that every value can be negated, as a mirror does
CELL_SIZES_PX = (8, 16)
REFERENCES = ("backward", "forward", "both")
ACCUMULATIONS = ("none", "gop", "window")
KEY_STATE, NONE_STATE = 1, 2  # as in `moclip.video.decode.FrameState`; a test holds them together

_UNIT_PX = 8  # the smallest block that a decoder exports
_MARGIN_PX = LIMIT_HALF_PELS // HALF_PELS_PER_PX + 1  # one step of a trace leaves the picture by less


class Vectors(Protocol):
    """What a grid is made of; `moclip.video.decode.MotionVectors` says what each array holds."""

    @property
    def records(self) -> np.ndarray: ...  # noqa: D102
    @property
    def offsets(self) -> np.ndarray: ...  # noqa: D102
    @property
    def state(self) -> np.ndarray: ...  # noqa: D102
    @property
    def past_frames(self) -> np.ndarray: ...  # noqa: D102
    @property
    def future_frames(self) -> np.ndarray: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def fps(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class MotionGrid:
    """The motion of one video.

    Attributes:
        mv: int8 (t, gh, gw, 2), (dx, dy) in half pixels per frame; zero where a cell has no vector.
        state: uint8 (t,), a `moclip.video.decode.FrameState` per frame.
        clipped: cells whose motion was beyond int8 in dx or dy.
    """

    mv: np.ndarray
    state: np.ndarray
    clipped: int
    cell_px: int
    width: int
    height: int
    fps: float

    @property
    def key(self) -> np.ndarray:
        """bool (t,): the frame is intra coded as a whole."""
        return self.state == KEY_STATE


def grid_shape(width: int, height: int, cell_px: int) -> tuple[int, int]:
    """Cells (down, across) that cover a picture; the last ones may reach beyond its edge."""
    return -(-height // cell_px), -(-width // cell_px)


def rasterise(vectors: Vectors | Iterable[Vectors], cell_px: int, reference: str = "backward") -> MotionGrid:
    """Average motion vectors over the cells of a grid.

    A block that covers several cells fills each of them; blocks that share a cell count by their area. Vectors that
    reach over several frames are divided by that distance where the codec lets it be known (B-frames and the frames
    that follow them, all codecs but H.264 and Snow), and a vector to a future frame is turned round, so that every
    cell holds displacement per frame. A B-frame whose vectors the decoder does not export (MPEG-4) takes the field of
    the reference after it, whose vectors reach back over both.

    Args:
        vectors: All vectors of one video, or its runs in order (`moclip.video.decode.stream_motion`).
        cell_px: 8 or 16.
        reference: "backward" takes the vectors to past frames, "forward" those to future frames, which only B-frames
            have, "both" the mean of all.

    Raises:
        ParamsError: `cell_px` or `reference` is none of the above.
    """
    check_choice("cell_px", cell_px, CELL_SIZES_PX)
    check_choice("reference", reference, REFERENCES)
    runs = vectors if isinstance(vectors, Iterable) else [vectors]
    parts: list[np.ndarray] = []
    states: list[np.ndarray] = []
    clipped = 0
    for run in runs:
        part, beyond = _grid_of_run(run, cell_px, reference)
        parts.append(part)
        states.append(run.state)
        clipped += beyond
    return MotionGrid(
        mv=np.concatenate(parts) if len(parts) > 1 else parts[0],
        state=np.concatenate(states),
        clipped=clipped,
        cell_px=cell_px,
        width=run.width,
        height=run.height,
        fps=run.fps,
    )


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise ParamsError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ParamsError(f"{name} must be one of {list(allowed)}, got {value!r}")


def _grid_of_run(run: Vectors, cell_px: int, reference: str) -> tuple[np.ndarray, int]:
    """int8 (t, gh, gw, 2) half pixels per frame, and how many cells had to be clipped."""
    gh, gw = grid_shape(run.width, run.height, cell_px)
    shape = (len(run.state), gh, gw)
    blocks = _cover(_blocks(run, reference), cell_px)
    inside = (blocks.x >= 0) & (blocks.x < gw) & (blocks.y >= 0) & (blocks.y < gh)
    if not inside.all():
        blocks = blocks.take(np.flatnonzero(inside))
    cell = (blocks.frame * gh + blocks.y) * gw + blocks.x
    weight = np.maximum(np.bincount(cell, blocks.area, gh * gw * shape[0]), 1)
    out = np.empty((*shape, 2), dtype=np.int8)
    beyond = np.zeros(0, dtype=np.int64)
    for axis, value in enumerate(_half_pels_per_frame(blocks, run)):
        mean: np.ndarray = np.bincount(cell, value * blocks.area, len(weight))
        mean = mean / weight
        np.rint(mean, out=mean)
        if max(mean.max(), -mean.min()) > LIMIT_HALF_PELS:
            beyond = np.union1d(beyond, np.flatnonzero(np.abs(mean) > LIMIT_HALF_PELS))
            mean.clip(-LIMIT_HALF_PELS, LIMIT_HALF_PELS, out=mean)
        out[..., axis] = mean.reshape(shape)
    if reference != "forward":
        _share(out, run)
    return out, len(beyond)


def _share(mv: np.ndarray, run: Vectors) -> None:
    """Give B-frames without vectors the motion per frame of their next reference, in place."""
    (without,) = np.nonzero((run.future_frames > 0) & (np.diff(run.offsets) == 0))
    mv[without] = mv[without + run.future_frames[without]]


class _Blocks(NamedTuple):
    """Columns of (n,) int32, one entry a block; x and y are its centre in pixels, after `_cover` its cell."""

    frame: np.ndarray
    source: np.ndarray
    w: np.ndarray
    h: np.ndarray
    x: np.ndarray
    y: np.ndarray
    area: np.ndarray  # in units of 8 x 8 pixels
    motion_x: np.ndarray
    motion_y: np.ndarray
    scale: np.ndarray

    def take(self, which: np.ndarray) -> "_Blocks":
        return _Blocks(*(column[which] for column in self))


def _blocks(run: Vectors, reference: str) -> _Blocks:
    records = run.records
    frame = np.repeat(np.arange(len(run.state), dtype=np.int32), np.diff(run.offsets))
    w = np.maximum(records["w"], _UNIT_PX).astype(np.int32)
    h = np.maximum(records["h"], _UNIT_PX).astype(np.int32)
    names = ("dst_x", "dst_y", "motion_x", "motion_y", "motion_scale")
    x, y, motion_x, motion_y, scale = (records[name].astype(np.int32) for name in names)
    source = records["source"].copy()
    blocks = _Blocks(frame, source, w, h, x, y, w * h // _UNIT_PX**2, motion_x, motion_y, scale)
    if reference == "both":
        return blocks
    chosen = source < 0 if reference == "backward" else source > 0
    return blocks if chosen.all() else blocks.take(np.flatnonzero(chosen))


def _cover(blocks: _Blocks, cell_px: int) -> _Blocks:
    """Name the cell of each block; one that is larger than a cell becomes several blocks."""
    large = (blocks.w > cell_px) | (blocks.h > cell_px)
    if not large.any():
        return blocks._replace(x=blocks.x // cell_px, y=blocks.y // cell_px)
    parts = [_cover(blocks.take(np.flatnonzero(~large)), cell_px)]
    sizes = np.where(large, blocks.w << 8 | blocks.h, 0)
    for size in np.flatnonzero(np.bincount(sizes)):
        if size:
            some = blocks.take(np.flatnonzero(sizes == size))
            parts += _split(some, int(size) >> 8, int(size) & 255, cell_px)
    return _Blocks(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _split(blocks: _Blocks, w: int, h: int, cell_px: int) -> Iterator[_Blocks]:
    """The parts, in one cell each, of blocks of one size."""
    left, top = blocks.x - w // 2, blocks.y - h // 2
    area = min(w, cell_px) * min(h, cell_px) // _UNIT_PX**2
    for down, across in product(range(0, h, cell_px), range(0, w, cell_px)):
        yield blocks._replace(
            x=(left + across) // cell_px,
            y=(top + down) // cell_px,
            area=np.full_like(blocks.area, area),
        )


def _half_pels_per_frame(blocks: _Blocks, run: Vectors) -> tuple[np.ndarray, np.ndarray]:
    """Content displacement per frame; the sign of the distance turns vectors to the future round."""
    scale = -HALF_PELS_PER_PX / blocks.scale.astype(np.float64)
    forward = blocks.source > 0
    if forward.any():
        frames = np.maximum(run.future_frames, 1)[blocks.frame[forward]]
        scale[forward] /= -frames
    if run.past_frames.max() > 1:
        frames = np.maximum(run.past_frames, 1)[blocks.frame]
        scale /= np.where(forward, 1, frames)
    return blocks.motion_x * scale, blocks.motion_y * scale


def field_at(
    grid: MotionGrid,
    points: Sequence[int] | np.ndarray,
    accumulate: str = "none",
    window: int | None = None,
) -> np.ndarray:
    """The motion field at chosen frames of a video.

    Args:
        grid: The motion of the video (`rasterise`, or `MotionStore.clip`).
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
