"""Class index and train/test lists, in the forms of UCF101 and of HMDB51."""

import codecs
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from moclip.base.errors import DataError
from moclip.base.files import VIDEO_SUFFIXES

log = logging.getLogger(__name__)

_ENDING = rf"(?i:{'|'.join(sorted(map(re.escape, VIDEO_SUFFIXES)))})"


class _Row(NamedTuple):
    """A line of a list: a video and, in a train list, the number of its class."""

    line: int
    class_name: str
    stem: str
    label: int | None


def read_class_index(path: Path) -> list[str]:
    """Class names in the order of a class index (`1 Name` a line); the numbers must run from 1, or from 0.

    Raises:
        DataError: a line has another form, a number is out of order, or a name stands twice.
    """
    names: list[str] = []
    first = 1
    for place, (number, line) in enumerate(_lines(path)):
        match = re.fullmatch(r"(\d+)\s+([^/\\]+)", line)
        if place == 0 and match and int(match[1]) == 0:
            first = 0
        if not match or int(match[1]) != first + place:
            raise DataError(f"{path}: line {number} must read '{first + place} ClassName', is {line!r}")
        _check_name(path, number, match[2])
        names.append(match[2])
    if len(set(names)) != len(names) or not names:
        raise DataError(f"{path}: must name at least one class, each once")
    return names


def read_list(path: Path, classes: Sequence[str]) -> dict[str, str]:
    """Class by video id (the file's stem) of a train list (`Class/file.avi 1`) or test list (`Class/file.avi`).

    Names may have spaces. Numbers count the classes from 1; a list that has a 0 counts them from 0.

    Raises:
        DataError: a line has another form, a class is not in the index, a number contradicts the
            index, or a video stands twice.
    """
    rows = [_row(path, number, line) for number, line in _lines(path)]
    first = 0 if any(row.label == 0 for row in rows) else 1
    position = {name: index for index, name in enumerate(classes, start=first)}
    class_of: dict[str, str] = {}
    for row in rows:
        _check(path, row, position)
        if row.stem in class_of:
            raise DataError(f"{path}: {row.stem} is listed twice; remove one of the lines (line {row.line})")
        class_of[row.stem] = row.class_name
    return class_of


def read_flags(path: Path) -> dict[str, int]:
    """Flags by id of one of HMDB51's lists (`file.avi 1` a line): 1 trains, 2 tests, 0 is unused in this split.

    Raises:
        DataError: a line has another form, or a video stands twice.
    """
    flags: dict[str, int] = {}
    for number, line in _lines(path):
        match = re.fullmatch(rf"([^/\\]+){_ENDING}\s+([012])", line)
        if not match:
            raise DataError(f"{path}: {line!r} is not of the form file.avi 0|1|2 (line {number})")
        _check_name(path, number, match[1])
        if match[1] in flags:
            raise DataError(f"{path}: {match[1]} is listed twice; remove one of the lines (line {number})")
        flags[match[1]] = int(match[2])
    return flags


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines that are not empty, with their numbers from 1."""
    try:
        text = _text(path, path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list ({error})") from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _text(path: Path, content: bytes) -> str:
    """Text of UTF-8, of UTF-16, or of Latin-1 where it can be nothing else that such a list is written in.

    Raises:
        DataError: bytes stand for different letters in encodings that are both common.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content:  # UTF-16 without its mark: an ASCII letter has its zero behind it, or before
        return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    for number, line in enumerate(content.splitlines(), start=1):
        if any(0x80 <= byte < 0xA0 for byte in line):
            raise DataError(
                f"{path}: cannot be read as a list (line {number} is neither UTF-8 nor Latin-1: {line!r}); save it as "
                "UTF-8"
            )
    log.warning("%s: is not UTF-8, and is read as Latin-1", path)
    return content.decode("latin-1")


def _row(path: Path, number: int, line: str) -> _Row:
    match = re.fullmatch(rf"([^/\\]+)[/\\]([^/\\]+){_ENDING}(?:\s+(\d+))?", line)
    if not match:
        raise DataError(f"{path}: {line!r} is not of the form Class/file.avi [number] (line {number})")
    class_name, stem, label = match.groups()
    _check_name(path, number, class_name)
    _check_name(path, number, stem)
    return _Row(number, class_name, stem, None if label is None else int(label))


def _check_name(path: Path, number: int, name: str) -> None:
    """Refuse a name that would lead out of its folder, hide in it, be taken for an option, or move a terminal.

    Lists come from elsewhere, and their names become those of folders and files.
    """
    if not name.isprintable() or name.startswith((".", "-")):
        raise DataError(
            f"{path}: the name {name!r} begins with a dot or a dash, or holds what does not print; rename it in the "
            f"list and on the disk (line {number})"
        )


def _check(path: Path, row: _Row, position: Mapping[str, int]) -> None:
    if row.class_name not in position:
        raise DataError(f"{path}: class {row.class_name} of {row.stem}.avi is not in the class index (line {row.line})")
    if row.label is not None and row.label != position[row.class_name]:
        raise DataError(
            f"{path}: {row.stem}.avi has number {row.label}, but the class index gives {row.class_name} the "
            f"number {position[row.class_name]} (line {row.line})"
        )
