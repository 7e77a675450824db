"""One pass over a video at a constant rate, as a decoding process makes it: pictures and motion come as events."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moclip.base.files import temporary_name
from moclip.video import decode as video
from moclip.video.rate import ConstantRate
from moclip.video.reencode import reencoding
from moclip.video.vectors import VECTOR_CODECS, MotionVectors


@dataclass(frozen=True)
class Begun:
    """Known before the pass: the codec, and the length of a frame in seconds as stated."""

    codec: str
    frame_s: float


@dataclass(frozen=True)
class Moved:
    """A run of motion, the step that each of its frames lies in, and the frames of the pictures since the last run."""

    run: MotionVectors
    steps: np.ndarray
    points: tuple[int, ...]


@dataclass(frozen=True)
class Ended:
    """Known after the pass: what `moclip.video.rate.ConstantRate` says."""

    picture_of: np.ndarray
    points: np.ndarray
    start_s: float
    duration_s: float
    is_steady: bool


Event = Begun | Moved | Ended | np.ndarray
"""An array is a picture, uint8 (h, w, 3)."""


def events(path: Path, every_s: float, source: str) -> Iterator[Event]:
    """What a video has, in order; all pictures of the frames of a run come before the run, or before the first run.

    Args:
        path: The video.
        every_s: Length of a step in seconds.
        source: Where motion is from, a `motion.source`; "reencoded" takes a second pass, over a re-encoded video.

    Raises:
        VideoError: the video cannot be read, with the reason and a remedy.
    """
    codec, fps = video.glance(path)
    taken: list[np.ndarray] = []
    rate = ConstantRate(path, every_s, fps, taken.append)
    yield Begun(codec, rate.nominal_s)
    for run in _runs(path, rate, codec, source):
        while taken:
            yield taken.pop(0)
        if run is not None:
            yield run
    rate.close()
    picture_of, points = (np.array(values, dtype=np.int64) for values in (rate.picture_of, rate.points))
    yield Ended(picture_of, points, rate.start_s, rate.duration_s, rate.is_steady)


def _runs(path: Path, rate: ConstantRate, codec: str, source: str) -> Iterator[Moved | None]:
    """The runs of motion; None where there are pictures at most."""
    if source == "reencoded":
        with tempfile.TemporaryDirectory(prefix=temporary_name("search")) as folder:
            for _ in reencoding(path, encoded := Path(folder) / "reencoded.avi", rate):
                yield None
            yield from _moved(video.stream_motion(encoded, whole=False), rate)
    elif codec in VECTOR_CODECS:
        yield from _moved(video.stream_motion(path, middle=rate, whole=False), rate)
    else:
        with video.decoding(path, rate) as (_, frames):
            for frame in frames:
                del frame
                yield None
    yield None


def _moved(runs: Iterator[MotionVectors], rate: ConstantRate) -> Iterator[Moved]:
    told = 0
    for run in runs:
        yield Moved(run, rate.steps_of(len(run.state)), tuple(rate.points[told:]))
        told = len(rate.points)
