"""The same stream in other containers, and files as people have them: cut, joined, trimmed, with covers, previews."""

from collections.abc import Iterable
from pathlib import Path

import av

from tests.support.clips import encode, scrolling, texture


def remux(source: Path, out: Path, form: str | None = None, options: dict[str, str] | None = None) -> Path:
    """The video stream of a file in another container, packet by packet."""
    with av.open(str(source)) as read, av.open(str(out), "w", format=form, options=options or {}) as write:
        stream = read.streams.video[0]
        copy = write.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.size:
                packet.stream = copy
                write.mux(packet)
    return out


class _Pipe:
    """Where a muxer can write and not go back."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def write(self, data: bytes) -> int:
        return self.file.write(data)


def streamed(source: Path, out: Path, form: str) -> Path:
    """The video stream of a file as a muxer writes it to a pipe: nothing in it says how long it is."""
    pipe = _Pipe(out)
    with av.open(str(source)) as read, av.open(pipe, "w", format=form) as write:
        stream = read.streams.video[0]
        copy = write.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.size:
                packet.stream = copy
                write.mux(packet)
    pipe.file.close()
    return out


def cut(source: Path, out: Path, size: int) -> Path:
    """The first `size` bytes of a file."""
    out.write_bytes(source.read_bytes()[:size])
    return out


def joined(out: Path, parts: Iterable[Path]) -> Path:
    """Files laid end to end."""
    out.write_bytes(b"".join(part.read_bytes() for part in parts))
    return out


def with_second_video(
    out: Path, first: tuple[int, int], second: tuple[int, int], default: int | None, codec: str = "mpeg4"
) -> Path:
    """A file with two videos of these sizes, of 10 and of 20 frames; `default` is the index of the one marked so."""
    videos = [scrolling(frames, 3, 0, *size) for frames, size in ((10, first), (20, second))]
    with av.open(str(out), "w") as write:
        streams = []
        for index, pictures in enumerate(videos):
            stream = write.add_stream(codec if index == 0 else "mpeg4", rate=25)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if stream.codec_context.name == "mjpeg" else "yuv420p"
            stream.disposition = av.stream.Disposition.default if index == default else av.stream.Disposition(0)
            streams.append(stream)
        for stream, pictures in zip(streams, videos, strict=True):
            for picture in pictures:
                write.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            write.mux(stream.encode(None))
    return out


def with_cover(out: Path, film: Path | None) -> Path:
    """A cover picture that stands before the film, or before sound where there is none."""
    with av.open(str(out), "w") as write:
        cover = write.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = cover.encode(av.VideoFrame.from_ndarray(texture(64, 64), format="rgb24")) + cover.encode(None)
        if film is None:
            sound = write.add_stream("aac", rate=44100, layout="mono")
            write.mux(picture)
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.planes[0].update(bytes(4 * 1024))
            frame.sample_rate, frame.pts = 44100, 0
            write.mux(sound.encode(frame) + sound.encode(None))
            return out
        with av.open(str(film)) as read:
            stream = read.streams.video[0]
            copy = write.add_stream_from_template(stream)
            write.mux(picture)
            for packet in read.demux(stream):
                if packet.size:
                    packet.stream = copy
                    write.mux(packet)
    return out


def trimmed(out: Path, share: float) -> Path:
    """An MP4 whose edit list shows the first share of its 40 frames."""
    encode(out, scrolling(40, 3, -2), "libx264", options={"bf": "2", "g": "12"})
    content = bytearray(out.read_bytes())
    place = content.index(b"elst") + 12  # behind version and count
    whole = int.from_bytes(content[place : place + 4], "big")
    content[place : place + 4] = int(whole * share).to_bytes(4, "big")
    out.write_bytes(content)
    return out
