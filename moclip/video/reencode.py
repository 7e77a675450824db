"""CoViAR's recipe for motion vectors: every video alike, as MPEG-4 Part 2 of 340 x 256.

Source: pytorch-coviar `data/reencode.sh` (`-vf scale=340:256 -q:v 1 -c:v mpeg4`). FFmpeg's defaults for that encoder
are a key frame every 12 frames and no B-frames. Here PyAV's own encoder does it; no ffmpeg binary is needed.
"""

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType

from moclip.base.files import atomic_path
from moclip.video import decode as video

WIDTH, HEIGHT = 340, 256
GOP_FRAMES = 12
# At constant quality the vectors do not depend on the rate, and MPEG-4 cannot state every rate.
_RATE = Fraction(25)
_QUALITY_1 = 118  # FF_QP2LAMBDA, the unit of `-q:v 1`
_OPTIONS = {
    "flags": "+qscale+bitexact",
    "global_quality": str(_QUALITY_1),
    "g": str(GOP_FRAMES),
    "bf": "0",
}


def reencode(path: Path, out: Path, middle: video.Watcher | None = None, *, damaged: bool = False) -> float:
    """As `reencoding`, all at once.

    Returns:
        Frames per second of `path`.
    """
    steps = reencoding(path, out, middle, damaged=damaged)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return float(end.value)


def reencoding(
    path: Path, out: Path, middle: video.Watcher | None = None, *, damaged: bool = False
) -> Generator[None, None, float]:
    """Write the frames of `path` to `out` (.avi) by the recipe, at 25 frames/s; equal frames give equal bytes.

    `middle` keeps a picture of `path`, as it was before; of a `damaged` one, what decodes before the damage is taken.

    Yields:
        None, after each frame.

    Returns:
        Frames per second of `path`.

    Raises:
        VideoError: `path` does not decode as a whole; `out` is left as it was.
    """
    with (
        video.decoding(path, middle, damaged=damaged) as (fps, frames),
        atomic_path(out) as temporary,
        av.open(str(temporary), "w", format="avi", options={"fflags": "+bitexact"}) as container,
    ):
        stream = container.add_stream("mpeg4", rate=_RATE, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.thread_count = 1  # slices by threads change the vectors
        for index, frame in enumerate(frames):
            small = frame.reformat(WIDTH, HEIGHT, "yuv420p", interpolation="BICUBIC")
            small.pict_type = PictureType.NONE  # else the source's key frames become key frames here
            small.pts, small.time_base = index, 1 / _RATE
            container.mux(stream.encode(small))
            del frame, small  # or the decoder could not have them back
            yield
        container.mux(stream.encode(None))
    return fps
