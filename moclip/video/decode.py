"""Video files in, motion vectors and frames out: the only reader of compressed video here.

Axes: t frames in presentation order, n vectors, h and w pixels. Decoding runs on one thread, because frame threads give
different H.264 vectors from run to run; parallel work goes over files (`moclip.motion.extract`).
"""

import functools
import gc
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

import av
import numpy as np

from moclip.base.errors import VideoError
from moclip.video.bounded.limits import GIB, Clock, current, out_of_time
from moclip.video.bounded.system import opening
from moclip.video.coded import READERS, Reader
from moclip.video.file import shard, streams, transport
from moclip.video.file import whole as wholeness
from moclip.video.file.extent import extent
from moclip.video.frames import middle_frame
from moclip.video.runs import Order, Run
from moclip.video.turn import Turn, turn_of
from moclip.video.vectors import VECTOR_CODECS, MotionVectors

log = logging.getLogger(__name__)

CHUNK_BYTES = 4 << 20  # vectors of one file that are held at once while a grid is built
MOST_CHUNKS = 16  # a run that waits so long for its end holds nothing but B-frames: it is cut anyway
MAX_GRID_BYTES = 1 << 34  # of one file on a grid of 8 px, on disk: 265,000 frames of 1920 x 1080, three hours

# Script-like formats (HLS, concat) are left out: they would open other files than the one that was named.
CONTAINERS = "avi,mov,matroska,mpeg,mpegts,mpegvideo,m4v,flv,asf,ogg,h264,h263,hevc,ivf,nut"
# PyAV 18 ties a frame and its side data in a cycle, so that only the garbage collector gives pictures
# back to the decoder: without this a 4K film would hold gigabytes, and a small one decodes 10 % slower.
# One that is alive then, as the next to be filled always is, moves to an older generation, where it waits as garbage.
_COLLECT_EVERY = {2: 256, 1: 16, 0: 1}  # turns by generation
_TURN_PACKETS, _TURN_BYTES = 16, 48 << 20  # of pictures that wait: fewer where they are large
_TURNED_BY_PICTURES = ("h264", "hevc", "vvc")  # their pictures may say so, beside the container
_FAST = {"skip_idct": "all", "skip_loop_filter": "all", "lowres": "3"}
_EXPORT = {"flags2": "+export_mvs"}
# Unless told so, a decoder rounds a crop on the left down, to rows that begin where its machine likes it.
_EXACT_CROP = {"flags": "+unaligned"}
_MOST_FIELDS = 0.25  # of the area that has vectors; beyond it too little is left

_COPY_AGAIN = (
    "Copy or download the file again, or take it out of the data set; data.damaged: keep leaves it there with the part "
    "that decodes"
)
_REENCODE = (
    "Re-encode it (motion.source: reencoded, moclip motion --reencode, moclip predict --reencode, or of a server the "
    "parameter `reencode`; by hand `ffmpeg -i IN -c:v mpeg4 OUT.avi`)"
)
_FIELDS = "coded as fields (interlaced), and FFmpeg exports such vectors without saying which field they mean"
_CUT = "Else cut it into clips"
# Times the limit, of pictures that FFmpeg decodes while it opens a file: of a larger one it does not tell the size.
_LOOKED_AT = 4
# Times the limit, of pictures as decoders lay them out: with edges, in whole blocks, which is much for small ones.
_PADDED, _SMALL_PX = 2, 1 << 18
_SLIMMEST = 64  # a picture is fitted to a network's square by its shorter side
_USUAL_BITS = 12  # of a pixel, 4:2:0, where a format does not say
_CONVERT = "Convert it once, for example with `ffmpeg -i IN OUT.avi`, and use the result"
_PREPARE = "Prepare the manifest again"
_TOO_SHORT = (
    "Two frames are needed: name another video, or take it out of the data set, by hand or by data.short_videos: drop"
)


@dataclass(frozen=True)
class VideoInfo:
    """One video stream; `frames` counts those that decode, which may be one less than the container states.

    `damage` says what ends a video before its end, where that was allowed, and `note` what a person should know of how
    it was read; both are empty for nearly all.
    """

    codec: str
    width: int
    height: int
    fps: float
    frames: int
    damage: str = ""
    note: str = ""


def versions() -> dict[str, str]:
    """Versions of the decoder that a result depends on."""
    return {"pyav": av.__version__, "ffmpeg": av.ffmpeg_version_info}


def probe(path: Path, *, damaged: bool = False) -> VideoInfo:
    """Describe a video, decoding it once on the fast path to count its frames.

    Args:
        path: A video file.
        damaged: Take what decodes before the first damage. Readers of a damaged video have this option too, and see
            the same frames.

    Raises:
        VideoError: the file has no video stream that decodes without damage, or with `damaged` no frame that does.
    """
    with _open(path, _FAST, damaged=damaged) as video:
        frames = sum(1 for _ in video.frames())
    if video.damage:  # other paths may notice it at another frame: all that read it take the plain one
        with _open(path, {}, damaged=True) as video:
            frames = sum(1 for _ in video.frames())
    note = "; ".join(part for part in (video.note, video.unsaid) if part)
    width, height = video.turn.size(video.width, video.height)
    return VideoInfo(video.codec, width, height, video.fps, frames, video.damage, note)


def glance(path: Path) -> tuple[str, float]:
    """Codec and frames per second as the headers state them, 0 where they do not; no frame is decoded.

    Raises:
        VideoError: the file has no video stream that could be decoded here.
    """
    with _open(path, {}) as video:
        return video.codec, video.fps


class Watcher(Protocol):
    """Sees the frames of a pass that is made for something else, so that a video decodes once."""

    def expect(self, stated: Callable[[], int]) -> None:
        """Told before the pass how to learn the number of frames that are stated; it may take a look at all packets."""

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

    def expect(self, stated: Callable[[], int]) -> None:
        """Told before the pass how to learn the number of frames that are stated."""
        frames = stated()
        self._likely = {middle_frame(max(1, count)) for count in (frames - 1, frames, frames + 1)}

    def see(self, index: int, picture: Callable[[], np.ndarray], frame: Any) -> None:
        """Told of every frame of the pass, and how to get its picture."""
        if index in self._likely:
            self._kept[index] = picture()

    def picture(self, path: Path, frames: int) -> np.ndarray:
        """The middle one of the `frames` that were seen, uint8 (h, w, 3), as `read_frames` gives it."""
        index = middle_frame(frames)
        return self._kept[index] if index in self._kept else read_frames(path, [index])[0]


class Chosen:
    """Frames of a video by their positions, kept during a pass that is made for something else."""

    def __init__(self, indices: Collection[int]) -> None:
        self._wanted = sorted(set(indices))
        self._pictures: list[np.ndarray] = []
        self._count = 0

    def expect(self, stated: Callable[[], int]) -> None:
        """Nothing hangs on how many frames are stated."""

    def see(self, index: int, picture: Callable[[], np.ndarray], frame: Any) -> None:
        """Told of every frame of the pass, and how to get its picture."""
        self._count = index + 1
        if index in self._wanted:
            self._pictures.append(picture())

    def pictures(self, path: Path) -> np.ndarray:
        """The frames in ascending order, uint8 (t, h, w, 3), as `read_frames` gives them.

        Raises:
            VideoError: the pass ended before one of them came.
        """
        if len(self._pictures) < len(self._wanted):
            raise VideoError(f"{path}: {_asked(self._wanted[-1], self._count)}. {_PREPARE}.")
        return np.stack(self._pictures)


def stream_motion(
    path: Path,
    *,
    fast: bool = True,
    chunk_bytes: int = CHUNK_BYTES,
    middle: Watcher | None = None,
    whole: bool = True,
    damaged: bool = False,
) -> Iterator[MotionVectors]:
    """The motion vectors of a video in runs of frames that hold about `chunk_bytes`, so that memory stays bounded.

    They are those of the picture as it is shown: without what its header crops, and turned as its display matrix says.

    The records of a run are overwritten by the next one: use them, or copy them, before going on.

    A run ends after a frame that others refer to, so each can be used by itself.

    Args:
        path: A video file of one of `VECTOR_CODECS`.
        fast: Skip what only pixels need (transform, loop filter, full size). The vectors are the same, field by field.
        chunk_bytes: Size of a run.
        middle: Keeps pictures; nothing is skipped then, so `fast` has no effect.
        whole: The runs become one grid in memory, so a video is refused whose grid would be larger than
            `MAX_GRID_BYTES`, or that has one frame; one that is read run by run may have any number.
        damaged: As for `probe`; nothing is skipped then.

    Raises:
        VideoError: the codec has no vectors, those it has are of fields (interlaced), the file is damaged or too long,
            or its size, crop or turn changes; this may come after the first runs, so nothing is sound before the end is
            reached.
    """
    skip = fast and middle is None and not damaged
    with _open(path, {**_EXPORT, **_FAST} if skip else _EXPORT, middle, damaged=damaged) as video:
        if video.codec not in VECTOR_CODECS:
            video.refuse("this codec exports no motion vectors", _REENCODE)
        # A frame without vectors costs memory too, while a grid is made: three numbers a cell.
        run = Run(video.codec, 12 * _grid_bytes(video), min(chunk_bytes, CHUNK_BYTES))
        video.read_packets(run.order)
        most_frames = MAX_GRID_BYTES // _grid_bytes(video)
        count = 0
        for frame in video.frames():
            run.add(frame)
            del frame  # or the collection in `frames` would find it alive
            count += 1
            if whole and count > most_frames:
                video.refuse(f"more than {most_frames} frames of this size", "Cut it into clips")
            if run.size >= chunk_bytes * (1 if run.may_end() else MOST_CHUNKS):
                yield run.take(video.width, video.height, video.fps, video.turn)
        if whole and count == 1:
            video.refuse("it has one frame, so no motion", _TOO_SHORT)
        if run.pictures:
            yield run.take(video.width, video.height, video.fps, video.turn)
        if run.field_area_px > _MOST_FIELDS * run.area_px:
            video.refuse(f"{run.field_area_px / run.area_px:.0%} of what moves is {_FIELDS}", _REENCODE)


def read_frames(path: Path, indices: Sequence[int], *, damaged: bool = False) -> np.ndarray:
    """Decode chosen frames exactly.

    Args:
        path: A video file of any codec that decodes.
        indices: Positions among the decoded frames in presentation order, from 0; any order, repeats allowed.
        damaged: As for `probe`.

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
    with _open(path, {}, damaged=damaged) as video:
        for count, frame in enumerate(video.frames(), start=1):
            if count - 1 in wanted:
                found[count - 1] = video.picture(frame)
            if count > last:
                break
        else:
            video.refuse(_asked(last, count), _PREPARE)
    return np.stack([found[int(index)] for index in indices])


@contextmanager
def decoding(
    path: Path, middle: Watcher | None = None, *, damaged: bool = False
) -> Iterator[tuple[float, Iterator[Any]]]:
    """Frames per second, and every frame as it is to be shown, as PyAV's `VideoFrame`; raises as `probe` does, inside
    the block."""
    with _open(path, {}, middle, damaged=damaged) as video:
        yield video.fps, map(video.shown, video.frames())


def count_frames(path: Path, middle: Watcher | None = None) -> int:
    """Frames of a video whose motion nobody asks for, so that its codec need not have any; raises as `probe` does."""
    with decoding(path, middle) as (_, frames):
        return sum(1 for _ in frames)


def pictures(path: Path) -> Iterator[np.ndarray]:
    """Every frame as it is to be shown, uint8 (h, w, 3), RGB; raises as `probe` does."""
    with _open(path, {}) as video:
        for frame in video.frames():
            picture = video.picture(frame)
            del frame
            yield picture


def chosen_pictures(path: Path, wanted: Collection[int]) -> Iterator[np.ndarray]:
    """Some frames in their order, one at a time, as `pictures` gives all; `read_frames` holds them at once."""
    last = max(wanted)
    with _open(path, {}) as video:
        for number, frame in enumerate(video.frames()):
            picture = video.picture(frame) if number in wanted else None
            del frame
            if picture is not None:
                yield picture
            if number == last:
                return


class _DamageError(VideoError):
    """Pictures are broken or missing; what decodes before may be used."""


class _Video:
    """An open file and the stream of its film; every problem leaves it as a `VideoError`."""

    def __init__(
        self, path: Path, container: Any, options: dict[str, str], middle: Watcher | None, damaged: bool
    ) -> None:
        self.path = path
        self.middle = middle
        self.container = container
        self.damaged = damaged
        self.damage = ""
        self.codec = "no video"
        self.count = self.frame_bytes = 0
        self.losses: bool | None = None
        place = shard.find(path)
        assert place is not None, "it is open"
        self.place = place
        self.extent = extent(place, container.format.name)
        chosen = streams.choose(container.streams)
        if chosen is None and self.extent.lacks:
            self.refuse(f"cut off: {self.extent.lacks}", _COPY_AGAIN)
        if chosen is None:
            self.refuse("it has no video stream (sound alone, or with a cover picture)", "Name another, or remove it")
        self.stream, self.note = chosen
        _tell(path, self.note)
        context = self.stream.codec_context
        if context is None and self.extent.lacks:  # it may lie in what is missing which codec it is
            self.refuse(f"cut off: {self.extent.lacks}", _COPY_AGAIN)
        if context is None:
            self.refuse("its codec has no decoder here", _CONVERT)
        self.codec = context.codec.canonical_name
        # Read now: `lowres` shrinks the size that the context states once a frame was decoded.
        self.width, self.height = context.width, context.height
        self.limits, self.clock = current(), Clock()
        self._check_size()
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.fps = float(rate) if rate else 0.0
        self.size = (0, 0, 0, 0)
        self.turn = Turn()
        self.rotation = 0
        self.reads_side_data = self.codec in _TURNED_BY_PICTURES and "flags2" in options
        self.reader: Reader | None = None
        self.crop: tuple[int, int] | None = None
        context.thread_count = 1
        # Without "explode" a decoder paints over damage, and says so at full size only.
        limit = {
            "max_pixels": str(_PADDED * max(self.limits.pixels, _SMALL_PX)),
            "err_detect": "explode",
            **_EXACT_CROP,
        }
        # Snow refuses another size; other decoders that know none ignore it.
        skipped = {"lowres"} if self.codec == "snow" else set()
        context.options = limit | {k: v for k, v in options.items() if k not in skipped}
        self.unsaid = wholeness.unsaid(container, self.stream, self.extent)
        if middle is not None:
            middle.expect(lambda: wholeness.stated_frames(self.stream) or _count_packets(path))

    def _check_size(self) -> None:
        """Hold what the headers state against the limits, before anything is decoded."""
        limits, pixels = self.limits, self.width * self.height
        frames = wholeness.stated_frames(self.stream)
        if frames > limits.frames:
            self.refuse(limits.refusal("frames", f"states {frames} frames"), _CUT)
        if pixels == 0:
            found = f"states no picture size, or more than {_LOOKED_AT * limits.pixels} pixels"
            self.refuse(limits.refusal("pixels", found), _CONVERT)
        self._check_picture(self.width, self.height)
        form = self.stream.codec_context.format
        bits = form.padded_bits_per_pixel if form else _USUAL_BITS
        self.frame_bytes = max(1, pixels * bits // 8)
        self._check_bytes(frames)
        self._check_table()

    def _check_picture(self, width: int, height: int) -> None:
        """Hold a picture's size against the limits, and its sides against each other."""
        if width * height > self.limits.pixels:
            self.refuse(self.limits.refusal("pixels", f"{width} x {height} pixels"), self._smaller())
        if max(width, height) > _SLIMMEST * min(width, height):
            found = f"its {width} x {height} pixels are more than {_SLIMMEST} times as long one way as the other"
            self.refuse(
                found, "Cut a part out of it, for example with `ffmpeg -i IN -vf crop=W:H OUT.avi`, and use that"
            )

    def _check_table(self) -> None:
        """Hold the sizes of a table's pictures against the file."""
        if wholeness.has_table(self.container) and not self.extent.lacks:
            self._hold_promise(sum(entry.size for entry in self.stream.index_entries))

    def _hold_promise(self, pictures_bytes: int) -> None:
        if pictures_bytes > self.place.size:
            found = f"its table promises {pictures_bytes} bytes of pictures, the whole file has {self.place.size}"
            self.refuse(found, _CONVERT)

    def _check_bytes(self, frames: int) -> None:
        gib = frames * self.frame_bytes / GIB
        if gib > self.limits.decoded_gib:
            found = f"{frames} frames of {self.width} x {self.height} are {gib:.3g} GiB"
            self.refuse(self.limits.refusal("decoded_gib", found), _CUT)

    def _check_count(self) -> None:
        """Hold what was decoded so far against the limits; a header may have stated less, or nothing."""
        if self.count >= self.limits.frames:
            self.refuse(self.limits.refusal("frames", f"more than {self.count} frames"), _CUT)
        self._check_bytes(self.count + 1)

    def refuse(self, reason: str, remedy: str) -> NoReturn:
        raise VideoError(f"{self.path} ({self.codec}): {reason}. {remedy}.")

    def read_packets(self, order: Order) -> None:
        """Read what packets say of their pictures, where the codec needs it; frames then have it as `opaque`."""
        if self.codec in READERS:
            context = self.stream.codec_context
            self.reader, self.order = READERS[self.codec](), order
            self.reader.configure(context.extradata)
            context.copy_opaque = True

    def picture(self, frame: Any) -> np.ndarray:
        """A frame as it is to be shown, uint8 (h, w, 3)."""
        return self.turn.picture(frame.to_ndarray(format="rgb24"))

    def shown(self, frame: Any) -> Any:
        """The same as PyAV's `VideoFrame`."""
        return frame if self.turn.is_none else av.VideoFrame.from_ndarray(self.picture(frame), format="rgb24")

    def frames(self) -> Iterator[Any]:
        """Every frame in presentation order; damage anywhere is an error, so a full read is a whole video.

        Where damage is allowed, frames end before the first of it.
        """
        try:
            yield from self._decode()
        except _DamageError as error:
            self._end_by(str(error), error)
        except (av.error.FFmpegError, MemoryError, OverflowError, ValueError) as error:
            found = f"does not decode ({error})"
            is_memory = isinstance(error, MemoryError)
            self._end_by(self.limits.refusal("memory_mib", found) if is_memory else found, error)

    def _end_by(self, reason: str, error: Exception) -> None:
        if not self.damaged or self.count == 0:
            raise VideoError(f"{self.path} ({self.codec}): {reason}. {_COPY_AGAIN}.") from error
        self.damage = reason

    def _decode(self) -> Iterator[Any]:
        if (reason := wholeness.torn(self.extent, self._reopen)) and not self.damaged:
            raise _DamageError(reason)
        turn = max(1, min(_TURN_PACKETS, _TURN_BYTES // self.frame_bytes))
        packets = -1  # the empty packet that flushes the decoder is no part of the file
        pictures_bytes = 0
        has_table = wholeness.has_table(self.container)
        for found in self.container.demux(self.stream):
            packets += 1
            pictures_bytes += found.size
            if has_table:  # that of fragments goes on behind the header
                self._hold_promise(pictures_bytes)
            if self.clock.seconds > self.limits.seconds:
                raise out_of_time(f"{self.path} ({self.codec})")
            packet = self._excused(found) if found.is_corrupt else found
            if self.reader is not None and packet.size:
                self._read(self.reader, packet)
            for frame in packet.decode():
                self._check_count()
                self._check(frame, self.count)
                if self.middle is not None:
                    self.middle.see(self.count, partial(self.picture, frame), frame)
                self.count += 1
                with self.clock.stopped():
                    yield frame
            frame = None  # one that is still held would move to an older generation, and stay
            if packets % turn == 0:
                _collect(packets // turn)
        if self.count == 0:
            raise _DamageError("no frame decodes")
        if reason := reason or wholeness.shortage(
            self.place, self.container, self.stream, packets, self.extent, self._reopen
        ):
            raise _DamageError(reason)

    def _excused(self, packet: Any) -> Any:
        """A packet that FFmpeg calls corrupt, without that mark: files laid end to end count their packets anew."""
        is_transport = self.container.format.name == "mpegts"
        if self.losses is None:
            self.losses = not is_transport or transport.has_losses(self.place, self.stream.id)
        if self.losses:
            raise _DamageError(f"damaged or cut off after {self.count} frames")
        whole_packet = av.Packet(bytes(packet))
        whole_packet.stream, whole_packet.time_base = packet.stream, packet.time_base
        whole_packet.pts, whole_packet.dts = packet.pts, packet.dts
        return whole_packet

    def _reopen(self, options: Mapping[str, str] = MappingProxyType({})) -> Any:
        return open_container(self.path, options)

    def _smaller(self) -> str:
        """What brings a picture below the limit, in even sizes."""
        scale = (self.limits.pixels / 2 / (self.width * self.height)) ** 0.5
        width, height = (max(2, int(side * scale) // 2 * 2) for side in (self.width, self.height))
        return (
            f"Make it smaller, for example with `ffmpeg -i IN -vf scale={width}:{height} OUT.avi`, and use the result"
        )

    def _read(self, reader: Reader, packet: Any) -> None:
        if packet.has_sidedata("new_extradata"):
            reader.configure(bytes(packet.get_sidedata("new_extradata")))
        coded = reader.read(bytes(packet))
        if coded is None:
            return
        if coded.has_fields:
            self.refuse(f"its blocks may be {_FIELDS}", _REENCODE)
        if coded.crop != (self.crop or coded.crop):
            self.refuse("its crop changes", _CONVERT)
        self.crop = coded.crop
        time_s = None if packet.pts is None else float(packet.pts * packet.time_base)
        self.order.decodes(coded, time_s, packet.is_discard)
        packet.opaque = coded

    def _check(self, frame: Any, index: int) -> None:
        if frame.is_corrupt:
            raise _DamageError(f"frame {index} is damaged")
        context = self.stream.codec_context
        # The decoded size alone would hide a small change under `lowres`, the coded size one within a block.
        size = (frame.width, frame.height, context.coded_width, context.coded_height)
        if index == 0:
            self._check_picture(frame.width, frame.height)
            self.size = size
            self.turn = self._turn(frame) or self.turn
            self.rotation = frame.rotation
        elif size != self.size:
            self.refuse(f"the picture size changes at frame {index}", _CONVERT)
        elif self._may_turn(frame) and (self._turn(frame) or self.turn) != self.turn:
            self.refuse(f"how it is to be turned changes at frame {index}", _CONVERT)

    def _may_turn(self, frame: Any) -> bool:
        """Whether to look at a later frame's matrix: not where its side data would be fetched for that alone."""
        return self.reads_side_data or frame.rotation not in (0, self.rotation)

    def _turn(self, frame: Any) -> Turn | None:
        """How a frame is to be shown, where it says so."""
        matrix = frame.side_data.get("DISPLAYMATRIX")
        try:
            return None if matrix is None else turn_of(bytes(matrix))
        except ValueError as error:
            self.refuse(f"it is to be shown {error}, but only quarter turns and mirrors are followed", _CONVERT)


def _asked(frame: int, frames: int) -> str:
    return f"frame {frame} was asked for, of {frames}"


def _collect(turn: int) -> None:
    gc.collect(next(one for one, every in _COLLECT_EVERY.items() if turn % every == 0) if turn else 0)


def _grid_bytes(video: "_Video") -> int:
    """Bytes of one frame on the finest grid: two a cell of 8 px."""
    return max(1, -(-video.width // 8) * -(-video.height // 8) * 2)


@contextmanager
def _open(
    path: Path, options: dict[str, str], middle: Watcher | None = None, *, damaged: bool = False
) -> Iterator[_Video]:
    """Open a file for decoding."""
    with open_container(path) as container:
        yield _Video(path, container, options, middle, damaged)
    gc.collect(1)


def _count_packets(path: Path) -> int:
    """Packets of the video stream, without decoding one: about as many as frames, where no header states these.

    More than the limit of frames are not counted, nor what stands behind damage: decoding ends there.
    """
    count = 0
    with open_container(path) as container, suppress(OSError, ValueError):  # FFmpeg's errors are of these kinds
        chosen = streams.choose(container.streams)
        for packet in container.demux(chosen.stream) if chosen else ():
            count += packet.size > 0
            if count > current().frames:
                break
    return count


@functools.lru_cache(maxsize=4096)
def _tell(path: Path, note: str) -> None:
    """Say once of a file what a person should know."""
    if note:
        log.info("%s: %s", path, note)


def open_container(path: Path, options: Mapping[str, str] = MappingProxyType({})) -> Any:
    """An open file, as PyAV's `InputContainer`.

    Raises:
        VideoError: there is none, it may not be read, it is no video container, or its tables take more memory than the
            limit.
    """
    try:
        place = shard.find(path)
        if place is None:
            fault = "is no regular file" if path.exists() else "no such file"
            raise VideoError(f"{path}: {fault}. Check the name, or data.root and the lists of a data set.")
        if place.size == 0:
            raise VideoError(f"{path}: the file is empty. {_COPY_AGAIN}.")
        with opening():
            return _opened(place, options)
    except PermissionError as error:  # FFmpeg's is one too
        raise VideoError(f"{path}: permission denied; check who may read it.") from error
    except (av.error.MemoryError, MemoryError) as error:
        found = current().refusal("memory_mib", "opening it takes too much memory")
        raise VideoError(f"{path}: {found}.") from error
    except (av.error.FFmpegError, ValueError) as error:
        reason = f"is no video container that is read here ({error})"
        raise VideoError(f"{path}: {reason}. {_COPY_AGAIN}, or convert it.") from error


def _opened(place: shard.Place, options: Mapping[str, str]) -> Any:
    # "file:" keeps a name such as "concat:a|b" a name; metadata need not be UTF-8 to decode the pictures.
    # Of a tar FFmpeg gets the bytes of the one member, by no protocol, so that none is allowed for it.
    return av.open(
        place.open() if place.is_member else f"file:{place.file}",
        metadata_errors="ignore",
        options={"max_pixels": str(_LOOKED_AT * current().pixels)},
        container_options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file", **options},
    )
