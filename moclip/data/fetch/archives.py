"""Members of zip and RAR archives, out of files that nobody vouches for.

What an archive says of itself is checked before a byte is written, and its members' real sizes while they are.
Names choose no place on this disk: the caller maps each member to its place below the target. Members are staged in a
hidden folder beside the target and move in when all of them are whole.
"""

import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

import rarfile

from moclip.base.errors import DataError
from moclip.base.files import remove
from moclip.base.progress import Progress
from moclip.data.fetch.transfer import BLOCK_BYTES, RangeFile, require_space

MAX_MEMBERS = 100_000
MAX_DIRECTORY_BYTES = 16 << 20  # 160 bytes for each member, name included
MAX_MEMBER_BYTES = 2 << 30
MAX_TOTAL_BYTES = 200 << 30
MAX_RATIO = 200  # of what comes out to what went in; videos hardly shrink, lists do by 20
_SMALL_BYTES = 16 << 20  # so much may come out of any archive: a ratio says little of a small one
_ENDS_BYTES = 22 + 20 + 56  # of a zip: its end, and before it those that large ones have
_COMMENT_BYTES = 1 << 16
_RAR_MAGIC = b"Rar!\x1a\x07"
_NESTED = re.compile(r"\.(zip|rar|r\d\d|7z|tar|tgz|tbz2?|txz|gz|bz2|xz|zst|cab|iso|jar)$", re.IGNORECASE)

Choose = Callable[[str], PurePosixPath | None]


class ArchiveError(DataError):
    """An archive is damaged or breaks a rule; nothing of it was kept."""


@dataclass(frozen=True)
class Entry:
    """What an archive says of one member; `kind` is file, folder or other (links, devices)."""

    name: str
    size: int
    kind: str
    encrypted: bool
    crc: int | None


class Archive(Protocol):
    """An archive that can list its members and yield the contents of some, in its own order."""

    name: str
    packed_bytes: int

    def entries(self) -> list[Entry]:
        """All members, as stated."""
        ...

    def contents(self, chosen: Collection[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Names and bytes of the chosen members; each is read before the next is asked for."""
        ...


def extract(archive: Archive, target: Path, choose: Choose) -> int:
    """Write the chosen members below `target` and return how many; files that are there are replaced.

    Args:
        archive: From `open_archive`, or a `Zip` over a `RangeFile`.
        target: Folder to write below; made if absent.
        choose: A member's place below `target`, or None to leave it out. It sees names of files that passed the checks.

    Raises:
        ArchiveError: the archive breaks a rule or is damaged: nothing is written to `target`.
        TransferError: a remote archive cannot be read on: what is staged serves the next try.
    """
    entries = archive.entries()
    check_entries(archive.name, entries, archive.packed_bytes)
    places = _places(archive.name, entries, choose)
    staging = target.with_name(f".{target.name}.part")
    staging.mkdir(parents=True, exist_ok=True)
    try:
        _stage(archive, {entry.name: entry for entry in entries}, places, staging)
    except ArchiveError:
        remove(staging)
        raise
    for place in places.values():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        (staging / place).replace(target / place)
    remove(staging)
    return len(places)


def check_entries(archive: str, entries: list[Entry], packed_bytes: int) -> None:
    """Refuse an archive for what it says of itself.

    Raises:
        ArchiveError: names the first member concerned and the rule.
    """
    if len(entries) > MAX_MEMBERS:
        raise ArchiveError(f"{archive}: {len(entries)} members; more than {MAX_MEMBERS} are refused")
    spelling: dict[str, str] = {}
    files: set[str] = set()
    for entry in entries:
        if reason := _fault(entry):
            raise ArchiveError(f"{archive}: member {entry.name!r} {reason}; the archive is refused")
        _check_name(archive, entry, spelling, files)
    total = sum(entry.size for entry in entries)
    if total > MAX_TOTAL_BYTES or total > max(_SMALL_BYTES, MAX_RATIO * packed_bytes):
        largest = max(entries, key=lambda entry: entry.size)
        raise ArchiveError(
            f"{archive}: {packed_bytes} bytes claim to hold {total}, {largest.name!r} the most; refused as a bomb"
        )


def _fault(entry: Entry) -> str | None:
    """The rule that a member breaks by itself, if any."""
    parts = entry.name.split("/")
    if not entry.name or not entry.name.isprintable() or "\\" in entry.name:
        return "has a name with control characters or backslashes"
    if entry.name.startswith("/") or re.match(r"[A-Za-z]:", entry.name):
        return "has an absolute path"
    if ".." in parts:
        return "climbs out of its folder by '..'"
    if entry.kind == "other":
        return "is a link or a device"
    if entry.encrypted:
        return "is encrypted"
    if entry.kind == "file" and _NESTED.search(entry.name):
        return "is an archive inside the archive"
    return f"claims {entry.size} bytes" if entry.size > MAX_MEMBER_BYTES else None


def _check_name(archive: str, entry: Entry, spelling: dict[str, str], files: set[str]) -> None:
    """Refuse names that clash, also on disks that do not tell apart case, or accents' spellings."""
    path = PurePosixPath(entry.name)
    name = path.as_posix()
    if name in files or (entry.kind == "file" and spelling.get(_folded(name)) == name):
        raise ArchiveError(f"{archive}: member {name!r} stands twice; the archive is refused")
    for part in (path, *path.parents[:-1]):
        other = spelling.setdefault(_folded(part.as_posix()), part.as_posix())
        if other != part.as_posix():
            raise ArchiveError(f"{archive}: members {other!r} and {part.as_posix()!r} differ by case alone; refused")
        if part.as_posix() in files:
            raise ArchiveError(f"{archive}: member {part.as_posix()!r} is both a file and a folder; refused")
    if entry.kind == "file":
        files.add(name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _places(archive: str, entries: list[Entry], choose: Choose) -> dict[str, PurePosixPath]:
    places: dict[str, PurePosixPath] = {}
    taken: dict[PurePosixPath, str] = {}
    for entry in entries:
        place = choose(entry.name) if entry.kind == "file" else None
        if place is None:
            continue
        if place in taken:
            raise ArchiveError(f"{archive}: members {taken[place]!r} and {entry.name!r} are both {place}; refused")
        taken[place] = entry.name
        places[entry.name] = place
    return places


def _stage(archive: Archive, entries: dict[str, Entry], places: dict[str, PurePosixPath], staging: Path) -> None:
    waiting = [name for name, place in places.items() if not _is_whole(staging / place, entries[name])]
    require_space(staging, sum(entries[name].size for name in waiting))
    with Progress(total=len(places), initial=len(places) - len(waiting), desc="extract", unit="file") as bar:
        for name, blocks in archive.contents(set(waiting)) if waiting else ():
            with _readable(archive.name, name):
                _write(staging / places[name], blocks, entries[name], archive.name)
            bar.update()
    for name, place in places.items():
        if not (staging / place).is_file():
            raise ArchiveError(f"{archive.name}: member {name!r} did not come out; the archive is damaged or cut short")


def _is_whole(path: Path, entry: Entry) -> bool:
    """Whether an earlier try staged this member; without a checksum there is no telling."""
    if entry.crc is None or not path.is_file() or path.stat().st_size != entry.size:
        return False
    return zlib.crc32(path.read_bytes()) == entry.crc


def _write(path: Path, blocks: Iterable[bytes], entry: Entry, archive: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    written, crc = 0, 0
    with temporary.open("wb") as handle:
        for block in blocks:
            written, crc = written + len(block), zlib.crc32(block, crc)
            if written > entry.size:
                raise ArchiveError(f"{archive}: member {entry.name!r} holds more than the {entry.size} bytes it claims")
            handle.write(block)
    if written != entry.size:
        raise ArchiveError(f"{archive}: member {entry.name!r} ends after {written} of {entry.size} bytes")
    if entry.crc is not None and crc != entry.crc:
        raise ArchiveError(
            f"{archive}: member {entry.name!r} is damaged (its checksum differs); remove the archive and fetch it again"
        )
    temporary.replace(path)


class Zip:
    """A zip archive, on this disk or behind a `RangeFile`."""

    def __init__(self, name: str, file: IO[bytes] | RangeFile, packed_bytes: int) -> None:
        self.name = name
        self.packed_bytes = packed_bytes
        self._file = file
        with _readable(name):
            if (stated := _directory_bytes(file)) > MAX_DIRECTORY_BYTES:
                raise ArchiveError(
                    f"{name}: a directory of {stated} bytes; more than {MAX_DIRECTORY_BYTES} are refused"
                )
            self._zip = zipfile.ZipFile(file)

    def entries(self) -> list[Entry]:
        """All members of the directory; overlapping ones are refused."""
        self._spans()
        return [
            Entry(info.orig_filename, info.file_size, _zip_kind(info), bool(info.flag_bits & 1), info.CRC)
            for info in self._zip.infolist()
        ]

    def contents(self, chosen: Collection[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Names and bytes in the order in which they lie in the file."""
        infos = sorted(
            (info for info in self._zip.infolist() if info.orig_filename in chosen), key=lambda info: info.header_offset
        )
        if isinstance(self._file, RangeFile):
            spans = self._spans()
            self._file.plan([spans[info.header_offset] for info in infos])
        for info in infos:
            yield info.orig_filename, self._blocks(info)

    def _blocks(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        with self._zip.open(info) as member:
            yield from _read_on(member)

    def _spans(self) -> dict[int, tuple[int, int]]:
        """By its start, where each member lies with its header: up to the next one, or to the directory."""
        infos = sorted(self._zip.infolist(), key=lambda info: info.header_offset)
        stops = [info.header_offset for info in infos[1:]] + [self._zip.start_dir]
        for info, stop in zip(infos, stops, strict=True):
            if info.header_offset + info.compress_size > stop:
                raise ArchiveError(f"{self.name}: member {info.orig_filename!r} overlaps the next one; refused")
        return {info.header_offset: (info.header_offset, stop) for info, stop in zip(infos, stops, strict=True)}


def _directory_bytes(file: IO[bytes] | RangeFile) -> int:
    """The size that a zip's end states of its directory, all of which the library reads; 0 where there is no end."""
    for length in (_ENDS_BYTES, _ENDS_BYTES + _COMMENT_BYTES):
        file.seek(max(0, file.seek(0, os.SEEK_END) - length))
        ends = file.read(length)
        if (end := ends.rfind(b"PK\x05\x06")) >= 0:
            wide = ends.rfind(b"PK\x06\x06", 0, end)
            stated = [ends[end + 12 : end + 16], ends[wide + 40 : wide + 48] if wide >= 0 else b""]
            return max(int.from_bytes(one, "little") for one in stated if one != b"\xff" * 4)
    return 0


def _zip_kind(info: zipfile.ZipInfo) -> str:
    mode = stat.S_IFMT(info.external_attr >> 16)
    if info.create_system == 3 and mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "other"
    return "folder" if info.is_dir() else "file"


_DAMAGE = (zipfile.BadZipFile, rarfile.Error, zlib.error, EOFError, RuntimeError, ValueError, OSError)


@contextmanager
def _readable(archive: str, member: str | None = None) -> Iterator[None]:
    """Turn the many errors of a damaged archive into one that names it."""
    try:
        yield
    except (*_DAMAGE, getattr(_libarchive(), "ArchiveError", OSError)) as error:
        where = archive if member is None else f"{archive}: member {member!r}"
        raise ArchiveError(
            f"{where}: cannot be read ({error}); it is damaged, cut short or of an unknown kind; "
            "remove it and fetch it again"
        ) from error


class Rar:
    """A RAR archive: the library rarfile reads its headers; it, or libarchive, unpacks, and neither is trusted.

    Names, sizes and checksums are those of the headers; what comes out is held against them here, since libarchive
    does not check the sums of RAR members.
    """

    def __init__(self, path: Path) -> None:
        require_rar(str(path))
        self.name = str(path)
        self.packed_bytes = path.stat().st_size
        self._path = path
        with _readable(self.name), rarfile.RarFile(path, part_only=True) as archive:
            self._infos = archive.infolist()

    def entries(self) -> list[Entry]:
        """All members by their headers."""
        return [
            Entry(info.filename, info.file_size or 0, _rar_kind(info), bool(info.needs_password()), info.CRC)
            for info in self._infos
        ]

    def contents(self, chosen: Collection[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Names and bytes: in one pass by libarchive, else member by member by unrar, unar or 7z."""
        with _readable(self.name):
            library = _libarchive()
            yield from _by_libarchive(self._path, library, chosen) if library else _by_rarfile(self._path, chosen)


def _by_libarchive(path: Path, library: Any, chosen: Collection[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
    with library.file_reader(str(path)) as reader:
        for member in reader:
            if member.pathname in chosen:
                yield member.pathname, member.get_blocks()


def _by_rarfile(path: Path, chosen: Collection[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
    with rarfile.RarFile(path, part_only=True) as archive:
        for info in archive.infolist():
            if info.filename in chosen:
                with archive.open(info) as member:
                    yield info.filename, _read_on(member)


def _read_on(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _rar_kind(info: Any) -> str:
    return "file" if info.is_file() else "folder" if info.is_dir() else "other"


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """A local zip or RAR archive, told by its first bytes.

    Raises:
        ArchiveError: it is neither, or RAR without anything here that reads it.
    """
    try:
        handle = path.open("rb")
    except OSError as error:
        raise ArchiveError(f"data.archive: {path} cannot be read ({error})") from error
    with handle:
        start = handle.read(8)
        if start.startswith(_RAR_MAGIC):
            yield Rar(path)
        elif start.startswith(b"PK"):
            yield Zip(str(path), handle, path.stat().st_size)
        else:
            raise ArchiveError(f"{path}: is neither a zip nor a RAR archive")


def require_rar(name: str) -> None:
    """Make sure that RAR archives can be unpacked here.

    Raises:
        ArchiveError: nothing unpacks them; says what to install, and what needs no such thing.
    """
    try:
        if _libarchive() is None:
            rarfile.tool_setup(bsdtar=False, force=True)  # to bsdtar, rarfile 4.5 gives arguments that it does not take
    except rarfile.RarCannotExec as error:
        raise ArchiveError(
            f"{name}: nothing here unpacks RAR; install libarchive with `pip install libarchive-c`, or unrar or unar; "
            "or set data.archive: thumos, the zip of the same videos, which needs nothing"
        ) from error


def _libarchive() -> Any:
    try:
        import libarchive
    except (ImportError, AttributeError, OSError, TypeError):  # no such package, or it finds no library
        return None
    return libarchive
