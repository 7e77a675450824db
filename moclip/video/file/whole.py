"""Whether the pictures of a file are all there: what was found of them, held against what its header states."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from moclip.video.file.extent import Extent
from moclip.video.file.shard import Place

STATED_SLACK = 1  # AVI headers of sound UCF101 clips state one frame too many
_LEAST_SLACK_S = Fraction(1, 10)  # durations are rounded, and the last picture's is guessed
_SLACK_FRAMES = 2
# Formats whose duration is read from a header; of others FFmpeg guesses it from what it finds.
_STATING = ("matroska", "flv", "asf", "mov")
_UNKNOWN_FRAMES = 1 << 30  # in the header of an AVI that FFmpeg wrote to a pipe
_CHUNKS = (b"dc", b"db")
_STREAMED = "states no length, so that a missing end cannot be noticed"
_ROUGH = "states its length in seconds alone, so that a few missing frames at its end cannot be noticed"

Reopen = Callable[..., Any]
"""Opens the file once more as a context manager; takes options of FFmpeg's demuxers."""


def torn(extent: Extent, reopen: Reopen) -> str:
    """Why a file is cut off, by its bytes; empty where it is not."""
    if not extent.lacks:
        return ""
    with reopen() as container:
        stated, found = container.duration, _end_s(container)
    if not (extent.stated and stated):
        return f"cut off: {extent.lacks}, {float(found):.2f} s are there"
    return f"cut off: it states {stated / 1e6:.2f} s, {float(found):.2f} s are there; {extent.lacks}"


def shortage(place: Place, container: Any, stream: Any, packets: int, extent: Extent, reopen: Reopen) -> str:
    """Why a file that was read to its end lacks pictures; empty where it does not.

    Args:
        place: Of the file.
        container: The open file.
        stream: The stream that was read.
        packets: Those of the stream that were found.
        extent: What the bytes say of the end.
        reopen: Opens the file once more, for a look at what a plain pass leaves out.
    """
    kind = _kind(container)
    frames = stated_frames(stream)
    if packets < frames - STATED_SLACK:
        found = max(packets, _slots(kind, place, stream, reopen))
        if found < frames - STATED_SLACK:
            return f"cut off: its header states {frames} frames, {found} are there"
    elif kind in _STATING and not extent.stated and container.duration:
        slack = max(_LEAST_SLACK_S, _SLACK_FRAMES / (stream.average_rate or Fraction(25)))
        with reopen() as again:
            found_s = _end_s(again)
        if found_s + slack < Fraction(container.duration, 1_000_000):
            return f"cut off: it states {container.duration / 1e6:.2f} s, {float(found_s):.2f} s are there"
    return ""


def has_table(container: Any) -> bool:
    """Whether pictures are found by a table of places, as in MP4: it may name one place any number of times."""
    return _kind(container) == "mov"


def stated_frames(stream: Any) -> int:
    """Frames by the header; 0 where it does not say."""
    frames: int = stream.frames
    return frames if frames < _UNKNOWN_FRAMES else 0


def unsaid(container: Any, stream: Any, extent: Extent) -> str:
    """What of a missing end could not be noticed, for a person; empty where a file says where it ends.

    Args:
        container: The open file.
        stream: The stream of its film.
        extent: What the bytes say of the end.
    """
    kind = _kind(container)
    if extent.stated or (stated_frames(stream) and kind != "ivf"):
        return ""
    return _ROUGH if kind in _STATING and container.duration else _STREAMED


def _kind(container: Any) -> str:
    """FFmpeg's first name of a format."""
    name: str = container.format.name
    return name.split(",")[0]


def _end_s(container: Any) -> Fraction:
    """Where the last packet of any stream ends, in seconds."""
    end = Fraction(0)
    try:
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    except (OSError, ValueError):  # FFmpeg's errors are of these kinds: what was found until then counts
        pass
    return end


def _slots(kind: str, place: Place, stream: Any, reopen: Reopen) -> int:
    """What the header counts: in AVI also pictures that are not sent, in MP4 also those that an edit list hides."""
    if kind == "ivf":  # maybe no frames: held against its bytes before
        return stated_frames(stream)
    if kind == "avi":
        return _avi_slots(place, stream.index)
    if kind != "mov":
        return 0
    with reopen({"ignore_editlist": "1"}) as container:
        return sum(packet.size > 0 for packet in container.demux(container.streams[stream.index]))


def _avi_slots(place: Place, index: int) -> int:
    """Chunks of an AVI stream; an empty one stands for a tick without a picture."""
    names = {b"%02d" % index + kind for kind in _CHUNKS}
    count, at, end = 0, 12, place.size
    with place.open() as file:
        while at + 8 <= end:
            file.seek(at)
            head = file.read(12)
            size = int.from_bytes(head[4:8], "little")
            if head[:4] == b"RIFF" or (head[:4] == b"LIST" and head[8:] in (b"movi", b"rec ")):
                at += 12
                continue
            count += head[:4] in names
            at += 8 + size + size % 2
    return count
