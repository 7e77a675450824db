"""Frames to an AVI file in MPEG-4 Part 2, as UCF101's are; the same frames always give the same bytes."""

from collections.abc import Iterable
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


def encode(path: Path, frames: Iterable[np.ndarray], *, fps: int, width: int, height: int) -> None:
    """Write RGB frames, uint8 arrays of shape (height, width, 3), as one video without sound."""
    with av.open(str(path), "w", format="avi", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=fps, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for array in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode(None))
