"""Videos made by real encoders, for tests of what reads them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from moclip.video.decode import stream_motion
from moclip.video.vectors import MotionVectors

WIDTH, HEIGHT = 176, 144


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 (height, width, 3): patches of 4 x 4, rich enough that a block finds its match."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3))
    return np.kron(coarse, np.ones((4, 4, 1), dtype=int))[:height, :width].astype(np.uint8)


def scrolling(frames: int, dx: int, dy: int, width: int = WIDTH, height: int = HEIGHT) -> list[np.ndarray]:
    """A texture whose content moves by (dx, dy) pixels a frame, x right and y down."""
    margin = frames * max(abs(dx), abs(dy))
    plane = texture(height + 2 * margin, width + 2 * margin)
    corners = [(margin - i * dy, margin - i * dx) for i in range(frames)]
    return [plane[y : y + height, x : x + width].copy() for y, x in corners]


def encode(
    path: Path,
    frames: Iterable[np.ndarray],
    codec: str = "mpeg4",
    *,
    options: dict[str, str] | None = None,
    rate: int = 25,
    times: Sequence[int] | None = None,
    container: str | None = None,
    matrix: Sequence[int] | None = None,
    audio: bool = False,
) -> Path:
    """Encode RGB frames; the container follows the name's ending. `times` are in units of 1/rate."""
    options = dict(options or {})
    if codec == "libx264":  # on processors with AVX-512 its bytes else differ from run to run
        options["x264-params"] = ":".join(filter(None, [options.get("x264-params"), "cpu-independent=1"]))
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, options=options)
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if audio:
            out.add_stream("mp2", rate=44100)
        for index, picture in enumerate(frames):
            if index == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def remux(path: Path, out: Path, filters: str = "null") -> Path:
    """Copy a film's packets into another container, through one of FFmpeg's bitstream filters."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        old = source.streams.video[0]
        new = target.add_stream_from_template(old)
        bits = BitStreamFilterContext(filters, old, new)
        for packet in source.demux(old):
            for changed in bits.filter(packet if packet.size else None):
                changed.stream = new
                target.mux(changed)
    return out


def grey(frames: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Without colour, whose half resolution lets an encoder prefer vectors that are even, and so farther references."""
    return [np.repeat(frame[..., :1], 3, axis=2) for frame in frames]


def encode_audio(path: Path) -> Path:
    """A file with sound alone."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mp2", rate=44100, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=1152)
        frame.planes[0].update(bytes(2 * 1152))
        frame.sample_rate = 44100
        for index in range(20):
            frame.pts = index * 1152
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def read_motion(path: Path, *, fast: bool = True) -> MotionVectors:
    """All motion vectors of a short video as one run."""
    runs = [replace(run, records=run.records.copy()) for run in stream_motion(path, fast=fast, chunk_bytes=1 << 30)]
    return runs[0]
