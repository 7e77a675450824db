"""Frames of a video at a constant rate, whatever its own, kept during a pass that is made for something else.

Step i stands for the times [i, i + 1) x `every_s` from the first frame on, and its picture is the one shown at its
centre."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import ParamsError, VideoError

LEAST_S = 0.01
MAX_GAP_S = 600.0  # beyond it a time stamp is taken for wrong
_USUAL_FPS = 25.0  # where neither headers nor frames say
_ROUNDING_S = 1e-6  # time stamps are rounded to their unit


def check_every(every_s: float) -> None:
    """Raise ParamsError unless a step has a length that frames can have."""
    if not math.isfinite(every_s) or every_s < LEAST_S:
        raise ParamsError(f"a step of {every_s:g} s: must be {LEAST_S:g} s or more")


def constant_rate(frames: int, fps: float, every_s: float) -> np.ndarray:
    """Which frame is shown at the centre of each step of a video of one rate, ascending int64 (t,); one at least.

    A last step that the video fills by less than half is left out; a video shorter than that has its first frame.

    >>> constant_rate(10, 10.0, 0.4).tolist()
    [2, 6]
    """
    check_every(every_s)
    rate = fps or _USUAL_FPS
    steps = math.floor(frames / rate / every_s + 0.5 - _ROUNDING_S)
    if not steps:
        return np.zeros(1, dtype=np.int64)
    shown = np.floor((np.arange(steps) + 0.5) * every_s * rate + _ROUNDING_S).astype(np.int64)
    return np.minimum(shown, frames - 1)


class ConstantRate:
    """Keeps pictures at a constant rate; a `moclip.video.decode.Watcher`.

    Time comes from the frames' own stamps, so that a variable rate is no matter; a frame without one follows the last
    at the stated rate. Each picture goes to `take` when it is seen, and none is held.

    Attributes:
        picture_of: Number of the picture of each step; one picture may be shown for several steps.
        points: Frame of each picture.
        start_s: Stamp of the first frame.
        duration_s: From the first frame to the end of the last.
        frames: How many were seen.
        is_steady: False where stamps ran backwards, so that times are not those of the container.
    """

    def __init__(self, path: Path, every_s: float, fps: float, take: Callable[[np.ndarray], None]) -> None:
        check_every(every_s)
        self.path, self.every_s, self.take = path, every_s, take
        self.nominal_s = 1 / (fps or _USUAL_FPS)
        self.picture_of: list[int] = []
        self.points: list[int] = []
        self.start_s, self.duration_s, self.frames, self.is_steady = 0.0, 0.0, 0, True
        self._shift = 0.0
        self._time = -math.inf
        self._steps: list[int] = []

    def expect(self, stated: Callable[[], int]) -> None:
        """Nothing hangs on how many frames are stated."""

    def see(self, index: int, picture: Callable[[], np.ndarray], frame: Any) -> None:
        """Told of every frame of the pass, in order."""
        time, length = self._at(index, frame)
        self.frames, self.duration_s = index + 1, time + length
        self._steps.append(int((time + _ROUNDING_S) / self.every_s))
        missed = False
        while self._centre < time - _ROUNDING_S:  # a gap that no frame foretold
            if self.points[-1] == index - 1:
                self.picture_of.append(len(self.points) - 1)
            else:
                missed = True
                break
        if missed or index == 0 or self._centre < time + length - _ROUNDING_S:
            self.points.append(index)
            self.take(picture())
            while self._centre < time + length - _ROUNDING_S:
                self.picture_of.append(len(self.points) - 1)

    def close(self) -> None:
        """Told after the pass: a video shorter than half a step gets one step."""
        if not self.picture_of and self.points:
            self.picture_of.append(0)

    def steps_of(self, frames: int) -> np.ndarray:
        """Which step each of the next `frames` frames lies in, int64 (frames,); each is told once."""
        found = np.array(self._steps[:frames], dtype=np.int64)
        del self._steps[:frames]
        return found

    @property
    def _centre(self) -> float:
        return (len(self.picture_of) + 0.5) * self.every_s

    def _at(self, index: int, frame: Any) -> tuple[float, float]:
        """When a frame is shown, and for how long as far as it says."""
        stamp = None if frame.time is None else float(frame.time)
        if index == 0:
            self.start_s = stamp or 0.0
            self._shift = -self.start_s
        time = self._time + self.nominal_s if stamp is None and index else (stamp or 0.0) + self._shift
        if time <= self._time:
            self.is_steady = False
            self._shift += self._time + self.nominal_s - time
            time = self._time + self.nominal_s
        if index and time - self._time > MAX_GAP_S:
            raise VideoError(
                f"{self.path}: the time stamps leap by {time - self._time:.0f} s at frame {index}. Write it anew, for "
                "example with `ffmpeg -i IN -c copy OUT.mkv`, or re-encode it."
            )
        self._time = time
        length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
        return time, length if 0 < length <= MAX_GAP_S else self.nominal_s
