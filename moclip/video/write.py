"""Frames to video files: AVI in MPEG-4 Part 2, as UCF101's are, and MP4 in H.264, which people's players take."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

GOP = 12
QUALITY = 4  # constant quantiser, 1 (best) to 31
OPTIONS = {
    "flags": "+mv4+bitexact",
    "g": str(GOP),
    "bf": "0",
    "qmin": str(QUALITY),
    "qmax": str(QUALITY),
    "threads": "1",
}
# x264 otherwise takes a thread for each processor, and on those with AVX-512 its bytes differ from run to run.
X264 = {"crf": "23", "x264-params": "cpu-independent=1:threads=4"}


def encode(path: Path, frames: Iterable[np.ndarray], *, fps: int, width: int, height: int) -> None:
    """Write RGB frames, uint8 (height, width, 3), as one AVI without sound; equal frames give equal bytes."""
    with av.open(str(path), "w", format="avi", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=fps, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for array in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode(None))


def write_mp4(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write RGB frames, uint8 (h, w, 3), as one MP4 without sound; equal frames give equal bytes.

    An odd row or column at the end is left out.
    """
    rate = Fraction(fps or 25.0).limit_denominator(1001)
    with av.open(f"file:{path}", "w", format="mp4") as container:  # "file:" keeps a name such as "a:b.mp4" a name
        stream = container.add_stream("libx264", rate=rate, options=X264)
        stream.pix_fmt = "yuv420p"
        for number, array in enumerate(frames):
            if number == 0:  # H.264 in 4:2:0 takes even sizes only
                stream.height, stream.width = (side // 2 * 2 for side in array.shape[:2])
            frame = av.VideoFrame.from_ndarray(array[: stream.height, : stream.width], format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
