"""Where a command may write: never over what moclip did not write itself, and never over what it reads.

A file of moclip's ends in a seal: the SHA-256 of all that stands before, where readers of its format look past it. A
folder of moclip's has a manifest with the SHA-256 of every file in it. What was changed since is a person's work, and
is kept like anything else. Commands claim their outputs before they work; what writes claims them again.
"""

import errno
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from moclip.base.errors import OutputError, StoreError, explain
from moclip.base.files import atomic_path, fingerprint, read_json, sha256_file, write_json, write_text
from moclip.base.tables import write_csv

Form = Literal["npz", "png", "mp4", "page"]
"""A kind of file that has room for a seal; a table alone has none."""

_MARK = b"written by moclip, SHA-256 "
_DIGEST_BYTES = 64
_KEPT = "nothing else is replaced: name another place, or remove it yourself first"
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


class _Seal(NamedTuple):
    """How a form takes a mark: `around` gives the new end of a file in place of its last `cut` bytes."""

    cut: int
    around: Callable[[bytes], bytes]


def _png_chunk(mark: bytes) -> bytes:
    chunk = b"tEXtSoftware\0" + mark
    return (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + _PNG_END


_SEALS: dict[Form, _Seal] = {
    "npz": _Seal(2, lambda mark: len(mark).to_bytes(2, "little") + mark),  # the comment of a zip, behind its length
    "png": _Seal(len(_PNG_END), _png_chunk),
    "mp4": _Seal(0, lambda mark: (len(mark) + 8).to_bytes(4, "big") + b"free" + mark),
    "page": _Seal(0, lambda mark: b"\n<!-- " + mark + b" -->\n"),
}


def claim_file(path: Path, form: Form | None, inputs: Iterable[Path] = ()) -> None:
    """Refuse a file that may not be written; see `claim_files`."""
    claim_files([(path, form)], inputs)


def claim_files(targets: Iterable[tuple[Path, Form | None]], inputs: Iterable[Path] = ()) -> None:
    """Refuse files that may not be written; nothing is written yet.

    Args:
        targets: Each with its form, or None where a file that is there can never be known for moclip's.
        inputs: What is read.

    Raises:
        OutputError: a target is there and not as moclip wrote it, is an input or a link, cannot be there, or comes up
            twice.
    """
    read = {_identity(path) for path in inputs} - {None}
    seen = set()
    for path, form in targets:
        _claim(path, partial(_is_sealed, form=form), read)
        place = path.parent.resolve() / path.name
        if place in seen:
            raise OutputError(f"{path}: stands for two outputs; name a file for each")
        seen.add(place)


def claim_page(page: Path) -> None:
    """Refuse a page that may not be written with its table beside it, `page` with the ending .csv.

    Raises:
        OutputError: as of `claim_files`; the table is known by the page, which has its SHA-256.
    """
    claim_file(page, "page")
    table = table_of(page)
    if table == page:
        raise OutputError(f"{page}: is where the table beside the page goes; name a page, such as {page.stem}.md")
    _claim(table, lambda path: page.is_file() and sha256_file(path).encode() in page.read_bytes(), set())


def claim_edit(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse a file that may not be edited in place.

    Raises:
        OutputError: it is an input besides, a link, or no file.
    """
    _claim(path, lambda path: True, {_identity(one) for one in inputs} - {None})


def claim_directory(path: Path, manifest: str, inputs: Iterable[Path] = ()) -> None:
    """Refuse a folder that may not be made or replaced.

    Args:
        path: The folder.
        manifest: Name of the file in it that lists the others, see `write_manifest`.
        inputs: What is read.

    Raises:
        OutputError: it is there and holds something that its manifest does not list as it is, it overlaps with an
            input, or it cannot be there.
    """
    _check_place(path)
    if source := next((source for source in inputs if _overlap(path, source)), None):
        raise OutputError(f"{path}: overlaps with {source}, which is read; name a folder elsewhere")
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: is a file, and a folder is to be made; name another place")
    if path.is_dir() and (stranger := _stranger(path, manifest)):
        rule = f"a folder is replaced only where its {manifest} lists all that is in it"
        raise OutputError(
            f"{path}: holds {stranger}, which is not as moclip wrote it; {rule}: name another folder, or remove this "
            "one yourself first"
        )


@contextmanager
def writing_file(path: Path, form: Form | None, inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield a temporary path; what is written there gets its seal and becomes `path`.

    Raises:
        OutputError: `claim_files` refuses, before or after the block, or the system does.
    """
    inputs = list(inputs)
    claim_file(path, form, inputs)
    with _replacing(path) as temporary:
        yield temporary
        if form is not None:
            _seal(temporary, form)
        claim_file(path, form, inputs)


@contextmanager
def editing(path: Path, inputs: Iterable[Path]) -> Iterator[Path]:
    """Yield a temporary path that becomes `path`, a file that is edited.

    Raises:
        OutputError: `claim_edit` refuses, or the system does.
    """
    claim_edit(path, inputs)
    with _replacing(path) as temporary:
        yield temporary


@contextmanager
def writing_directory(path: Path, manifest: str, inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield an empty temporary folder, in which the block ends with `write_manifest`; it becomes `path`.

    Raises:
        OutputError: `claim_directory` refuses, before or after the block, or the system does.
    """
    inputs = list(inputs)
    claim_directory(path, manifest, inputs)
    with _replacing(path) as temporary:
        temporary.mkdir()
        yield temporary
        claim_directory(path, manifest, inputs)


def write_manifest(folder: Path, name: str, facts: Mapping[str, Any]) -> None:
    """Write facts on a folder as JSON, with `files`: the SHA-256 of every file in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    whole = {**facts, "files": {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}}
    write_json(folder / name, {**whole, "seal": fingerprint(whole)})


def write_page(page: Path, text: str, columns: Sequence[str], rows: Iterable[tuple]) -> None:
    """Write a page and its table beside it, both or none.

    Raises:
        OutputError: `claim_page` refuses, or the system does.
    """
    claim_page(page)
    with _replacing(page) as of_page, _replacing(table_of(page)) as of_table:
        write_csv(of_table, columns, rows)
        write_text(of_page, f"{text}\n<!-- SHA-256 of the table: {sha256_file(of_table)} -->\n")
        _seal(of_page, "page")
        claim_page(page)


def table_of(page: Path) -> Path:
    """Where the table of a page goes."""
    return page.with_suffix(".csv")


def named(path: Path) -> Path:
    """The path itself.

    Raises:
        OutputError: it ends in no name of its own, as `.` and `..` do, or begins with `~`, which nobody has expanded.
    """
    if path.parts and path.parts[0].startswith("~"):
        raise OutputError(f"{path}: begins with ~, which only a shell expands; write the path out")
    if path.name in ("", ".."):
        raise OutputError(f"{path}: is a place without a name of its own; end it in the name of what is to be written")
    return path


def _claim(path: Path, is_ours: Callable[[Path], bool], read: set[Any]) -> None:
    """Refuse a file: `is_ours` tells of a regular one whether it may be replaced, `read` has the inputs' identities."""
    _check_place(path)
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, and a file is to be written; name a file in it")
    if _identity(path) in read:
        raise OutputError(f"{path}: is what the command reads, which is never written over; name another file")
    if path.exists() and not (path.is_file() and is_ours(path)):
        raise OutputError(f"{path}: is there already, and not as moclip wrote it; {_KEPT}")


def _check_place(path: Path) -> None:
    """Refuse a path where nothing can be written, whatever is there."""
    if named(path).is_symlink():
        raise OutputError(f"{path}: is a link, which is neither replaced nor followed; name {path.readlink()} itself")
    above = next(parent for parent in path.parents if os.path.lexists(parent))
    if not above.is_dir():
        raise OutputError(f"{path}: {above} is no folder, so nothing can be written below it; name another place")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: {above} may not be written to; check who may, or name another place")


def _identity(path: Path) -> tuple[int, int] | None:
    """What is the same for all names of a file, or None where there is none, as behind a link that leads to itself."""
    try:
        found = path.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    return found.st_dev, found.st_ino


def _overlap(one: Path, other: Path) -> bool:
    """Whether one of two places is the other, or lies in it."""
    return _identity(one) in _lineage(other) or _identity(other) in _lineage(one)


def _lineage(path: Path) -> set[tuple[int, int]]:
    whole = path.resolve()
    return {found for place in (whole, *whole.parents) if (found := _identity(place))}


def _seal(path: Path, form: Form) -> None:
    start = path.stat().st_size - _SEALS[form].cut
    end = _sealed_end(path, form, start)
    with path.open("r+b") as handle:
        handle.seek(start)
        handle.write(end)


def _is_sealed(path: Path, form: Form | None) -> bool:
    """Whether a file is one that `_seal` left, unchanged."""
    if form is None:
        return False
    start = path.stat().st_size - len(_SEALS[form].around(_MARK + bytes(_DIGEST_BYTES)))
    if start < 0:
        return False
    with path.open("rb") as handle:
        handle.seek(start)
        end = handle.read()
    return _MARK in end and end == _sealed_end(path, form, start)  # a large file of others is not read as a whole


def _sealed_end(path: Path, form: Form, start: int) -> bytes:
    """The end of a file that is sealed, from `start` on."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while start > 0 and (block := handle.read(min(start, 1 << 20))):
            digest.update(block)
            start -= len(block)
    return _SEALS[form].around(_MARK + digest.hexdigest().encode())


def _stranger(folder: Path, manifest: str) -> str | None:
    """Name of the first thing in a folder that its manifest does not list as it is; None where there is none."""
    listed = _listed(folder / manifest)
    if not listed and os.path.lexists(folder / manifest):
        return manifest
    folders = {parent.as_posix() for name in listed for parent in Path(name).parents}
    for place, inner, files in os.walk(folder, onerror=_fail):
        for path in (Path(place, name) for name in sorted([*files, *inner])):
            name = path.relative_to(folder).as_posix()
            if not (name in folders if _is_folder(path) else _is_file(path, listed.get(name))):
                return name
    return None


def _listed(manifest: Path) -> dict[str, str]:
    """SHA-256 by name of all files beside a manifest and its own; empty where there is none or it was changed."""
    try:
        facts = read_json(manifest)
    except StoreError:
        return {}
    seal = facts.pop("seal", None) if isinstance(facts, dict) else None
    if seal is None or seal != fingerprint(facts):
        return {}
    return {**facts["files"], manifest.name: sha256_file(manifest)}


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_file(path: Path, digest: str | None) -> bool:
    """Whether it is a regular file with this digest."""
    return digest is not None and path.is_file() and not path.is_symlink() and sha256_file(path) == digest


def _fail(error: OSError) -> NoReturn:
    raise error


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """`atomic_path`, with one message for what the system refuses."""
    temporary = path
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except OSError as error:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        # Only what a person named is worth naming: the temporary path is gone.
        place = path if not names or any(temporary.name in name for name in names) else Path(names[0])
        raise OutputError(explain(error, place) or f"{place}: {error.strerror or error}; name another place") from error
