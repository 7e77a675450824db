"""Class index and train/test lists, in the forms of UCF101 and of HMDB51."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from moclip.base.errors import DataError


def read_class_index(path: Path) -> list[str]:
    """Class names in the order of a class index (`1 Name` a line); the numbers must run from 1.

    Raises:
        DataError: a line has another form, a number is out of order, or a name stands twice.
    """
    names: list[str] = []
    for number, line in enumerate(_lines(path), start=1):
        match = re.fullmatch(r"(\d+)\s+(\S+)", line)
        if not match or int(match[1]) != number:
            raise DataError(f"{path}: line {number} must read '{number} ClassName', is {line!r}")
        names.append(match[2])
    if len(set(names)) != len(names) or not names:
        raise DataError(f"{path}: must name at least one class, each once")
    return names


def read_list(path: Path, classes: Sequence[str]) -> dict[str, str]:
    """Class by video id (the file's stem) of a train list (`Class/file.avi 1`) or test list (`Class/file.avi`).

    Raises:
        DataError: a line has another form, a class is not in the index, a number contradicts the
            index, or a video stands twice.
    """
    position = {name: index for index, name in enumerate(classes, start=1)}
    class_of: dict[str, str] = {}
    for line in _lines(path):
        class_name, stem = _listed(path, line, position)
        if stem in class_of:
            raise DataError(f"{path}: {stem} is listed twice; remove one of the lines")
        class_of[stem] = class_name
    return class_of


def read_flags(path: Path) -> dict[str, int]:
    """Flags by id of one of HMDB51's lists (`file.avi 1` a line): 1 trains, 2 tests, 0 is unused in this split.

    Raises:
        DataError: a line has another form, or a video stands twice.
    """
    flags: dict[str, int] = {}
    for line in _lines(path):
        match = re.fullmatch(r"([^/\s]+)\.avi\s+([012])", line)
        if not match:
            raise DataError(f"{path}: {line!r} is not of the form file.avi 0|1|2")
        if match[1] in flags:
            raise DataError(f"{path}: {match[1]} is listed twice; remove one of the lines")
        flags[match[1]] = int(match[2])
    return flags


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _listed(path: Path, line: str, position: Mapping[str, int]) -> tuple[str, str]:
    match = re.fullmatch(r"([^/\s]+)/([^/\s]+)\.avi(?:\s+(\d+))?", line)
    if not match:
        raise DataError(f"{path}: {line!r} is not of the form Class/file.avi [number]")
    class_name, stem, number = match.groups()
    if class_name not in position:
        raise DataError(f"{path}: class {class_name} of {stem}.avi is not in the class index")
    if number is not None and int(number) != position[class_name]:
        raise DataError(
            f"{path}: {stem}.avi has number {number}, but the class index gives {class_name} the "
            f"number {position[class_name]}"
        )
    return class_name, stem
