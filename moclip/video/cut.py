"""Stretches of a video as files of their own, packet by packet: nothing is decoded, and nothing encoded again.

A stretch begins at the last key frame at or before its start, for no player could show it otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from moclip.base.errors import VideoError
from moclip.base.files import remove
from moclip.video.decode import open_container, probe
from moclip.video.file.streams import choose

# By the name of what reads a container: what writes it, and the ending that other programs know it by.
_WRITERS = {
    "avi": ("avi", ".avi"),
    "mov,mp4,m4a,3gp,3g2,mj2": ("mp4", ".mp4"),
    "matroska,webm": ("matroska", ".mkv"),
    "mpegts": ("mpegts", ".ts"),
    "mpeg": ("vob", ".mpg"),
    "flv": ("flv", ".flv"),
    "asf": ("asf", ".asf"),
    "ogg": ("ogg", ".ogv"),
    "nut": ("nut", ".nut"),
}
_ENDINGS = {".mov": "mov", ".webm": "webm"}  # of readers that stand for several containers


@dataclass(frozen=True)
class Cut:
    """A stretch that was written.

    Attributes:
        path: The file.
        start_s: Where it begins, in seconds from the video's first frame: a key frame, at or before what was asked for.
        end_s: Where it ends.
    """

    path: Path
    start_s: float
    end_s: float


def ending_of(path: Path) -> str:
    """Ending of the files that a video is cut into.

    Raises:
        VideoError: its container has no time stamps, or cannot be written here.
    """
    with _open(path) as source:
        return _writer(path, source)[1]


def cut(path: Path, span_s: tuple[float, float], out: Path, first_s: float = 0.0) -> Cut:
    """Copy one stretch of a video, with its sound, into a file.

    Args:
        path: The video.
        span_s: Start and end in seconds from the first frame.
        out: The file to make, with the ending that `ending_of` gives.
        first_s: Time stamp of the first frame in the container.

    Raises:
        VideoError: the container does not allow it, with the reason; nothing is left at `out`.
    """
    try:
        start_s = _copy(path, (span_s[0] + first_s, span_s[1] + first_s), out) - first_s
        probe(out)
    except (av.error.FFmpegError, OSError, ValueError, VideoError) as error:
        remove(out)
        reason = str(error).replace(str(out), "what was copied")
        raise VideoError(f"{path}: cannot be cut without re-encoding ({reason})") from error
    return Cut(out, max(0.0, start_s), span_s[1])


def _copy(path: Path, span_s: tuple[float, float], out: Path) -> float:
    """Copy packets from the last key frame before a stretch to its end; returns when that key frame is shown."""
    with _open(path) as source:
        writer, _ = _writer(path, source)
        start_s = _key_before(source, span_s[0])
    with _open(path) as source, av.open(f"file:{out}", "w", format=writer) as target:
        video = _film(source)
        streams = {one.index: target.add_stream_from_template(one) for one in (video, *source.streams.audio)}
        begun = False
        for packet in source.demux([source.streams[index] for index in streams]):
            time = _time(packet)
            if time is None:
                continue
            is_video = packet.stream.index == video.index
            begun = begun or (is_video and packet.is_keyframe and time >= start_s - 1e-6)
            if not begun or time < start_s - 1e-6:
                continue
            if _decoded(packet) >= span_s[1]:
                if is_video:
                    break
                continue
            _move(packet, start_s)
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    return start_s


def _film(source: Any) -> Any:
    """The stream that is searched, of several that a file may have."""
    chosen = choose(source.streams)
    assert chosen is not None, "moments were found in it"
    return chosen.stream


def _key_before(source: Any, start_s: float) -> float:
    """When the last key frame that is shown at or before a time is shown, and the first one where none is."""
    video = _film(source)
    found = math.inf
    for packet in source.demux(video):
        time = _time(packet)
        if time is None or not packet.is_keyframe:
            continue
        if time > start_s + 1e-6 and found < math.inf:
            break
        found = time
    if found == math.inf:
        raise ValueError("no key frame has a time stamp")
    return found


def _time(packet: Any) -> float | None:
    """When a packet is shown, in seconds of the container; None for the empty one at the end, and without a stamp."""
    stamp = packet.dts if packet.pts is None else packet.pts
    return None if stamp is None or not packet.size else float(stamp * packet.time_base)


def _decoded(packet: Any) -> float:
    return float((packet.pts if packet.dts is None else packet.dts) * packet.time_base)


def _move(packet: Any, start_s: float) -> None:
    """Let a packet's stamps count from the start of the stretch."""
    shift = round(start_s / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts - shift
    packet.dts = None if packet.dts is None else packet.dts - shift


def _writer(path: Path, source: Any) -> tuple[str, str]:
    found = _WRITERS.get(source.format.name)
    if found is None:
        raise VideoError(f"{path}: cannot be cut without re-encoding (a stream of the form '{source.format.name}')")
    own = path.suffix.lower()
    return (_ENDINGS[own], own) if own in _ENDINGS else found


def _open(path: Path) -> Any:
    return open_container(path)


def remedy(path: Path, cut_s: Sequence[float], out: str) -> str:
    """How a stretch is cut by re-encoding, as a command."""
    return f"ffmpeg -ss {cut_s[0]:.2f} -to {cut_s[1]:.2f} -i {path} {out}"
