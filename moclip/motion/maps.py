"""Where something moves beside its surroundings: motion boundaries on the grid of a video. NumPy alone.

Axes: t frames, gh and gw cells down and across, b places a side of a coarse map.

A boundary is a spatial derivative of the motion. A camera that pans moves all cells alike and leaves none, so what is
left is what moves by itself, at its edges.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moclip.motion.fields import field_at
from moclip.motion.grid import HALF_PELS_PER_PX, MotionGrid
from moclip.motion.store import MotionStore
from moclip.store.blocks import BlockStore
from moclip.video.crop import Box, square_round
from moclip.video.select import energy_of_cells

COARSE = 7  # places a side of the map that boxes are found in
PEAK_SHARE = 0.1  # of these places, the strongest
WINDOW_FRAMES = 8  # around the frame that a box is of
FRAMES_AT_ONCE = 256


def boundary_map(mv: np.ndarray) -> np.ndarray:
    """Strength of the motion boundaries of some frames together, px per cell, (gh, gw) float32.

    Prewitt's derivatives across and down, of dx and of dy, each summed over the frames before its magnitude is taken,
    so that what trembles cancels; then the mean over dx and dy. The outer ring, whose neighbours lie outside, is 0.

    Args:
        mv: Half pixels (t, gh, gw, 2), as a `MotionGrid` holds them.

    Source: MCL (arXiv 2201.04029), `create_lmdb.py` of its code, which takes optical flow.

    >>> boundary_map(np.full((4, 5, 6, 2), 9, dtype=np.int8)).any()  # a pan
    np.False_
    """
    total = mv.sum(axis=0, dtype=np.int32)  # derivatives are linear: those of the sum are the sums of those
    strength = np.zeros(total.shape[:2], dtype=np.float32)
    if min(strength.shape) < 3:  # all of it is the outer ring
        return strength
    across, down = _prewitt(total), _prewitt(total.swapaxes(0, 1)).swapaxes(0, 1)
    strength[1:-1, 1:-1] = np.hypot(across, down).mean(axis=-1) / np.float32(HALF_PELS_PER_PX)
    return strength


def _prewitt(values: np.ndarray) -> np.ndarray:
    """Differences of the columns beside each inner cell, summed over three rows (gh - 2, gw - 2, 2)."""
    difference = values[:, 2:] - values[:, :-2]
    found: np.ndarray = difference[:-2] + difference[1:-1] + difference[2:]
    return found


def boundary_energy(grid: MotionGrid) -> np.ndarray:
    """Mean over cells of each frame's own boundary map, px per cell, (t,) float32; 0 where a frame has no vectors."""
    return np.concatenate([_energy(run) for run in _runs(grid.mv)])


def _runs(mv: np.ndarray) -> Iterator[np.ndarray]:
    return (mv[start : start + FRAMES_AT_ONCE] for start in range(0, len(mv), FRAMES_AT_ONCE))


def _energy(mv: np.ndarray) -> np.ndarray:
    t, gh, gw, _ = mv.shape
    if min(gh, gw) < 3:
        return np.zeros(t, dtype=np.float32)
    cells = mv.astype(np.int32).transpose(1, 2, 0, 3).reshape(gh, gw, 2 * t)
    across, down = _prewitt(cells), _prewitt(cells.swapaxes(0, 1)).swapaxes(0, 1)
    strength = np.hypot(across, down).reshape(gh - 2, gw - 2, t, 2)
    found: np.ndarray = strength.sum(axis=(0, 1, 3)) / (2 * gh * gw * HALF_PELS_PER_PX)
    return found.astype(np.float32)


def coarse(strength: np.ndarray, places: int = COARSE) -> np.ndarray:
    """Means over blocks of a map (gh, gw), as (b, b); blocks of a map smaller than that share cells."""
    return _block_means(_block_means(strength, places).T, places).T


def _block_means(values: np.ndarray, places: int) -> np.ndarray:
    count = len(values)
    starts = np.arange(places) * count // places
    ends = -(-(np.arange(places) + 1) * count // places)
    return np.stack([values[start:end].mean(axis=0) for start, end in zip(starts, ends, strict=True)])


def moving_box(grid: MotionGrid, frame: int) -> Box | None:
    """The box round the strongest tenth of the coarse map about a frame; None where nothing stands out.

    Of equally strong places those further up, then those further left, are taken.
    """
    start = max(0, min(frame - WINDOW_FRAMES // 2, len(grid.mv) - WINDOW_FRAMES))
    strength = coarse(boundary_map(grid.mv[start : start + WINDOW_FRAMES]))
    if not strength.any():
        return None
    strongest = np.argsort(-strength.ravel(), kind="stable")[: int(strength.size * PEAK_SHARE)]
    rows, columns = np.divmod(strongest[strength.ravel()[strongest] > 0], COARSE)
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return Box(*(float(edge) / COARSE for edge in (left, top, right, bottom)))


def peak_frames(energy: np.ndarray, segments: int) -> np.ndarray:
    """The frame of highest energy in each of `segments` equal parts of a video, the first of equals; int64 (segments,).

    Parts are those of `moclip.video.frames.segment_points`.

    >>> peak_frames(np.array([0.0, 2.0, 1.0, 1.0, 3.0, 0.0]), 2).tolist()
    [1, 4]
    """
    edges = np.arange(segments + 1, dtype=np.int64) * len(energy) // segments
    ends = np.maximum(edges[1:], edges[:-1] + 1)
    return np.array([start + int(energy[start:end].argmax()) for start, end in zip(edges[:-1], ends, strict=True)])


@dataclass(frozen=True)
class MovingCentres:
    """Where the frames of a store move, as its rows: for a head that looks there.

    Attributes:
        motion: Vectors of the same videos.
        frames: The store; of its arrays, `points` alone is read.
    """

    motion: MotionStore
    frames: BlockStore

    @property
    def path(self) -> Path:
        """Of the store of frames."""
        return self.frames.path

    def rows(self, name: str, ids: Sequence[str]) -> Iterator[np.ndarray]:
        """`moving_centres` (t, 2) of each video at the frames that the store has.

        Raises:
            StoreError: a video is missing in a store; it is named.
        """
        for video, points in zip(ids, self.frames.rows("points", ids), strict=True):
            grid = self.motion.clip(video)
            yield moving_centres(field_at(grid, points), grid.width, grid.height, grid.cell_px)


def moving_centres(fields: np.ndarray, width: int, height: int, cell_px: int) -> np.ndarray:
    """The middle of what moves beside the camera, float32 (t, 2): shares down and across of the middle square.

    It is the mean place of the cells, each weighed by its energy; without any, the middle. What moves outside the
    square that CLIP sees counts to its edge.

    Args:
        fields: Motion of the frames, (t, 2, gh, gw) in px.
        width, height: Of the picture in px.
        cell_px: Side of a cell.

    >>> moving_centres(np.zeros((1, 2, 4, 6)), 96, 64, 16).tolist()
    [[0.5, 0.5]]
    """
    energy = energy_of_cells(fields)
    total = energy.sum(axis=(1, 2))
    left, top, side = square_round(None, width, height)
    found = []
    for axis, size, edge in ((1, height, top), (2, width, left)):
        start = np.arange(energy.shape[axis]) * cell_px
        middles = (start + np.minimum(start + cell_px, size)) / 2
        weights = energy.sum(axis=3 - axis)
        mean = np.where(total > 0, weights @ middles / np.maximum(total, 1e-12), size / 2)
        found.append(np.clip((mean - edge) / side, 0, 1))
    return np.stack(found, axis=1).astype(np.float32)
