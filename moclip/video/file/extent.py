"""Whether a file is all there, by what its container says of its own length. Nothing is decoded.

Containers state their length in other ways: bytes of the whole, sizes of parts that follow each other, or nothing, as
streams do that were written to a pipe. What states nothing can only be held against its last part, which may be torn.
"""

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from moclip.video.file.shard import Place
from moclip.video.file.transport import packet_size

_TAIL = 1 << 18  # bytes at the end in which the last pack or page of a stream begins
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_INDEX = bytes.fromhex("90080033b1e5cf1189f400a0c90349cb")
_ASF_DATA_HEAD = 50  # bytes of the object that holds the packets, before the first
_BROADCAST = 1
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
# What stands in a cluster (RFC 9559, 5.1.3): times, places, blocks, and what fills or checks any element.
_OF_CLUSTER = frozenset([0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0xEC, 0xBF])
_FLV_SIZE = b"\0\x08filesize\0"  # a name of its metadata, and the mark of a number (Flash Video 10.1, E.4.4)
_IVF_UNKNOWN = 0xFFFFFFFF  # in the header of a file that was written to a pipe
_RIFF_SLACK = 8  # some writers state the whole file where the size without the first eight bytes belongs


class Extent(NamedTuple):
    """What a file says of its end.

    Attributes:
        stated: Whether it says where it ends.
        lacks: What is missing, as part of a sentence; empty where nothing is.
    """

    stated: bool
    lacks: str = ""


_OPEN = Extent(False)
_WHOLE = Extent(True)


class _File(NamedTuple):
    handle: BinaryIO
    size: int

    def at(self, place: int, count: int) -> bytes:
        self.handle.seek(place)
        return self.handle.read(count)

    def lacking(self, end: int) -> str:
        return f"{end - self.size} of {end} bytes are missing" if end > self.size else ""


def extent(place: Place, container: str) -> Extent:
    """What is known of a file's end.

    Args:
        place: Of the file.
        container: FFmpeg's name of its format, such as `matroska,webm`.

    Raises:
        OSError: it cannot be read.
    """
    look = _LOOKS.get(container.split(",")[0])
    if look is None:
        return _OPEN
    with place.open() as handle:
        return look(_File(handle, place.size))


def _riff(file: _File) -> Extent:
    """AVI: parts of up to 1 GB that follow each other, each with its size."""
    place = 0
    while (head := file.at(place, 12))[:4] == b"RIFF" and len(head) == 12:
        size = int.from_bytes(head[4:8], "little")
        if size in (0, 0xFFFFFFFF):  # written to a pipe, or by a process that was killed
            return _OPEN
        end = place + 8 + size
        if end > file.size + _RIFF_SLACK:
            return Extent(True, file.lacking(end))
        place = end + end % 2
    return _WHOLE if place else _OPEN


def _boxes(file: _File) -> Extent:
    """MP4 and QuickTime: boxes with their sizes; fragments may go on for ever."""
    place, found = 0, set()
    while len(head := file.at(place, 16)) >= 8:
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:], "big")
        if size == 0 and kind.isalnum():  # to the end, wherever that is
            return _OPEN
        if size < 8 or not kind.replace(b" ", b"").isalnum():
            break  # no box: padding, or what somebody put behind
        if place + size > file.size:
            return Extent(True, file.lacking(place + size))
        found.add(kind)
        place += size
    return _OPEN if b"moof" in found or b"moov" not in found else _WHOLE


def _elements(file: _File) -> Extent:
    """Matroska and WebM: elements with their sizes; segment and clusters of a stream state none."""
    place, stated, segment_end, cluster_end = 0, True, 0, 0
    while place < file.size:
        head = file.at(place, 12)
        kind, after = _vint(head, 0, keep_marker=True)
        size, start = _vint(head, after)
        end = place + start + (size or 0)
        if place < cluster_end and (kind not in _OF_CLUSTER or size is None or end > cluster_end):
            return Extent(stated, f"a cluster cannot be read from byte {place} on")
        if kind is None:
            return Extent(stated, "its last element is torn" if after > len(head) else "")
        if start > len(head):
            return Extent(stated, "its last element is torn")
        if size is None and kind not in (_SEGMENT, _CLUSTER):
            return Extent(place < segment_end)
        if end > file.size:
            return Extent(stated, file.lacking(end) if stated else "its last element is torn")
        stated = stated and size is not None
        segment_end = end if kind == _SEGMENT else segment_end
        cluster_end = end if kind == _CLUSTER else cluster_end
        place = place + start if kind in (_SEGMENT, _CLUSTER) else end
    return Extent(stated)


def _vint(head: bytes, at: int, *, keep_marker: bool = False) -> tuple[int | None, int]:
    """A number of EBML and where it ends; None of no number, or of one that stands for "unknown"."""
    if at >= len(head):
        return None, at + 1
    length = 9 - head[at].bit_length()
    if length > 8:
        return None, at
    value = int.from_bytes(head[at : at + length], "big")
    if not keep_marker:
        value -= 1 << 7 * length
        if value == (1 << 7 * length) - 1:
            return None, at + length
    return value, at + length


def _asf(file: _File) -> Extent:
    """ASF and WMV: the header has the file's size, and a stream consists of packets of one size."""
    head = file.at(0, 30)
    if head[:16] != _ASF_HEADER or len(head) < 30:
        return _OPEN
    end = int.from_bytes(head[16:24], "little")
    objects = file.at(30, min(end, 1 << 20))
    at = objects.find(_ASF_PROPERTIES)
    if at < 0 or len(objects) < at + 104:
        return Extent(True, file.lacking(end))
    size, flags, packet = (
        int.from_bytes(objects[at + first : at + last], "little") for first, last in ((40, 48), (88, 92), (92, 96))
    )
    if flags & _BROADCAST or size == 0:
        return Extent(False, "its last packet is torn" if _is_torn_asf(file, end + _ASF_DATA_HEAD, packet) else "")
    return Extent(True, file.lacking(size))


def _is_torn_asf(file: _File, start: int, packet: int) -> bool:
    """Whether packets of a stream end in a part of one; an index may stand behind them."""
    end = file.size
    tail = file.at(max(0, end - _TAIL), _TAIL)
    if (at := tail.rfind(_ASF_INDEX)) >= 0:
        size = int.from_bytes(tail[at + 16 : at + 24], "little")
        if at + size <= len(tail):  # FFmpeg writes more than it states
            end -= len(tail) - at
    return packet > 0 and (end - start) % packet > 0


def _tags(file: _File) -> Extent:
    """FLV: tags, each with its size before and behind it, and often metadata with the file's size."""
    if lacks := _torn_tag(file):
        return Extent(False, lacks)
    head = file.at(0, _TAIL)
    place = head.find(_FLV_SIZE) + len(_FLV_SIZE)
    if place < len(_FLV_SIZE) or place + 8 > len(head):
        return _OPEN
    (size,) = struct.unpack_from(">d", head, place)
    if file.size < size < float("inf"):
        return Extent(True, file.lacking(int(size)))
    return Extent(size == file.size)  # one that is too small was stated before something came behind


def _torn_tag(file: _File) -> str:
    behind = int.from_bytes(file.at(file.size - 4, 4), "big")
    tag = file.at(file.size - 4 - behind, 4) if 11 <= behind <= file.size - 13 else b""
    if len(tag) == 4 and int.from_bytes(tag[1:], "big") + 11 == behind and tag[0] & 0x1F in (8, 9, 18):
        return ""
    place = int.from_bytes(file.at(5, 4), "big") + 4
    while len(tag := file.at(place, 11)) == 11 and tag[0] & 0x1F in (8, 9, 18):
        place += 15 + int.from_bytes(tag[1:4], "big")
    return "its last tag is torn" if place > file.size or 0 < len(tag) < 11 else ""


def _packets(file: _File) -> Extent:
    """MPEG-TS: packets of one size."""
    size = packet_size(file.at(0, _TAIL))
    return Extent(False, "its last packet is torn" if size and file.size % size else "")


def _packs(file: _File) -> Extent:
    """MPEG-PS and VOB: packets with start codes and sizes, walked from one of the last packs on."""
    start = max(0, file.size - _TAIL)
    tail = file.at(start, _TAIL)
    place = tail.find(b"\0\0\1\xba")
    while 0 <= place < len(tail):
        head = tail[place : place + 14]
        if head[:3] != b"\0\0\1":
            return _OPEN if head.strip(b"\0") else Extent(False)  # padding
        if len(head) < 6 and head[3:4] != b"\xb9":
            return Extent(False, "its last packet is torn")
        if head[3] == 0xBA:
            if len(head) < 14 and place + 12 > len(tail):
                return Extent(False, "its last packet is torn")
            place += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12
        elif head[3] == 0xB9:
            place += 4
        else:
            place += 6 + int.from_bytes(head[4:6], "big")
    return Extent(False, "its last packet is torn" if place > len(tail) else "")


def _pages(file: _File) -> Extent:
    """Ogg: pages whose heads have the sizes of their segments; the last page of a stream says so."""
    tail = file.at(max(0, file.size - _TAIL), _TAIL)
    place = tail.rfind(b"OggS")
    if place < 0:
        return _OPEN
    page = tail[place:]
    table = page[27 : 27 + page[26]] if len(page) > 26 else b""
    torn = len(page) < 27 or len(table) < page[26] or len(page) < 27 + len(table) + sum(table)
    return Extent(not torn and bool(page[5] & 4), "its last page is torn" if torn else "")


def _ivf(file: _File) -> Extent:
    """IVF: frames with their sizes and times, and a header that counts frames, or time as older FFmpegs wrote it."""
    place, count = int.from_bytes(file.at(6, 2), "little"), int.from_bytes(file.at(24, 4), "little")
    times = []
    while len(head := file.at(place, 12)) == 12:
        place += 12 + int.from_bytes(head[:4], "little")
        times.append(int.from_bytes(head[4:], "little"))
    if place > file.size or head:
        return Extent(False, "its last frame is torn")
    if count in (0, _IVF_UNKNOWN) or not times:
        return _OPEN
    if len(times) >= count:
        return _WHOLE
    last = max((after - before for before, after in pairwise(times)), default=1)  # how long the last frame may be
    ticks = times[-1] - times[0] + last
    if ticks < count:
        found = f"{len(times)} frames of {ticks} ticks"
        return Extent(True, f"its header counts {count} frames or ticks, {found} are there")
    return Extent(ticks == count)  # beyond it, the number may be either


_LOOKS: dict[str, Callable[[_File], Extent]] = {
    "avi": _riff,
    "mov": _boxes,
    "matroska": _elements,
    "asf": _asf,
    "flv": _tags,
    "mpegts": _packets,
    "mpeg": _packs,
    "ogg": _pages,
    "ivf": _ivf,
}
