"""Where the bytes of a video lie: in a file of its own, or in a tar, whose members are named as if it were a folder.

`shard-000001.tar/Run/v_1.mp4` is the member `Run/v_1.mp4`. Members are read where they stand: nothing is unpacked, so a
tar must not be compressed.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from moclip.base.errors import DataError, shown

_SUFFIX = ".tar"
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
_MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")  # of gzip, bzip2, xz and Zstandard
_INDEXES = 256  # that a process holds at once; one of a thousand members takes 0.3 MB
_MOST_HEADER = 1 << 21  # bytes of a member's own header, with a long name and whatever else is said of it
_MOST_FILLING = 1 << 20  # bytes behind the end mark: tar fills up to a block of 10 kB, or of what `-b` says
_REMEDY = "write the tar again, or remove it"


class Place(NamedTuple):
    """Of the bytes of a video: `size` of them in `file`, from `start` on. It is called `name`."""

    name: Path
    file: Path
    start: int
    size: int

    @property
    def is_member(self) -> bool:
        """Whether it is a part of a tar."""
        return self.name != self.file

    def open(self) -> io.BufferedReader:
        """The bytes as a file of their own, which the caller closes."""
        return io.BufferedReader(_Part(self)) if self.is_member else self.file.open("rb")

    def sha256(self) -> str:
        """In hexadecimal digits."""
        with self.open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class _Part(io.RawIOBase):
    def __init__(self, place: Place) -> None:
        self.name = f"file:{place.name}"  # FFmpeg is told it, since some containers are known by their ending alone
        self._start, self._size, self._at = place.start, place.size, 0
        self._file = os.open(place.file, os.O_RDONLY | os.O_CLOEXEC)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"there is no place {base + offset} in a file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        found = os.pread(self._file, count, self._start + self._at)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()


class _Headers(io.FileIO):
    """A tar whose members are only listed, so that whatever is read whole is a header."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_HEADER:
            raise tarfile.ReadError(f"a member's header has more than {_MOST_HEADER} bytes")
        return super().read(size) or b""


def find(path: Path) -> Place | None:
    """The place of a video; None where there is none.

    Raises:
        DataError: it would be in a tar that cannot be used.
    """
    if path.is_file():
        return Place(path, path, 0, path.stat().st_size)
    tar = tar_of(path)
    found = members(tar).get(path.relative_to(tar).as_posix()) if tar else None
    return Place(path, tar, *found) if tar and found else None


def is_tar(path: Path) -> bool:
    """Whether a file is a tar by its name.

    Raises:
        DataError: it is one that is compressed.
    """
    if path.name.lower().endswith(_PACKED) and path.is_file():
        raise _packed(path)
    return path.suffix == _SUFFIX and path.is_file()


def without_tar(path: Path) -> Path:
    """A path as it would be if a tar were unpacked where it lies."""
    tar = tar_of(path)
    return tar.parent / path.relative_to(tar) if tar else path


def tar_of(path: Path) -> Path | None:
    """The tar that a path names or leads into."""
    return next((own for own in (path, *path.parents) if own.suffix == _SUFFIX and own.is_file()), None)


def members(tar: Path) -> Mapping[str, tuple[int, int]]:
    """Start and size in bytes of the files in a tar by their names, in the order of these; it is read once.

    Raises:
        DataError: it is compressed or torn, or has something else than files and folders, a name that leads out of it,
            or one twice.
    """
    status = tar.stat()
    return _members(tar, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_INDEXES)
def _members(tar: Path, size: int, mtime_ns: int) -> Mapping[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    with _Headers(tar) as file:
        if file.read(max(map(len, _MAGICS))).startswith(_MAGICS):
            raise _packed(tar)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if not member.isdir():
                        name = _checked(tar, member, found)
                        found[name] = member.offset_data, member.size
                _check_end(tar, file, archive.offset, size)
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise DataError(f"{tar}: is no tar, or a torn one ({error}); {_REMEDY}") from error
    return dict(sorted(found.items()))


def _packed(tar: Path) -> DataError:
    """The error of a tar that is compressed."""
    return DataError(
        f"{tar}: is compressed, and members are read where they stand; decompress it once, for example by `gunzip`, "
        "`unxz` or `unzstd` (videos hardly grow by that)"
    )


def _checked(tar: Path, member: tarfile.TarInfo, others: Mapping[str, Any]) -> str:
    """A member's name, without `./`."""
    name = PurePosixPath(member.name)
    told = f"{tar}: its member {shown(Path(member.name))}"
    if not member.isreg() or member.issparse():
        raise DataError(f"{told} is a link, a device or a sparse file; pack files alone (`tar --dereference`)")
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise DataError(f"{told} has a name that leads out of the tar; pack it by a name relative to its folder")
    if str(name) in others:
        raise DataError(f"{told} stands there twice; {_REMEDY}")
    return str(name)


def _check_end(tar: Path, file: BinaryIO, end: int, size: int) -> None:
    """Hold the place where members end against the mark of zeros that a whole tar has there."""
    file.seek(end)
    rest = file.read(_MOST_FILLING + 1)
    if len(rest) < tarfile.BLOCKSIZE or any(rest[: tarfile.BLOCKSIZE]):
        raise DataError(f"{tar}: is torn: no end mark at byte {end} of {size}; {_REMEDY}")
    if len(rest) > _MOST_FILLING or any(rest):
        raise DataError(f"{tar}: has something behind its end mark, as joined tars have; {_REMEDY}")
