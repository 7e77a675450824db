"""Video files in, motion vectors and frames out: the only reader of compressed video here.

Axes: t frames in presentation order, n vectors, h and w pixels. Decoding runs on one thread, because frame threads give
different H.264 vectors from run to run; parallel work goes over files (`moclip.motion.extract`).
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

import av
import numpy as np
from av.video.frame import PictureType

from moclip.base.errors import VideoError
from moclip.video.frames import middle_frame
from moclip.video.vectors import (
    NEAREST_REFERENCE_CODECS,
    VECTOR_CODECS,
    VECTOR_DTYPE,
    FrameState,
    MotionVectors,
    reference_distances,
)

MAX_PIXELS = 1 << 24  # a picture of 4096 x 4096: beyond it a decoder's picture buffers alone pass 1 GB
CHUNK_BYTES = 4 << 20  # vectors of one file that are held at once while a grid is built
MOST_CHUNKS = 16  # a run that waits so long for its end holds nothing but B-frames: it is cut anyway
MAX_GRID_BYTES = 1 << 30  # of one file on a grid of 8 px: 447,000 frames of 320 x 240
STATED_SLACK = 1  # AVI headers of sound UCF101 clips state one frame too many

# For B-frames of this codec FFmpeg exports the blocks with zeros in place of their vectors (seen in
# every such frame of UCF101 and of own encodes), so they count as frames that export none.
_LOST_IN_B_FRAMES = "mpeg4"

# Script-like formats (HLS, concat) are left out: they would open other files than the one that was named.
CONTAINERS = "avi,mov,matroska,mpeg,mpegts,mpegvideo,m4v,flv,asf,ogg,h264,h263,hevc,ivf,nut"
# PyAV 18 ties a frame and its side data in a cycle, so that only the garbage collector gives pictures
# back to the decoder: without this a 4K film would hold gigabytes, and a small one decodes 10 % slower.
_COLLECT_EVERY = 16
_FAST = {"skip_idct": "all", "skip_loop_filter": "all", "lowres": "3"}
_EXPORT = {"flags2": "+export_mvs"}

_COPY_AGAIN = "Copy or download the file again, or leave it out of the lists"
_REENCODE = (
    "Re-encode it (motion.source: reencoded, or moclip motion --reencode; "
    "for moclip predict with `ffmpeg -i IN -c:v mpeg4 OUT.avi`)"
)
_CONVERT = "Convert it once, for example with `ffmpeg -i IN OUT.avi`, and use the result"


@dataclass(frozen=True)
class VideoInfo:
    """One video stream; `frames` counts those that decode, which may be one less than the container states."""

    codec: str
    width: int
    height: int
    fps: float
    frames: int


def versions() -> dict[str, str]:
    """Versions of the decoder that a result depends on."""
    return {"pyav": av.__version__, "ffmpeg": av.ffmpeg_version_info}


def probe(path: Path) -> VideoInfo:
    """Describe a video, decoding it once on the fast path to count its frames.

    Raises:
        VideoError: the file has no video stream that decodes without damage.
    """
    with _open(path, _FAST) as video:
        frames = sum(1 for _ in video.frames())
        return VideoInfo(video.codec, video.width, video.height, video.fps, frames)


def glance(path: Path) -> tuple[str, float]:
    """Codec and frames per second as the headers state them, 0 where they do not; no frame is decoded.

    Raises:
        VideoError: the file has no video stream that could be decoded here.
    """
    with _open(path, {}) as video:
        return video.codec, video.fps


class Watcher(Protocol):
    """Sees the frames of a pass that is made for something else, so that a video decodes once."""

    def expect(self, frames: int) -> None:
        """Told before the pass how many frames are stated."""

    def see(self, index: int, picture: Callable[[], np.ndarray], frame: Any) -> None:
        """Told of every frame of the pass: how to get its picture, and PyAV's `VideoFrame`, which must not be held."""


class Middle:
    """The middle frame of a video, kept during a pass that is made for something else, so that it decodes once.

    How many frames there are is known at the end alone, so the pictures kept are those that are in the middle if the
    container is right, or one frame out either way. Only where it errs by more, the video is decoded again.
    """

    def __init__(self) -> None:
        self._likely: set[int] = set()
        self._kept: dict[int, np.ndarray] = {}

    def expect(self, frames: int) -> None:
        """Told before the pass how many frames are stated."""
        self._likely = {middle_frame(max(1, count)) for count in (frames - 1, frames, frames + 1)}

    def see(self, index: int, picture: Callable[[], np.ndarray], frame: Any) -> None:
        """Told of every frame of the pass, and how to get its picture."""
        if index in self._likely:
            self._kept[index] = picture()

    def picture(self, path: Path, frames: int) -> np.ndarray:
        """The middle one of the `frames` that were seen, uint8 (h, w, 3), as `read_frames` gives it."""
        index = middle_frame(frames)
        return self._kept[index] if index in self._kept else read_frames(path, [index])[0]


def stream_motion(
    path: Path, *, fast: bool = True, chunk_bytes: int = CHUNK_BYTES, middle: Watcher | None = None, whole: bool = True
) -> Iterator[MotionVectors]:
    """The motion vectors of a video in runs of frames that hold about `chunk_bytes`, so that memory stays bounded.

    The records of a run are overwritten by the next one: use them, or copy them, before going on.

    A run ends after a frame that others refer to, so each can be used by itself.

    Args:
        path: A video file of one of `VECTOR_CODECS`.
        fast: Skip what only pixels need (transform, loop filter, full size). The vectors are the same, field by field.
        chunk_bytes: Size of a run.
        middle: Keeps pictures; nothing is skipped then, so `fast` has no effect.
        whole: The runs become one grid in memory, so a video is refused whose grid would be larger than
            `MAX_GRID_BYTES`, or that has one frame; one that is read run by run may have any number.

    Raises:
        VideoError: the codec has no vectors, the file is damaged or too long, or its size changes; this may come after
            the first runs, so nothing is sound before the end is reached.
    """
    with _open(path, {**_EXPORT, **_FAST} if fast and middle is None else _EXPORT, middle) as video:
        if video.codec not in VECTOR_CODECS:
            video.refuse("this codec exports no motion vectors", _REENCODE)
        run = _Run(video, min(chunk_bytes, CHUNK_BYTES))
        most_frames = MAX_GRID_BYTES // _grid_bytes(video)
        count = 0
        for frame in video.frames():
            run.add(frame)
            del frame  # or the collection in `frames` would find it alive
            count += 1
            if whole and count > most_frames:
                video.refuse(f"more than {most_frames} frames of this size", "Cut it into clips")
            if run.size >= chunk_bytes * (1 if run.may_end() else MOST_CHUNKS):
                yield run.take()
        if whole and count == 1:
            video.refuse("it has one frame, so no motion", "Leave it out of the lists")
        if run.pictures:
            yield run.take()


def read_frames(path: Path, indices: Sequence[int]) -> np.ndarray:
    """Decode chosen frames exactly.

    Args:
        path: A video file of any codec that decodes.
        indices: Positions among the decoded frames in presentation order, from 0; any order, repeats allowed.

    Returns:
        uint8 (len(indices), h, w, 3), RGB.

    Raises:
        VideoError: the file is damaged before the last wanted frame, or an index lies outside it.
    """
    if not len(indices) or min(indices) < 0:
        raise VideoError(f"{path}: frame indices must be 0 or more and at least one, got {indices}")
    wanted = {int(index) for index in indices}
    last = max(wanted)
    found: dict[int, np.ndarray] = {}
    count = 0
    with _open(path, {}) as video:
        for count, frame in enumerate(video.frames(), start=1):
            if count - 1 in wanted:
                found[count - 1] = frame.to_ndarray(format="rgb24")
            if count > last:
                break
        else:
            video.refuse(f"frame {last} was asked for, of {count}", "Prepare the manifest again")
    return np.stack([found[int(index)] for index in indices])


@contextmanager
def decoding(path: Path, middle: Watcher | None = None) -> Iterator[tuple[float, Iterator[Any]]]:
    """Frames per second, and every frame as PyAV's `VideoFrame`; raises as `probe` does, inside the block."""
    with _open(path, {}, middle) as video:
        yield video.fps, video.frames()


class _Video:
    """An open file and its first video stream; every problem leaves it as a `VideoError`."""

    def __init__(self, path: Path, container: Any, options: dict[str, str], middle: Watcher | None) -> None:
        self.path = path
        self.middle = middle
        self.container = container
        self.codec = "no video"
        if not container.streams.video:
            self.refuse("it has no video stream (audio only?)", "Leave it out of the lists")
        self.stream = container.streams.video[0]
        context = self.stream.codec_context
        if context is None:
            self.refuse("its codec has no decoder here", _CONVERT)
        self.codec = context.codec.canonical_name
        # Read now: `lowres` shrinks the size that the context states once a frame was decoded.
        self.width, self.height = context.width, context.height
        if self.width * self.height > MAX_PIXELS:
            self.refuse(f"{self.width} x {self.height} pixels, the limit is {MAX_PIXELS}", _CONVERT)
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.fps = float(rate) if rate else 0.0
        self.size = (0, 0, 0, 0)
        context.thread_count = 1
        # Without "explode" a decoder paints over damage, and says so at full size only.
        limit = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}
        # Snow refuses another size; other decoders that know none ignore it.
        skipped = {"lowres"} if self.codec == "snow" else set()
        context.options = limit | {k: v for k, v in options.items() if k not in skipped}
        if middle is not None:
            middle.expect(self.stream.frames or _count_packets(path))

    def refuse(self, reason: str, remedy: str) -> NoReturn:
        raise VideoError(f"{self.path} ({self.codec}): {reason}. {remedy}.")

    def frames(self) -> Iterator[Any]:
        """Every frame in presentation order; damage anywhere is an error, so a full read is a whole video."""
        try:
            yield from self._decode()
        except (av.error.FFmpegError, MemoryError, OverflowError, ValueError) as error:
            reason = f"does not decode ({error})"
            raise VideoError(f"{self.path} ({self.codec}): {reason}. {_COPY_AGAIN}.") from error

    def _decode(self) -> Iterator[Any]:
        packets = -1  # the empty packet that flushes the decoder is no part of the file
        count = 0
        for packet in self.container.demux(self.stream):
            packets += 1
            if packet.is_corrupt:
                self.refuse(f"damaged or cut off after {count} frames", _COPY_AGAIN)
            for frame in packet.decode():
                self._check(frame, count)
                if self.middle is not None:
                    self.middle.see(count, partial(frame.to_ndarray, format="rgb24"), frame)
                count += 1
                yield frame
            frame = None  # one that is still held would move to an older generation, and stay
            if packets % _COLLECT_EVERY == 0:
                gc.collect(0)
        if count == 0:
            self.refuse("no frame decodes", _COPY_AGAIN)
        if packets < self.stream.frames - STATED_SLACK:
            reason = f"cut off: its header states {self.stream.frames} frames, {packets} are there"
            self.refuse(reason, _COPY_AGAIN)

    def _check(self, frame: Any, index: int) -> None:
        if frame.is_corrupt:
            self.refuse(f"frame {index} is damaged", _COPY_AGAIN)
        context = self.stream.codec_context
        # The decoded size alone would hide a small change under `lowres`, the coded size one within a block.
        size = (frame.width, frame.height, context.coded_width, context.coded_height)
        if index == 0:
            self.size = size
            if frame.rotation:
                reason = f"it is to be shown rotated by {frame.rotation} degrees, but vectors are not"
                self.refuse(reason, _CONVERT)
        elif size != self.size:
            self.refuse(f"the picture size changes at frame {index}", _CONVERT)


def _grid_bytes(video: "_Video") -> int:
    """Bytes of one frame on the finest grid: two a cell of 8 px."""
    return max(1, -(-video.width // 8) * -(-video.height // 8) * 2)


class _Run:
    """Frames gathered until they are handed on as one `MotionVectors`.

    The buffer is used again for the next run: fresh memory for every run costs a tenth of the decoding time.
    """

    def __init__(self, video: _Video, capacity: int) -> None:
        self.video = video
        self.loses_b = video.codec == _LOST_IN_B_FRAMES
        # A frame without vectors costs memory too, while a grid is made: three numbers a cell.
        self.frame_bytes = 12 * _grid_bytes(video)
        self.buffer = memoryview(bytearray(capacity))
        self.ends = [0]
        self.pictures: list[int] = []

    def add(self, frame: Any) -> None:
        side = frame.side_data.get("MOTION_VECTORS")
        picture = frame.pict_type
        end = self.ends[-1]
        if side is not None and not (self.loses_b and picture == PictureType.B):
            start, end = end, end + side.buffer_size
            if end > len(self.buffer):
                self.buffer = memoryview(bytearray(self.buffer) + bytes(end))
            self.buffer[start:end] = side
        self.ends.append(end)
        self.pictures.append(picture)

    @property
    def size(self) -> int:
        return self.ends[-1] + len(self.pictures) * self.frame_bytes

    def may_end(self) -> bool:
        return self.pictures[-1] != PictureType.B

    def take(self) -> MotionVectors:
        offsets = np.array(self.ends, dtype=np.int64) // VECTOR_DTYPE.itemsize
        pictures = np.array(self.pictures, dtype=np.uint8)
        records = np.frombuffer(self.buffer, dtype=VECTOR_DTYPE, count=int(offsets[-1]))
        video = self.video
        self.ends, self.pictures = [0], []
        known = video.codec in NEAREST_REFERENCE_CODECS
        past, future = reference_distances(pictures == PictureType.B, known)
        return MotionVectors(
            records=records,
            offsets=offsets,
            state=_states(pictures, np.diff(offsets)),
            past_frames=past,
            future_frames=future,
            width=video.width,
            height=video.height,
            fps=video.fps,
            codec=video.codec,
        )


def _states(pictures: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    intra = np.isin(pictures, (PictureType.I, PictureType.SI, PictureType.BI))
    empty = np.where(intra, FrameState.KEY, FrameState.NONE)
    return np.where(vectors > 0, FrameState.VECTORS, empty).astype(np.uint8)


@contextmanager
def _open(path: Path, options: dict[str, str], middle: Watcher | None = None) -> Iterator[_Video]:
    """Open a file for decoding."""
    with _container(path) as container:
        yield _Video(path, container, options, middle)
    gc.collect(1)


def _count_packets(path: Path) -> int:
    """Packets of the video stream, without decoding one: about as many as frames, where no header states these."""
    with _container(path) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))


def _container(path: Path) -> Any:
    if not path.is_file():
        raise VideoError(f"{path}: no such file. Check data.root and the lists.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty. {_COPY_AGAIN}.")
    try:
        # "file:" keeps a name such as "concat:a|b" a name; metadata need not be UTF-8 to decode the pictures.
        return av.open(
            f"file:{path}",
            metadata_errors="ignore",
            container_options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"},
        )
    except (av.error.FFmpegError, ValueError) as error:
        reason = f"is no video container that is read here ({error})"
        raise VideoError(f"{path}: {reason}. {_COPY_AGAIN}, or convert it.") from error
