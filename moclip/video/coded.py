"""What a coded picture says of itself before it is decoded: whether others may refer to it, what is cropped, fields.

FFmpeg exports vectors without naming their reference, in coordinates of the coded picture, and those of fields in field
lines; what it takes to understand them stands in the first bytes of each packet.

Sources: ITU-T H.264 (7.3.1 NAL units, 7.3.2 parameter sets, 7.3.3 slice headers), ITU-T H.262 (6.2.3.1 picture coding
extension), and for Sorenson's H.263 the SWF format's specification (H.263 video packet).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_SLICES = (1, 2, 5)  # NAL units that begin a picture: a slice, its first partition, a slice of an IDR picture
_SPS, _PPS = 7, 8
_HIGH_PROFILES = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))
_HEAD_BYTES = 512  # of a NAL unit: more than any part of a parameter set or a slice header that is read here
_START = b"\0\0\1"
_PICTURE, _EXTENSION = b"\0\0\1\0", b"\0\0\1\xb5"
_B_PICTURE, _PICTURE_CODING, _FRAME_STRUCTURE = 3, 8, 3


class Coded(NamedTuple):
    """A coded picture.

    Attributes:
        number: Place in coding order.
        is_reference: Whether later coded pictures may refer to it.
        has_fields: Whether blocks may be coded as fields, so that vertical motion is in field lines.
        crop: Columns left and rows above that are coded, but not shown.
    """

    number: int
    is_reference: bool = True
    has_fields: bool = False
    crop: tuple[int, int] = (0, 0)


class Reader:
    """Reads the packets of one stream in coding order."""

    def __init__(self) -> None:
        self.count = 0

    def configure(self, extradata: bytes | None) -> None:
        """Take what stands outside the packets."""

    def read(self, packet: bytes) -> Coded | None:
        """Read the next packet; None where it has no picture.

        Raises:
            ValueError: it is torn.
        """
        coded = self._read(packet, self.count)
        self.count += 1
        return coded

    def _read(self, packet: bytes, number: int) -> Coded | None:
        raise NotImplementedError


class H264(Reader):
    """Packets of H.264, as length-prefixed units (AVCC: MP4, MKV, FLV) or after start codes (Annex B: TS, AVI, raw)."""

    def __init__(self) -> None:
        super().__init__()
        self._prefix_bytes = 0  # of a length; 0 where start codes part units
        self._sequences: dict[int, _Sequence] = {}
        self._sequence_of: dict[int, int] = {}

    def configure(self, extradata: bytes | None) -> None:
        """Take parameter sets from a container's header: an `avcC` box, or units after start codes."""
        if not extradata:
            return
        if extradata[0] != 1:
            units = list(_after_start_codes(extradata))
        else:
            self._prefix_bytes = (extradata[4] & 3) + 1
            units = list(_in_avcc_box(extradata))
        for unit in units:
            self._take_parameters(unit)

    def _read(self, packet: bytes, number: int) -> Coded | None:
        for unit in self._units(packet):
            if unit[0] & 31 in _SLICES:
                sequence, has_fields = self._slice(unit)
                return Coded(number, bool(unit[0] >> 5 & 3), has_fields, sequence.crop)
            self._take_parameters(unit)
        return None

    def _units(self, packet: bytes) -> Iterator[bytes]:
        # Some files announce lengths, and hold start codes: a length of 1 is not a unit.
        if self._prefix_bytes and not packet.startswith(b"\0" + _START):
            return _after_lengths(packet, self._prefix_bytes)
        return _after_start_codes(packet)

    def _take_parameters(self, unit: bytes) -> None:
        kind = unit[0] & 31
        if kind == _SPS:
            number, sequence = _read_sequence(_Bits(unit))
            self._sequences[number] = sequence
        elif kind == _PPS:
            bits = _Bits(unit)
            number, sequence_number = bits.ue(), bits.ue()
            self._sequence_of[number] = sequence_number

    def _slice(self, unit: bytes) -> tuple["_Sequence", bool]:
        bits = _Bits(unit)
        bits.ue()  # first_mb_in_slice
        bits.ue()  # slice_type
        picture = bits.ue()
        sequence = self._sequences.get(self._sequence_of.get(picture, -1))
        if sequence is None:
            raise ValueError(f"a slice names parameter set {picture}, which is not there")
        if sequence.frames_only:
            return sequence, False
        bits.u(sequence.skipped_bits)
        return sequence, sequence.adaptive or bool(bits.u(1))


class Sorenson(Reader):
    """Packets of Sorenson's H.263 (FLV), which has pictures that nothing refers to."""

    def _read(self, packet: bytes, number: int) -> Coded | None:
        bits = _Bits(b"\0" + packet[:_HEAD_BYTES], escapes=False)
        bits.u(17 + 5 + 8)  # start code, version, temporal reference
        size = bits.u(3)
        bits.u({0: 16, 1: 32}.get(size, 0))
        return Coded(number, is_reference=bits.u(2) < 2)


class Mpeg2(Reader):
    """Packets of MPEG-2 video, whose pictures may be fields, and whose B-pictures nothing refers to."""

    def _read(self, packet: bytes, number: int) -> Coded | None:
        picture = packet.find(_PICTURE)
        if picture < 0 or len(packet) < picture + 6:
            return None
        is_reference = packet[picture + 5] >> 3 & 7 != _B_PICTURE
        at = packet.find(_EXTENSION, picture)
        while 0 <= at < len(packet) - 6:
            if packet[at + 4] >> 4 == _PICTURE_CODING:
                return Coded(number, is_reference, has_fields=packet[at + 6] & 3 != _FRAME_STRUCTURE)
            at = packet.find(_EXTENSION, at + 4)
        return Coded(number, is_reference)  # MPEG-1, which has no fields


READERS: dict[str, type[Reader]] = {"h264": H264, "flv1": Sorenson, "mpeg2video": Mpeg2}
"""By codec; the pictures of the others say nothing that their decoder does not."""


@dataclass(frozen=True)
class _Sequence:
    frames_only: bool
    adaptive: bool  # each pair of macroblocks may be frame or field
    skipped_bits: int  # of a slice header, between its parameter set and what says whether it is of a field
    crop: tuple[int, int]


def _read_sequence(bits: "_Bits") -> tuple[int, _Sequence]:
    profile = bits.u(8)
    bits.u(16)
    number = bits.ue()
    chroma, planes_apart = 1, False
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        planes_apart = chroma == 3 and bool(bits.u(1))
        _skip_high_profile(bits, 12 if chroma == 3 else 8)
    number_bits = bits.ue() + 4
    _skip_order_count(bits)
    bits.ue()  # max_num_ref_frames
    bits.u(1)
    bits.ue()  # width
    bits.ue()  # height
    frames_only = bool(bits.u(1))
    adaptive = not frames_only and bool(bits.u(1))
    bits.u(1)
    left, top = 0, 0
    if bits.u(1):
        left, _, top, _ = (bits.ue() for _ in range(4))
    column_px = 2 if chroma in (1, 2) else 1
    row_px = (2 if chroma == 1 else 1) * (1 if frames_only else 2)
    crop = (left * column_px, top * row_px)
    return number, _Sequence(frames_only, adaptive, number_bits + (2 if planes_apart else 0), crop)


def _skip_high_profile(bits: "_Bits", lists: int) -> None:
    bits.ue()  # bit depths
    bits.ue()
    bits.u(1)
    if bits.u(1):
        for index in range(lists):
            if bits.u(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)


def _skip_scaling_list(bits: "_Bits", size: int) -> None:
    last, following = 8, 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_order_count(bits: "_Bits") -> None:
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue()):
            bits.se()


def _after_start_codes(content: bytes) -> Iterator[bytes]:
    """Units of Annex B, each cut to its head."""
    at = content.find(_START)
    while at >= 0:
        start = at + len(_START)
        at = content.find(_START, start)
        unit = content[start : min(start + _HEAD_BYTES, len(content) if at < 0 else at)]
        if unit:
            yield unit


def _after_lengths(content: bytes, prefix_bytes: int) -> Iterator[bytes]:
    """Length-prefixed units, each cut to its head."""
    at = 0
    while at + prefix_bytes < len(content):
        start = at + prefix_bytes
        length = int.from_bytes(content[at:start], "big")
        if length:
            yield content[start : start + min(length, _HEAD_BYTES)]
        at = start + length


def _in_avcc_box(box: bytes) -> Iterator[bytes]:
    """Parameter sets of an `avcC` box: their number, then each after its length."""
    at = 5
    for mask in (31, 255):
        if at >= len(box):
            return
        count, at = box[at] & mask, at + 1
        for _ in range(count):
            length = int.from_bytes(box[at : at + 2], "big")
            at += 2
            if unit := box[at : at + length]:
                yield unit
            at += length


class _Bits:
    """Bits of a unit after its first byte, without the bytes that keep start codes out of it."""

    def __init__(self, unit: bytes, *, escapes: bool = True) -> None:
        body = unit[1:].replace(b"\0\0\3", b"\0\0") if escapes else unit[1:]
        self._value = int.from_bytes(body, "big")
        self._left = 8 * len(body)

    def u(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("a header ends before its time")
        return self._value >> self._left & (1 << count) - 1

    def ue(self) -> int:
        """Exp-Golomb code."""
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Signed Exp-Golomb code."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -code // 2
