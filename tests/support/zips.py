"""Zip archives that break a rule."""

import io
import stat
import struct
import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath

GOOD = [("UCF-101/YoYo/a.avi", b"first" * 1000), ("UCF-101/YoYo/b.avi", b"second" * 2000)]
Members = Sequence[tuple[str | zipfile.ZipInfo, bytes]]


def below(name: str) -> PurePosixPath | None:
    return PurePosixPath(*name.split("/")[1:]) if name.endswith(".avi") else None


def make_zip(members: Members, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data, method)
    return buffer.getvalue()


def info(name: str, mode: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = mode << 16
    return member


def raw(name: str) -> zipfile.ZipInfo:
    """A member whose name the library would mend on its way in."""
    member = zipfile.ZipInfo("x")
    member.filename = member.orig_filename = name
    return member


def patched(data: bytes, offset: int, form: str, value: int) -> bytes:
    """The same zip with one field changed, in the first member's header and in the directory."""
    changed = bytearray(data)
    for signature, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        struct.pack_into(form, changed, changed.index(signature) + offset + shift, value)
    return bytes(changed)


def many(count: int) -> bytes:
    """A zip whose directory has so many members, all of them the same of no bytes."""
    head = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    size, start = len(entry) * count, len(head)
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    end += struct.pack("<4sLQL", b"PK\x06\x07", 0, start + size, 1)
    return head + entry * count + end + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, size, start, 0)


HOSTILE: dict[str, tuple[Members, str]] = {
    "absolute": ([*GOOD, ("/tmp/evil.avi", b"x")], r"'/tmp/evil\.avi' has an absolute path"),
    "drive": ([("C:/evil.avi", b"x")], "'C:/evil.avi' has an absolute path"),
    "climbing": ([*GOOD, ("UCF-101/../../evil.avi", b"x")], r"climbs out of its folder by '\.\.'"),
    "backslash": ([(raw("..\\evil.avi"), b"x")], "control characters or backslashes"),
    "nul": ([(raw("a.avi\0.txt"), b"x")], "control characters or backslashes"),
    "newline": ([("UCF-101/a\nb.avi", b"x")], "control characters or backslashes"),
    "link": ([*GOOD, (info("UCF-101/l.avi", stat.S_IFLNK | 0o777), b"/etc/passwd")], "'UCF-101/l.avi' is a link"),
    "device": ([(info("UCF-101/d.avi", stat.S_IFCHR | 0o666), b"")], "'UCF-101/d.avi' is a link or a device"),
    "case": ([*GOOD, ("UCF-101/YoYo/A.avi", b"x")], "'UCF-101/YoYo/a.avi' and 'UCF-101/YoYo/A.avi' differ by case"),
    "case of a folder": ([*GOOD, ("UCF-101/yoyo/c.avi", b"x")], "'UCF-101/YoYo' and 'UCF-101/yoyo' differ by case"),
    "accents": ([("o/\u00e9.avi", b"x"), ("o/e\u0301.avi", b"x")], "differ by case alone"),
    "file and folder": ([("UCF-101/a", b"x"), ("UCF-101/a/b.avi", b"x")], "both a file and a folder"),
    "folder and file": ([("UCF-101/a/b.avi", b"x"), ("UCF-101/a", b"x")], "'UCF-101/a' stands twice"),
    "nested": ([*GOOD, ("UCF-101/more.rar", b"Rar!")], "'UCF-101/more.rar' is an archive inside the archive"),
    "nested volume": ([("UCF-101/more.r07", b"Rar!")], "is an archive inside the archive"),
    "two at one place": ([("a/YoYo/a.avi", b"x"), ("b/YoYo/a.avi", b"x")], r"are both YoYo/a\.avi"),
    "declared bomb": ([("UCF-101/big.avi", bytes(30_000_000))], "'UCF-101/big.avi' the most; refused as a bomb"),
}
