"""Class index and train/test lists in UCF101's form, and the validation part held out of a train list."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moclip.base.errors import DataError

PARTS = ("train", "val", "test")
_GROUP = re.compile(r"^v_.+_(g\d+)_c\d+$")


@dataclass(frozen=True)
class Listed:
    """One line of a train or test list: video id (the file's stem) and class name."""

    id: str
    class_name: str


@dataclass(frozen=True)
class Member:
    """A video's place in one split: class index and part (train, val or test)."""

    id: str
    label: int
    part: str


def members_of(members: Iterable[Member], part: str) -> list[Member]:
    """The members of one part, in the split's order."""
    return [member for member in members if member.part == part]


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


def read_list(path: Path, classes: Sequence[str]) -> list[Listed]:
    """Videos of a train list (`Class/file.avi 1`) or test list (`Class/file.avi`), in file order.

    Raises:
        DataError: a line has another form, a class is not in the index, a number contradicts the
            index, or a video stands twice.
    """
    position = {name: index for index, name in enumerate(classes, start=1)}
    listed = [_listed(path, line, position) for line in _lines(path)]
    seen: set[str] = set()
    for video in listed:
        if video.id in seen:
            raise DataError(f"{path}: {video.id} is listed twice; remove one of the lines")
        seen.add(video.id)
    return listed


def group_of(video_id: str, class_name: str) -> str:
    """The recording that a UCF101 clip was cut from, unique over classes: `YoYo_g01`.

    Raises:
        DataError: the id is not of UCF101's form `v_<Class>_g<group>_c<clip>`.
    """
    match = _GROUP.match(video_id)
    if not match:
        raise DataError(f"{video_id}: not of the form v_<Class>_g<group>_c<clip>, so it has no group")
    return f"{class_name}_{match[1]}"


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


def scene_of(video_id: str) -> str:
    """The stem of an HMDB51 clip without its last number, which counts the clips of one scene.

    Raises:
        DataError: the id does not end in a number.
    """
    match = re.fullmatch(r"(.+)_\d+", video_id)
    if not match:
        raise DataError(f"{video_id}: not of the form <scene>_<number>, so it has no group")
    return match[1]


def hold_out(train: Mapping[str, tuple[int, str]], groups_per_class: int, seed: Sequence[int]) -> set[str]:
    """Ids of the train list to validate on: whole groups, drawn per class, never all of a class.

    Args:
        train: Class index and group of every video of the train list, by id.
        groups_per_class: Groups to hold out; a class with fewer to spare gives what it can spare.
        seed: Entropy of the draw.
    """
    by_class: dict[int, set[str]] = {}
    for label, group in train.values():
        by_class.setdefault(label, set()).add(group)
    held: set[str] = set()
    for label, groups in sorted(by_class.items()):
        draw = np.random.default_rng([*seed, label]).permutation(sorted(groups)).tolist()
        for group in draw:
            # A group may span classes: what another class gave counts here, and none may lose its last.
            spared = all(of_class - held - {group} for of_class in by_class.values() if group in of_class)
            if len(groups & held) < groups_per_class and spared:
                held.add(group)
    return {video for video, (_, group) in train.items() if group in held}


def check_disjoint(name: str, members: Iterable[Member], groups: Mapping[str, str]) -> None:
    """Refuse a split in which a group stands in two parts: its clips show the same recording.

    Raises:
        DataError: names the split, the group and the two parts.
    """
    part_of: dict[str, str] = {}
    for member in members:
        group = groups[member.id]
        other = part_of.setdefault(group, member.part)
        if other != member.part:
            raise DataError(f"{name}: group {group} stands in both {other} and {member.part}")


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _listed(path: Path, line: str, position: Mapping[str, int]) -> Listed:
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
    return Listed(stem, class_name)
