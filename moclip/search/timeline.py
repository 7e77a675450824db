"""A video at a constant rate: what CLIP and the motion network know of each step, in one pass, kept by content.

Memory does not grow with the video but for what is kept of a step: its features, a small picture, a few numbers.

Axes: t step, p picture (one may be shown for several steps), d feature, s statistic.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from moclip.base.errors import StoreError, VideoError
from moclip.base.files import fingerprint, read_json, read_npz, sha256_file, write_json, write_npz
from moclip.params.motion import MotionParams
from moclip.predict.parts import Clip, Motion
from moclip.search.passes import Begun, Ended, Moved, events
from moclip.search.trail import PLAIN, STATISTICS, Trail, speed_of, statistics
from moclip.video import decode as video
from moclip.video.bounded.worker import stream
from moclip.video.rate import check_every

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
LOOKS_PER_S = 6.0  # frames whose motion enters the plain statistics; one a step at least
BATCH_PICTURES = 32
BATCH_BYTES = 48 << 20  # of pictures that wait for CLIP: five of 4K
THUMBNAIL_PX = (192, 108)
_JPEG_QUALITY = 82


@dataclass(frozen=True)
class Eyes:
    """What looks at a video.

    Attributes:
        encoder: CLIP, or None where a model has none that could see a new picture.
        network: The motion network, or None.
        digest: Stands for the weights of both.
    """

    encoder: Clip | None
    network: Motion | None
    digest: str


@dataclass(frozen=True)
class Timeline:
    """One video at a constant rate.

    Attributes:
        every_s: Length of a step.
        duration_s: Of the video.
        start_s: Time stamp of its first frame in the container.
        is_steady: Whether times are those of the container, shifted by `start_s`.
        codec: Of the video.
        points: Frame that is shown at the centre of each step, int64 (t,).
        clip: CLIP's features, float16 (t, d), not normalised; d is 0 without CLIP.
        motion: The motion network's features of the same frames, float32 (t, d); d is 0 where there is no network, or
            the codec exports no vectors.
        statistics: Plain statistics of motion, means over the frames of each step, float32 (t, s); s is 0 without
            vectors.
        pictures: Small JPEG pictures end to end, uint8; `ends` has where that of each step starts and ends, int64 (t,
            2).
    """

    every_s: float
    duration_s: float
    start_s: float
    is_steady: bool
    codec: str
    points: np.ndarray
    clip: np.ndarray
    motion: np.ndarray
    statistics: np.ndarray
    pictures: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    @property
    def speed_px(self) -> np.ndarray | None:
        """Mean motion beside the camera's in each step, px a frame (t,); None where the codec exports no vectors."""
        return speed_of(self.statistics) if self.statistics.shape[1] else None

    def times(self, span: Sequence[int]) -> tuple[float, float]:
        """Seconds of a half-open span of steps; the last step reaches to the end of the video."""
        start, end = int(span[0]), int(span[1])
        return start * self.every_s, self.duration_s if end >= len(self) else end * self.every_s

    def steps(self, start_s: float, end_s: float) -> np.ndarray:
        """Steps whose centre lies in [start, end), or the one that `start` lies in where none does, int64."""
        centres = (np.arange(len(self)) + 0.5) * self.every_s
        inside = np.flatnonzero((centres >= start_s) & (centres < end_s))
        return inside if len(inside) else np.array([min(int(start_s / self.every_s), len(self) - 1)])

    def picture(self, step: int) -> Image.Image:
        """The small picture of a step, RGB."""
        start, end = self.ends[step]
        return Image.open(io.BytesIO(self.pictures[start:end].tobytes())).convert("RGB")


def read_timeline(path: Path, every_s: float, eyes: Eyes) -> Timeline:
    """Look at a whole video in one decoding pass.

    A model whose motion is read from a re-encoded video (`motion.source: reencoded`) has a second pass, over that.

    Raises:
        ParamsError: `every_s` is no length of a step.
        VideoError: the video cannot be read, with the reason and a remedy.
    """
    check_every(every_s)
    seen = _Pictures(eyes)
    moved = _Motion(eyes.network, every_s)
    with closing(stream(path, events, path, every_s, moved.params.source)) as found:
        begun = next(found)
        assert isinstance(begun, Begun)
        for event in found:
            if isinstance(event, np.ndarray):
                seen.take(event)
            elif isinstance(event, Moved):
                moved.follow(event, begun.frame_s)
            elif isinstance(event, Ended):
                rate = event
    owner = rate.picture_of
    pictures, ends = seen.pictures()
    return Timeline(
        every_s=every_s,
        duration_s=rate.duration_s,
        start_s=rate.start_s,
        is_steady=rate.is_steady,
        codec=begun.codec,
        points=rate.points[owner],
        clip=seen.features()[owner],
        motion=moved.features(len(rate.points))[owner],
        statistics=moved.means(len(owner)),
        pictures=pictures,
        ends=ends[owner],
    )


class _Pictures:
    """Pictures as they come: seen by CLIP in batches, kept small."""

    def __init__(self, eyes: Eyes) -> None:
        self.encoder = eyes.encoder
        self._waiting: list[np.ndarray] = []
        self._features: list[np.ndarray] = []
        self._small: list[bytes] = []

    def take(self, picture: np.ndarray) -> None:
        image = Image.fromarray(picture)
        image.draft("RGB", THUMBNAIL_PX)
        image.thumbnail(THUMBNAIL_PX, reducing_gap=2.0)
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=_JPEG_QUALITY)
        self._small.append(jpeg.getvalue())
        if self.encoder is not None:
            self._waiting.append(picture)
            if len(self._waiting) == BATCH_PICTURES or len(self._waiting) * picture.nbytes > BATCH_BYTES:
                self._encode()

    def _encode(self) -> None:
        if self.encoder is not None and self._waiting:
            self._features.append(self.encoder.images(self._waiting).astype(np.float16))
            self._waiting = []

    def features(self) -> np.ndarray:
        """Float16 (p, d)."""
        self._encode()
        return np.concatenate(self._features) if self._features else np.empty((len(self._small), 0), np.float16)

    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """All small pictures end to end, uint8, and where each starts and ends, (p, 2)."""
        ends = np.cumsum([0, *map(len, self._small)])
        return np.frombuffer(b"".join(self._small), dtype=np.uint8), np.stack([ends[:-1], ends[1:]], axis=1)


class _Motion:
    """Motion as it comes, run by run: the network's features at the pictures, and means over steps."""

    def __init__(self, network: Motion | None, every_s: float) -> None:
        self.network, self.every_s = network, every_s
        self.params: MotionParams = network.made_for.motion if network else PLAIN
        self._features: list[np.ndarray] = []
        self._sums = np.zeros((0, STATISTICS))
        self._counts = np.zeros(0, dtype=np.int64)
        self._is_read = False
        self._trail = Trail(self.params)
        self._waiting: list[int] = []  # frames of pictures whose motion is yet to come

    def follow(self, moved: Moved, frame_s: float) -> None:
        """Take the next run of a video whose frames are shown for so long."""
        trail, steps = self._trail, moved.steps
        trail.add(moved.run)
        stride = max(1, round(min(1 / LOOKS_PER_S, self.every_s) / frame_s))
        some = np.arange(trail.end - len(steps), trail.end) % stride == 0
        if some.any():
            self._add(statistics(trail.each(some)), steps[some])
        self._waiting += moved.points
        points = np.array([point for point in self._waiting if point < trail.end], dtype=np.int64)
        if self.network is not None and len(points):
            self._features.append(self.network.single(trail.fields(points)))
        del self._waiting[: len(points)]
        self._is_read = True

    def _add(self, values: np.ndarray, steps: np.ndarray) -> None:
        if (more := int(steps.max()) + 1 - len(self._counts)) > 0:
            self._sums = np.concatenate([self._sums, np.zeros((more, STATISTICS))])
            self._counts = np.concatenate([self._counts, np.zeros(more, dtype=np.int64)])
        np.add.at(self._sums, steps, values)
        np.add.at(self._counts, steps, 1)

    def features(self, pictures: int) -> np.ndarray:
        """Float32 (p, d)."""
        return np.concatenate(self._features) if self._features else np.empty((pictures, 0), np.float32)

    def means(self, steps: int) -> np.ndarray:
        """Statistics of each step, float32 (t, s); a step without a frame of its own has those of the step before."""
        if not self._is_read:
            return np.empty((steps, 0), np.float32)
        filled = np.maximum.accumulate(np.where(self._counts > 0, np.arange(len(self._counts)), 0))
        means = (self._sums / np.maximum(self._counts, 1)[:, None])[filled]
        return means[np.minimum(np.arange(steps), len(means) - 1)].astype(np.float32)


class Shelf:
    """Timelines of videos that were looked at before, by their content; a file's digest is known by its stamps.

    A folder that cannot be written, or a file that is torn, costs time and nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def timeline(self, path: Path, every_s: float, eyes: Eyes) -> Timeline:
        """The timeline of a video, read now unless it is there.

        Raises:
            ParamsError, VideoError: as `read_timeline`.
        """
        check_every(every_s)
        if not path.is_file():
            raise VideoError(f"{path}: no such file. Check the name and the folder.")
        made_by = fingerprint(self.digest(path), float(every_s), eyes.digest, video.versions(), FORMAT_VERSION)
        kept = self.folder / f"{made_by}.npz"
        if (found := self._read(kept)) is None:
            found = read_timeline(path, every_s, eyes)
            self._write(kept, found)
        return found

    def digest(self, path: Path) -> str:
        """SHA-256 of a file's content; of one whose size and stamps are known it is not read again."""
        facts = path.stat()
        stamps = [facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
        note = self.folder / f"{fingerprint(str(path.resolve()))}.json"
        with suppress(StoreError, KeyError, TypeError):
            known = read_json(note)
            if known["stamps"] == stamps:
                return str(known["sha256"])
        sha256 = sha256_file(path)
        with self._may_fail(note):
            write_json(note, {"stamps": stamps, "sha256": sha256})
        return sha256

    def _read(self, kept: Path) -> Timeline | None:
        names = [field.name for field in fields(Timeline)]
        try:
            arrays: dict[str, Any] = dict(read_npz(kept, *names))
        except StoreError:
            return None
        plain = {name: arrays[name].item() for name in ("every_s", "duration_s", "start_s", "is_steady", "codec")}
        return Timeline(**{**arrays, **plain})

    def _write(self, kept: Path, found: Timeline) -> None:
        with self._may_fail(kept):
            write_npz(kept, **{field.name: np.asarray(getattr(found, field.name)) for field in fields(Timeline)})

    @contextmanager
    def _may_fail(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            log.warning("%s cannot be kept (%s): the next question takes as long", path, error.strerror or error)
