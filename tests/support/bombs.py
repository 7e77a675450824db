"""Small video files whose reading costs much: more frames, pictures or tables than anybody stored."""

import struct
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from tests.support.clips import encode, scrolling

ALIASED = ("tiny200k", "big2000")


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of MP4."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind: bytes, *parts: bytes) -> bytes:
    """A box with version and flags, both 0."""
    return box(kind, bytes(4), *parts)


def u32(*values: int) -> bytes:
    """Numbers as MP4 writes them."""
    return struct.pack(f">{len(values)}I", *values)


_MATRIX = u32(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def track(number: int, size: tuple[int, int], table: bytes, duration: int) -> bytes:
    """One video track with its table of samples."""
    width, height = size
    return box(
        b"trak",
        box(b"tkhd", u32(7, 0, 0, number, 0, duration), bytes(16), _MATRIX, u32(width << 16, height << 16)),
        box(
            b"mdia",
            full(b"mdhd", u32(0, 0, 25, duration), bytes(4)),
            full(b"hdlr", u32(0), b"vide", bytes(12), b"\0"),
            box(
                b"minf",
                box(b"vmhd", u32(1), bytes(8)),
                box(b"dinf", full(b"dref", u32(1), box(b"url ", u32(1)))),
                box(b"stbl", table),
            ),
        ),
    )


def movie(path: Path, tracks: Sequence[bytes], data: bytes, duration: int) -> Path:
    """An MP4 whose data stand before its tables, from byte 40 on."""
    header = full(
        b"mvhd", u32(0, 0, 25, duration, 0x10000), b"\1\0", bytes(10), _MATRIX, bytes(24), u32(len(tracks) + 1)
    )
    kind = box(b"ftyp", b"isom", u32(512), b"isomiso2avc1mp41")
    path.write_bytes(kind + box(b"mdat", data) + box(b"moov", header, *tracks))
    return path


def _description(width: int, height: int) -> bytes:
    """Uncoded pictures, so that nothing else has to be made."""
    entry = struct.pack(">6xH16xHHII4xH32sHh", 1, width, height, 72 << 16, 72 << 16, 1, bytes(32), 24, -1)
    return full(b"stsd", u32(1), box(b"mp4v", entry))


def stsz(path: Path, samples: int, tracks: int = 1) -> Path:
    """One sample size and one chunk stand for `samples` samples: the index is made when the file is opened."""
    table = b"".join(
        (
            _description(16, 16),
            full(b"stts", u32(1, samples, 1)),
            full(b"stsc", u32(1, 1, samples, 1)),
            full(b"stsz", u32(1, samples)),
            full(b"stco", u32(1, 40)),
        )
    )
    made = [track(number, (16, 16), table, samples) for number in range(1, tracks + 1)]
    return movie(path, made, bytes(8), samples)


def aliased(path: Path, pictures: Sequence[np.ndarray], times: int) -> Path:
    """The stored pictures so many times over: every chunk of the table lies at the same place."""
    with tempfile.TemporaryDirectory() as folder:
        plain = encode(Path(folder) / "plain.mp4", pictures, "mpeg4", options={"g": "500", "bf": "0"})
        content = plain.read_bytes()
        with av.open(str(plain)) as source:
            packets = [bytes(packet) for packet in source.demux(source.streams.video[0]) if packet.size]
    at = content.index(b"stsd") - 4
    description = content[at : at + int.from_bytes(content[at : at + 4], "big")]
    count, height, width = len(packets), *pictures[0].shape[:2]
    table = b"".join(
        (
            description,
            full(b"stts", u32(1, count * times, 1)),
            full(b"stsc", u32(1, 1, count, 1)),
            full(b"stsz", u32(0, count * times, *(len(packet) for packet in packets * times))),
            full(b"stco", u32(times, *[40] * times)),
        )
    )
    return movie(path, [track(1, (width, height), table, count * times)], b"".join(packets), count * times)


def tiny200k(path: Path) -> Path:
    """200,000 frames of 16 x 16 over 500 stored ones."""
    return aliased(path, scrolling(500, 0, 0, 16, 16), 400)


def big2000(path: Path) -> Path:
    """2,000 frames of 4096 x 4096 over 20 stored ones."""
    return aliased(path, [np.full((4096, 4096, 3), 10 * shade, np.uint8) for shade in range(20)], 100)


def png(path: Path, side: int = 16_000) -> Path:
    """An AVI that states 64 x 64 and holds one PNG of `side` x `side`."""
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + 3 * side)) for _ in range(side)) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    )
    return avi(path, picture, 64)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def avi(path: Path, picture: bytes, side: int) -> Path:
    """An AVI that states `side` x `side`, with a PNG picture twice."""
    main = struct.pack("<14I", 40_000, 0, 0, 0x10, 2, 0, 1, 0, side, side, 0, 0, 0, 0)
    stream = b"vidsMPNG" + struct.pack("<10I4h", 0, 0, 0, 1, 25, 0, 2, 0, 0xFFFFFFFF, 0, 0, 0, side, side)
    form = struct.pack("<IiiHH4sIiiII", 40, side, side, 1, 24, b"MPNG", side * side * 3, 0, 0, 0, 0)
    lists = _chunk(
        b"LIST",
        b"hdrl" + _chunk(b"avih", main) + _chunk(b"LIST", b"strl" + _chunk(b"strh", stream) + _chunk(b"strf", form)),
    )
    frames = _chunk(b"LIST", b"movi" + 2 * _chunk(b"00dc", picture))
    path.write_bytes(_chunk(b"RIFF", b"AVI " + lists + frames))
    return path
