"""Which video of a file is the film: covers and previews stand beside it, and may stand before it."""

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
    return Chosen(best, _note(best, len(streams.video)) if len(films) > 1 else "")


def _is_attached(stream: Any) -> bool:
    flags = stream.disposition
    return bool(flags & (type(flags).attached_pic | type(flags).timed_thumbnails))


def _rank(stream: Any) -> tuple[bool, bool, int]:
    context, flags = stream.codec_context, stream.disposition
    stands = context is None or context.codec.canonical_name in STILL_CODECS or bool(flags & type(flags).still_image)
    return not stands, bool(flags & type(flags).default), stream.width * stream.height


def _note(stream: Any, count: int) -> str:
    flags = stream.disposition
    why = "its default" if flags & type(flags).default else "the largest"
    size = f"{stream.width} x {stream.height}"
    return f"stream {stream.index} of {count} videos in the file is read, {why} ({size})"
