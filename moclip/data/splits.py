"""The splits of a data set: which videos train, which validate, which test; groups never part. NumPy alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from moclip.base.errors import DataError, StoreError
from moclip.base.tables import read_rows, write_rows
from moclip.data.manifest import read_classes

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Member:
    """A video's place in one split: class index, part (train, val or test), and the recording that it was cut from."""

    id: str
    label: int
    part: str
    group: str


@dataclass(frozen=True)
class Split:
    """Videos of one split, or of one part of it, with the names of all classes in index order."""

    members: Sequence[Member]
    classes: Sequence[str]

    def part(self, name: str) -> "Split":
        """The videos of one part alone, in the split's order."""
        return Split([member for member in self.members if member.part == name], self.classes)

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the n videos."""
        return [member.id for member in self.members]

    @cached_property
    def labels(self) -> np.ndarray:
        """Class indexes, int64 (n,)."""
        return np.array([member.label for member in self.members], dtype=np.int64)

    @cached_property
    def groups(self) -> list[str]:
        """Groups of the n videos."""
        return [member.group for member in self.members]


def write_split(path: Path, members: Iterable[Member]) -> None:
    """Write one split as CSV (id, label, part, group), sorted by id."""
    write_rows(path, Member, sorted(members, key=lambda member: member.id))


def read_split(path: Path, classes: Path) -> Split:
    """Read one split, sorted by id, and the names of the classes.

    Raises:
        StoreError: as `read_members` and `moclip.data.manifest.read_classes`.
    """
    return Split(read_members(path), read_classes(classes))


def read_members(path: Path) -> list[Member]:
    """Members of one split, sorted by id.

    Raises:
        StoreError: as `moclip.base.tables.read_rows`, or a part is none of train, val, test.
    """
    members = read_rows(path, Member, exactly=True, may_be_empty=True)
    if unknown := sorted({member.part for member in members} - set(PARTS)):
        raise StoreError(f"{path}: part {unknown[0]!r} is none of {PARTS}")
    return members


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


def check_disjoint(name: str, members: Iterable[Member]) -> None:
    """Refuse a split in which a group stands in two parts: its clips show the same recording.

    Raises:
        DataError: names the split, the group and the two parts.
    """
    part_of: dict[str, str] = {}
    for member in members:
        other = part_of.setdefault(member.group, member.part)
        if other != member.part:
            raise DataError(f"{name}: group {member.group} stands in both {other} and {member.part}")
