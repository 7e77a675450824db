"""Motion vectors on a grid: units and averaging. NumPy alone.

Axes: t frames in presentation order, gh and gw cells down and across.
Sign: displacement of the content, dst - src, x right and y down. Stored in half pixels of the decoded frame as int8.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from moclip.base.errors import ParamsError
from moclip.store.spool import Spool
from moclip.video.vectors import LOST_IN_B_FRAMES, FrameState, MotionVectors

HALF_PELS_PER_PX = 2
LIMIT_HALF_PELS = 127  # int8 without -128, so that every value can be negated, as a mirror does
CELL_SIZES_PX = (8, 16)
REFERENCES = ("backward", "forward", "both")
DISTANCES = ("nearest", "as_coded")

_UNIT_PX = 8  # the smallest block that a decoder exports


@dataclass(frozen=True, repr=False)
class MotionGrid:
    """The motion of one video.

    Attributes:
        mv: int8 (t, gh, gw, 2), (dx, dy) in half pixels per frame, or with distance "as_coded" in half pixels; zero
            where a cell has no vector. Of a long film it is mapped from a file, read-only (`moclip.store.spool`).
        state: uint8 (t,), a `moclip.video.vectors.FrameState` per frame.
        clipped: cells whose motion was beyond int8 in dx or dy.
        field_blocks: blocks that were left out because they are coded as fields; known where the video was read.
    """

    mv: np.ndarray
    state: np.ndarray
    clipped: int
    cell_px: int
    width: int
    height: int
    fps: float
    field_blocks: int = 0

    @property
    def key(self) -> np.ndarray:
        """bool (t,): the frame is intra coded as a whole."""
        return self.state == FrameState.KEY

    def __repr__(self) -> str:
        """Sizes and counts, where the arrays would fill a screen."""
        frames, down, across, _ = self.mv.shape
        return (
            f"MotionGrid({frames} frames ({int(self.key.sum())} key), {across} x {down} cells of {self.cell_px} px, "
            f"{self.width} x {self.height} px, {self.fps:g} fps, {self.clipped} clipped)"
        )


def grid_shape(width: int, height: int, cell_px: int) -> tuple[int, int]:
    """Cells (down, across) that cover a picture; the last ones may reach beyond its edge."""
    return -(-height // cell_px), -(-width // cell_px)


def rasterise(
    runs: Iterable[MotionVectors],
    cell_px: int,
    reference: str = "backward",
    distance: str = "nearest",
    *,
    folder: Path | None = None,
) -> MotionGrid:
    """Average motion vectors over the cells of a grid.

    A block that covers several cells fills each of them; blocks that share a cell count by their area. A vector to a
    future frame is turned round, and one that reaches over several frames is divided by their number, so that every
    cell holds displacement per frame. That number is known for all codecs but H.264, which may refer to any of several
    frames and does not export which: the nearest one is assumed. A B-frame whose vectors the decoder does not export
    (MPEG-4) takes the field of the reference after it, whose vectors reach back over both.

    Args:
        runs: The vectors of one video, in runs of frames (`moclip.video.decode.stream_motion`).
        cell_px: 8 or 16.
        reference: "backward" takes the vectors to past frames, "forward" those to future frames, which only B-frames
            have, "both" the mean of all.
        distance: "nearest" divides as said above; "as_coded" takes vectors as long as they are, to whatever frame, and
            gives B-frames without vectors none.
        folder: Where the grid of a long film may lie in a file; default is the system's place.

    Raises:
        ParamsError: `cell_px`, `reference` or `distance` is none of the above.
    """
    check_choice("cell_px", cell_px, CELL_SIZES_PX)
    check_choice("reference", reference, REFERENCES)
    check_choice("distance", distance, DISTANCES)
    states: list[np.ndarray] = []
    clipped = field_blocks = 0
    with Spool(folder) as cells:
        for run in runs:
            part, beyond = _grid_of_run(run, cell_px, reference, distance == "nearest")
            cells.append(part)
            states.append(run.state)
            clipped += beyond
            field_blocks += run.field_blocks
        mv = cells.array()
    return MotionGrid(
        mv=mv,
        state=np.concatenate(states),
        clipped=clipped,
        cell_px=cell_px,
        width=run.width,
        height=run.height,
        fps=run.fps,
        field_blocks=field_blocks,
    )


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Raise ParamsError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ParamsError(f"{name} must be one of {list(allowed)}, got {value!r}")


def _grid_of_run(run: MotionVectors, cell_px: int, reference: str, per_frame: bool) -> tuple[np.ndarray, int]:
    """int8 (t, gh, gw, 2) half pixels, and how many cells had to be clipped."""
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
    for axis, value in enumerate(_half_pels(blocks, run, per_frame)):
        mean: np.ndarray = np.bincount(cell, value * blocks.area, len(weight))
        mean = mean / weight
        np.rint(mean, out=mean)
        if max(mean.max(), -mean.min()) > LIMIT_HALF_PELS:
            beyond = np.union1d(beyond, np.flatnonzero(np.abs(mean) > LIMIT_HALF_PELS))
            mean.clip(-LIMIT_HALF_PELS, LIMIT_HALF_PELS, out=mean)
        out[..., axis] = mean.reshape(shape)
    if per_frame and reference != "forward" and run.codec == LOST_IN_B_FRAMES:
        _share(out, run)
    return out, len(beyond)


def _share(mv: np.ndarray, run: MotionVectors) -> None:
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


def _blocks(run: MotionVectors, reference: str) -> _Blocks:
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
            x=(left + across + min(w, cell_px) // 2) // cell_px,
            y=(top + down + min(h, cell_px) // 2) // cell_px,
            area=np.full_like(blocks.area, area),
        )


def _half_pels(blocks: _Blocks, run: MotionVectors, per_frame: bool) -> tuple[np.ndarray, np.ndarray]:
    """Content displacement, per frame or as coded; the sign of the distance turns vectors to the future round."""
    scale = -HALF_PELS_PER_PX / blocks.scale.astype(np.float64)
    forward = blocks.source > 0
    if forward.any():
        frames = np.where(run.future_frames == 0, 1, run.future_frames)[blocks.frame[forward]]
        scale[forward] /= -frames if per_frame else -np.sign(frames)
    farther = -1 - blocks.source
    if per_frame and (run.past_frames.max() > 1 or farther.max(initial=0) > 0):
        frames = np.maximum(run.past_frames, 1)[blocks.frame] + farther
        scale /= np.where(forward, 1, frames)
    return blocks.motion_x * scale, blocks.motion_y * scale
