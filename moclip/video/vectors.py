"""Motion vectors as a decoder exports them: what each number means. NumPy alone.

Axes: t frames in presentation order, n vectors.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from moclip.video.coded import Coded

_NEAREST = "flv1 h263 mpeg1video mpeg2video mpeg4 msmpeg4v2 msmpeg4v3 wmv1 wmv2"
# The references of these are the nearest I- or P-frames on either side, so their distance is known.
NEAREST_REFERENCE_CODECS = frozenset(_NEAREST.split())
VECTOR_CODECS = NEAREST_REFERENCE_CODECS | {"h264", "snow"}

# For B-frames of this codec FFmpeg exports the blocks with zeros in place of their vectors (seen in
# every such frame of UCF101 and of own encodes), so they count as frames that export none.
LOST_IN_B_FRAMES = "mpeg4"

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
    """The motion vectors of a run of frames, as the decoder exports them, in the picture as it is shown.

    Attributes:
        records: (n,) of `VECTOR_DTYPE`; `motion` is src - dst in units of 1/`motion_scale` pixel. A `source` below -1
            means a reference so many frames farther back than the nearest one (Snow alone tells).
        offsets: int64 (t + 1,); frame i owns `records[offsets[i]:offsets[i + 1]]`.
        state: uint8 (t,), a `FrameState` per frame.
        past_frames: int32 (t,), frames back to the nearest reference of vectors with `source` below 0; 0 where none.
        future_frames: int32 (t,), frames on to that of vectors with `source` above 0; 0 where none, and below 0 where
            these, too, refer to the past.
        width: Of the picture as it is shown: cropped, turned.
        field_blocks: how many blocks the run has lost, because they are coded as fields.
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
    field_blocks: int = 0


UNKNOWN_PLACE = 1 << 30


class Reference(NamedTuple):
    """A picture that others may refer to: its place in presentation order, and its number in coding order."""

    place: int
    number: int


def nearest_references(
    run: Sequence[Coded], earlier: Sequence[Reference], later: Sequence[Reference], bidirectional: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Frames to the nearest pictures before and after each one that it may refer to: they were decoded before it.

    Args:
        run: Pictures in presentation order.
        earlier: References before them, in that order; places count from the run's start, so below 0.
        later: References after them; of one at `UNKNOWN_PLACE` the distance stays 0.
        bidirectional: bool (t,), B-frames; the others have no second reference.

    Returns:
        Two int32 (t,), 0 where there is none. Where nothing after a B-frame was decoded before it, its second list of
        references begins with the one before the nearest (H.264, 8.2.4.2.3): the second number is less than 0.
    """
    found = [Reference(place, coded.number) for place, coded in enumerate(run) if coded.is_reference]
    references = [*earlier, *found, *later]
    places = [reference.place for reference in references]
    past, future = (np.zeros(len(run), dtype=np.int32) for _ in range(2))
    for place, coded in enumerate(run):
        at = bisect_left(places, place)
        before = _first_decoded(references, range(at - 1, -1, -1), coded.number)
        if before is None:
            continue
        past[place] = place - places[before]
        if bidirectional[place]:
            after = _first_decoded(references, range(at, len(references)), coded.number)
            if after is None:
                after = _first_decoded(references, range(before - 1, -1, -1), coded.number)
            found_at = places[before if after is None else after]
            future[place] = 0 if found_at == UNKNOWN_PLACE else found_at - place
    return past, future


def _first_decoded(references: Sequence[Reference], indices: Iterable[int], number: int) -> int | None:
    return next((index for index in indices if references[index].number < number), None)


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
