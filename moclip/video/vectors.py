"""Motion vectors as a decoder exports them: what each number means. NumPy alone.

Axes: t frames in presentation order, n vectors.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

_NEAREST = "flv1 h263 mpeg1video mpeg2video mpeg4 msmpeg4v2 msmpeg4v3 wmv1 wmv2"
# The references of these are the nearest I- or P-frames on either side, so their distance is known.
NEAREST_REFERENCE_CODECS = frozenset(_NEAREST.split())
VECTOR_CODECS = NEAREST_REFERENCE_CODECS | {"h264", "snow"}

VECTOR_DTYPE = np.dtype(
    {
        "names": [
            "source",
            "w",
            "h",
            "src_x",
            "src_y",
            "dst_x",
            "dst_y",
            "flags",
            "motion_x",
            "motion_y",
            "motion_scale",
        ],
        "formats": ["<i4", "u1", "u1", "<i2", "<i2", "<i2", "<i2", "<u8", "<i4", "<i4", "<u2"],
        "offsets": [0, 4, 5, 6, 8, 10, 12, 16, 24, 28, 32],
        "itemsize": 40,
    }
)
"""FFmpeg's AVMotionVector. Compare fields, never bytes: the padding is not initialised."""


class FrameState(IntEnum):
    """What a frame has to say about motion."""

    VECTORS = 0
    KEY = 1  # intra coded as a whole: no vectors by nature
    NONE = 2  # predicted, yet none: every block is intra coded, or the decoder does not export them


@dataclass(frozen=True)
class MotionVectors:
    """The motion vectors of a run of frames, as the decoder exports them.

    Attributes:
        records: (n,) of `VECTOR_DTYPE`; `motion` is src - dst in units of 1/`motion_scale` pixel.
        offsets: int64 (t + 1,); frame i owns `records[offsets[i]:offsets[i + 1]]`.
        state: uint8 (t,), a `FrameState` per frame.
        past_frames: int32 (t,), frames back to the past reference, 0 where it is not known.
        future_frames: int32 (t,), frames on to the future reference, 0 where none or not known.
    """

    records: np.ndarray
    offsets: np.ndarray
    state: np.ndarray
    past_frames: np.ndarray
    future_frames: np.ndarray
    width: int
    height: int
    fps: float
    codec: str


def reference_distances(bidirectional: np.ndarray, known: bool) -> tuple[np.ndarray, np.ndarray]:
    """Frames to the nearest non-B frame before and after each frame; (t,) bool in, two int32 (t,) out."""
    t = len(bidirectional)
    past = np.zeros(t, dtype=np.int32)
    future = np.zeros(t, dtype=np.int32)
    if not known:
        return past, future
    position = np.arange(t, dtype=np.int32)
    before = np.maximum.accumulate(np.where(bidirectional, -1, position))
    # The run before this one ended with a reference, so position -1 is one.
    past[:] = position - np.concatenate([[-1], before[:-1]])
    after = np.minimum.accumulate(np.where(bidirectional, t, position)[::-1])[::-1]
    future[:] = np.where(bidirectional & (after < t), after - position, 0)
    return past, future
