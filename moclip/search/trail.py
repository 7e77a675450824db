"""The motion of a video of any length, run by run: its fields at chosen frames, and its statistics.

Axes: t frame, n point (frame that was asked for), gh and gw cells down and across, s statistic.
"""

from dataclasses import replace

import numpy as np

from moclip.base.errors import VideoError
from moclip.motion.fields import field_at
from moclip.motion.grid import MotionGrid, rasterise
from moclip.params.motion import MotionParams
from moclip.video.vectors import MotionVectors

WAYS, PLACES = 8, 3
STATISTICS = WAYS + PLACES**2 + 2
LONGEST_TRACE = 4096  # frames since a key frame that motion may have accumulated over

PLAIN = MotionParams(
    source="original", cell_px=8, reference="both", distance="nearest", accumulate="none", window_frames=None
)
"""How motion is read where no network says how."""


class Trail:
    """The last frames of a video's motion, as many as the next fields can need."""

    def __init__(self, motion: MotionParams) -> None:
        self.motion = motion
        self.first = 0
        self.grid: MotionGrid | None = None
        self._new = 0

    @property
    def end(self) -> int:
        """Frames that were read."""
        return self.first + (0 if self.grid is None else len(self.grid.mv))

    def add(self, run: MotionVectors) -> None:
        """Read on by a run of frames.

        Raises:
            VideoError: motion accumulates since the last key frame, and that lies too far back.
        """
        new = rasterise([run], self.motion.cell_px, self.motion.reference, self.motion.distance)
        kept = self._kept()
        self._new = len(new.mv)
        if kept is None:
            self.grid = new
        else:
            mv, state = np.concatenate([kept.mv, new.mv]), np.concatenate([kept.state, new.state])
            self.grid = replace(new, mv=mv, state=state)

    def _kept(self) -> MotionGrid | None:
        """What later fields can need of the frames so far."""
        grid = self.grid
        if grid is None:
            return None
        t = len(grid.mv)
        start = max(0, t - (self.motion.window_frames or 1))
        if self.motion.accumulate != "window":  # a key frame takes the field of the last frame that is none
            moving = np.flatnonzero(~grid.key)
            start = int(moving[-1]) if len(moving) else start
        if self.motion.accumulate == "gop":
            keys = np.flatnonzero(grid.key[: start + 1])
            start = int(keys[-1]) if len(keys) else 0
        if t - start > LONGEST_TRACE:
            raise VideoError(
                f"no key frame in {LONGEST_TRACE} frames, and the model's motion accumulates since the last one "
                "(motion.accumulate: gop). Re-encode the video with key frames, or ask in words without --class"
            )
        self.first += start
        return replace(grid, mv=grid.mv[start:], state=grid.state[start:])

    def fields(self, points: np.ndarray) -> np.ndarray:
        """Fields at frames that are still there, float32 (n, 2, gh, gw) in px, accumulated as the model takes them."""
        assert self.grid is not None, "a run comes before its fields"
        return field_at(self.grid, points - self.first, self.motion.accumulate, self.motion.window_frames or 1)

    def each(self, some: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Each frame's own motion in the last run, or in some of its frames, float32 (t, 2, gh, gw) in px a frame."""
        assert self.grid is not None, "a run comes before its fields"
        t = len(self.grid.mv)
        return field_at(self.grid, np.arange(t - self._new, t)[some])


def statistics(fields_px: np.ndarray) -> np.ndarray:
    """Plain statistics of motion beside that of the camera, float32 (t, s), in px a frame.

    Of the vectors without their median: the mean speed into each of `WAYS` directions (together the mean speed), the
    mean speed in each of `PLACES` x `PLACES` places; and the median itself, which is the camera's.

    Args:
        fields_px: Motion of frames, (t, 2, gh, gw).
    """
    t, _, gh, gw = fields_px.shape
    camera = np.median(fields_px.reshape(t, 2, -1), axis=2)
    apart = fields_px - camera[:, :, None, None]
    speed = np.hypot(apart[:, 0], apart[:, 1])
    way = np.rint(np.arctan2(apart[:, 1], apart[:, 0]) / (2 * np.pi) * WAYS).astype(np.int64) % WAYS
    bins = (np.arange(t)[:, None, None] * WAYS + way).ravel()
    ways = np.bincount(bins, speed.ravel(), t * WAYS).reshape(t, WAYS) / (gh * gw)
    rows, columns = (np.arange(PLACES) * side // PLACES for side in (gh, gw))
    sizes = np.outer(*(np.diff(np.append(edges, side)) for edges, side in ((rows, gh), (columns, gw))))
    sums = np.add.reduceat(np.add.reduceat(speed, rows, axis=1), columns, axis=2)
    return np.concatenate([ways, (sums / np.maximum(sizes, 1)).reshape(t, -1), camera], axis=1).astype(np.float32)


def speed_of(values: np.ndarray) -> np.ndarray:
    """Mean speed in px a frame (t,) of statistics (t, s)."""
    found: np.ndarray = values[:, :WAYS].sum(axis=1)
    return found
