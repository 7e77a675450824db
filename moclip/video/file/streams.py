"""Which video of a file is the film: covers and previews stand beside it, and may stand before it."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

# Codecs of pictures that stand still. A film may be in one of them, and a cover is in no other.
STILL_CODECS = frozenset("mjpeg png gif bmp webp tiff jpeg2000 jpegls targa".split())  # noqa: SIM905


class Chosen(NamedTuple):
    """A stream of a file, and one line on it where the file has several videos."""

    stream: Any
    note: str


def choose(streams: Any) -> Chosen | None:
    """The video that players take: of those that are no attached picture, one that moves, the default one, the largest.

    Args:
        streams: Of an open file, PyAV's `StreamContainer`.

    Returns:
        None where a file has no video, or none but covers.

    Source: FFmpeg's "Automatic stream selection" (ffmpeg manual, section 3.1) takes the largest; its
    `av_find_best_stream` and players hold to the default.
    """
    films = [stream for stream in streams.video if not _is_attached(stream)]
    if not films:
        return None
    best = max(films, key=_rank)  # of equals the first
    return Chosen(best, _note(best, films) if len(films) > 1 else "")


def _is_attached(stream: Any) -> bool:
    flags = stream.disposition
    return bool(flags & (type(flags).attached_pic | type(flags).timed_thumbnails))


def _rank(stream: Any) -> tuple[bool, bool, int]:
    return not _stands(stream), _is_default(stream), math.prod(_size(stream))


def _stands(stream: Any) -> bool:
    context, flags = stream.codec_context, stream.disposition
    return context is None or context.codec.canonical_name in STILL_CODECS or bool(flags & type(flags).still_image)


def _is_default(stream: Any) -> bool:
    flags = stream.disposition
    return bool(flags & type(flags).default)


def _note(stream: Any, films: Sequence[Any]) -> str:
    why = "the largest"
    if all(other is stream or _stands(other) for other in films):
        why = "the one that moves"
    elif _is_default(stream):
        why = "the default one"
    width, height = _size(stream)
    return f"of {len(films)} videos in the file stream {stream.index} is read, {why} ({width} x {height})"


def _size(stream: Any) -> tuple[int, int]:
    """Width and height; 0 of a stream whose codec has no decoder here."""
    context = stream.codec_context
    return (0, 0) if context is None else (context.width, context.height)
