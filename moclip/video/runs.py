"""Decoded frames gathered into runs of motion vectors, in the picture as it is shown and with the references they mean.

Axes: t frames in presentation order, n vectors.
"""

from typing import Any

import numpy as np

from moclip.video.coded import Coded
from moclip.video.turn import Turn
from moclip.video.vectors import (
    LOST_IN_B_FRAMES,
    NEAREST_REFERENCE_CODECS,
    UNKNOWN_PLACE,
    VECTOR_DTYPE,
    FrameState,
    MotionVectors,
    Reference,
    nearest_references,
    reference_distances,
)

_I, _B, _SI, _BI = 1, 3, 5, 7  # FFmpeg's AVPictureType
_MOST_REFERENCES = 64  # of the past; H.264 allows 16 frames, and none is displayed so long after it was decoded


class Run:
    """Frames gathered until they are handed on as one `MotionVectors`.

    The buffer is used again for the next run: fresh memory for every run costs a tenth of the decoding time.

    Attributes:
        order: Which pictures were decoded and shown; to be told of each packet that was read.
        field_area_px: Of blocks that were left out because they are coded as fields, of `area_px` in all where there
            may be any.
    """

    def __init__(self, codec: str, frame_bytes: int, capacity: int) -> None:
        self.codec = codec
        self.loses_b = codec == LOST_IN_B_FRAMES
        self.frame_bytes = frame_bytes
        self.buffer = memoryview(bytearray(capacity))
        self.ends = [0]
        self.pictures: list[int] = []
        self.has_fields = False
        self.order = Order()
        self.field_area_px = self.area_px = 0

    def add(self, frame: Any) -> None:
        """Take a frame's vectors, before the next one is decoded."""
        side = frame.side_data.get("MOTION_VECTORS")
        picture = frame.pict_type
        end = self.ends[-1]
        if side is not None and not (self.loses_b and picture == _B):
            start, end = end, end + side.buffer_size
            if end > len(self.buffer):
                self.buffer = memoryview(bytearray(self.buffer) + bytes(end))
            self.buffer[start:end] = side
        self.ends.append(end)
        self.pictures.append(picture)
        self.has_fields |= frame.interlaced_frame
        if frame.opaque is not None:
            self.order.shown(frame.opaque, frame.time)

    @property
    def size(self) -> int:
        """Bytes that are held, about."""
        return self.ends[-1] + len(self.pictures) * self.frame_bytes

    def may_end(self) -> bool:
        """Whether no frame of the run refers to one that is yet to be shown."""
        return self.pictures[-1] != _B and not self.order.is_waiting

    def take(self, width: int, height: int, fps: float, turn: Turn) -> MotionVectors:
        """Hand the frames on; sizes are those of the picture as it is stored."""
        offsets = np.array(self.ends, dtype=np.int64) // VECTOR_DTYPE.itemsize
        pictures = np.array(self.pictures, dtype=np.uint8)
        records = np.frombuffer(self.buffer, dtype=VECTOR_DTYPE, count=int(offsets[-1]))
        states = _states(pictures, np.diff(offsets))
        exported = len(records)
        if self.has_fields:
            records, offsets = self._without_fields(records, offsets)
        left, top = self.order.crop
        past, future = self._distances(pictures == _B, fps)
        self.ends, self.pictures, self.has_fields = [0], [], False
        shown_width, shown_height = turn.size(width, height)
        return MotionVectors(
            records=_placed(records, self.codec, (left, top), (width, height), turn),
            offsets=offsets,
            state=states,
            past_frames=past,
            future_frames=future,
            width=shown_width,
            height=shown_height,
            fps=fps,
            codec=self.codec,
            field_blocks=exported - len(records),
        )

    def _distances(self, bidirectional: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
        if self.order.run:
            return self.order.take(bidirectional, fps)
        # Snow has no B-frames, and its references are the last frames, which `source` counts.
        return reference_distances(bidirectional, self.codec in NEAREST_REFERENCE_CODECS or self.codec == "snow")

    def _without_fields(self, records: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Leave out what MPEG codecs code as fields: blocks of 16 x 8, which they use for nothing else.

        FFmpeg exports their vectors without the field that they refer to, and twice as long in some pictures.
        """
        is_field = (records["w"] == 16) & (records["h"] == 8)
        area_px = records["w"].astype(np.int64) * records["h"]
        self.area_px += int(area_px.sum())
        self.field_area_px += int(area_px[is_field].sum())
        kept = np.concatenate([[0], np.cumsum(~is_field)])
        return records[~is_field], kept[offsets]


class Order:
    """Which of a film's pictures were decoded and which of them shown, for codecs whose packets are read."""

    def __init__(self) -> None:
        self.crop = (0, 0)
        self.run: list[Coded] = []  # shown since the last `take`
        self._times: list[float | None] = []
        self._earlier: list[Reference] = []
        self._waiting: dict[int, float | None] = {}  # references that are decoded and not shown yet: their time
        self._hidden: list[tuple[float, int]] = []  # references that an edit list does not show: time and number
        self._newest = -1

    def decodes(self, coded: Coded, time_s: float | None, is_hidden: bool) -> None:
        """Told of each packet before it is decoded, with its picture's time and whether an edit list hides it."""
        if not coded.is_reference:
            return
        if not is_hidden:
            self._waiting[coded.number] = time_s
        elif time_s is not None:
            self._hidden.append((time_s, coded.number))

    def shown(self, coded: Coded, time_s: float | None) -> None:
        """Told of each picture that comes out."""
        self.crop = coded.crop
        self.run.append(coded)
        self._times.append(time_s)
        self._waiting.pop(coded.number, None)
        if coded.number > self._newest:
            self._newest = coded.number
            # A packet that gave no picture is not waited for.
            oldest = self._newest - _MOST_REFERENCES
            for number in [number for number in self._waiting if number < oldest]:
                del self._waiting[number]

    @property
    def is_waiting(self) -> bool:
        """Whether a picture that is not shown yet was decoded before one that is."""
        return any(number < self._newest for number in self._waiting)

    def take(self, bidirectional: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
        """Distances of the run's pictures to their references, past and future."""
        before, after = self._unseen(fps)
        earlier = [*self._earlier, *before]
        distances = nearest_references(self.run, earlier, after, bidirectional)
        shown = len(self.run)
        found = [Reference(place, coded.number) for place, coded in enumerate(self.run) if coded.is_reference]
        latest = [*earlier, *found][-_MOST_REFERENCES:]
        self._earlier = [Reference(place - shown, number) for place, number in latest]
        self.run, self._times = [], []
        return distances

    def _unseen(self, fps: float) -> tuple[list[Reference], list[Reference]]:
        """References before and after the run: those that an edit list hides, and those that are yet to be shown.

        Their times tell the places where they are, or would be.
        """
        end, first, last = len(self.run) - 1, self._times[0], self._times[-1]
        if first is None or last is None:
            return [], [Reference(UNKNOWN_PLACE, number) for number in self._waiting]
        before = [(at, number) for at, number in self._hidden if at < first]
        self._hidden = [(at, number) for at, number in self._hidden if at > last]
        after = [*self._hidden, *((at, number) for number, at in self._waiting.items() if at is not None and at > last)]
        return (
            [Reference(min(-1, round((at - first) * fps)), number) for at, number in sorted(before)],
            [Reference(end + max(1, round((at - last) * fps)), number) for at, number in sorted(after)],
        )


def _states(pictures: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    intra = np.isin(pictures, (_I, _SI, _BI))
    empty = np.where(intra, FrameState.KEY, FrameState.NONE)
    return np.where(vectors > 0, FrameState.VECTORS, empty).astype(np.uint8)


def _placed(records: np.ndarray, codec: str, crop: tuple[int, int], size: tuple[int, int], turn: Turn) -> np.ndarray:
    """Vectors in coordinates of the picture as it is shown; the records themselves where nothing is to be done."""
    is_snow = codec == "snow"
    if turn.is_none and crop == (0, 0) and not is_snow:
        return records
    placed = records.copy()
    left, top = crop
    # FFmpeg states the centre of the Snow block that lies above and to the left of the one it means.
    right, down = (records["w"], records["h"]) if is_snow else (-left, -top)
    for end in ("src", "dst"):
        x = records[f"{end}_x"].astype(np.int32) + right
        y = records[f"{end}_y"].astype(np.int32) + down
        placed[f"{end}_x"], placed[f"{end}_y"] = turn.point(x, y, *size)
    placed["motion_x"], placed["motion_y"] = turn.vector(records["motion_x"], records["motion_y"])
    if turn.swaps_sides:
        placed["w"], placed["h"] = records["h"], records["w"]
    return placed
