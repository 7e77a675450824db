"""A writer of RAR 4 archives with stored members, as far as tests need one: no free tool writes RAR."""

import struct
import zlib


def _block(kind: int, flags: int, fields: bytes, size: int | None = None) -> bytes:
    rest = struct.pack("<BHH", kind, flags, 7 + len(fields) if size is None else size) + fields
    return struct.pack("<H", zlib.crc32(rest) & 0xFFFF) + rest


def rar_member(name: str, data: bytes, *, mode: int = 0o100644, flags: int = 0, size: int | None = None) -> bytes:
    """One stored member; `size` is a lie about its unpacked size, flag 4 says that it is encrypted."""
    encoded = name.encode()
    fields = struct.pack(
        "<IIBIIBBHI",
        *(
            len(data),
            len(data) if size is None else size,
            3,
            zlib.crc32(data),
            0x42210000,
            20,
            0x30,
            len(encoded),
            mode,
        ),
    )
    return _block(0x74, 0x8000 | flags, fields + encoded) + data


def rar(*members: bytes) -> bytes:
    """An archive of members."""
    return b"Rar!\x1a\x07\x00" + _block(0x73, 0, b"\0" * 6) + b"".join(members) + _block(0x7B, 0x4000, b"")
