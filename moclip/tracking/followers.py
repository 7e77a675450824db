"""Processes that show running trainings: what they leave in a directory for those that come after them.

Each follower holds `<name>.lock` for as long as it lives, whichever way it dies, and writes
`<name>.json` once its training has ended well, with all that was trained: from then on the result
may be recorded, and whoever does that waits for the follower to finish.
"""

import math
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from moclip.base.errors import StoreError
from moclip.base.files import fingerprint, read_json, write_json

Point = tuple[int, float]
Curves = Mapping[str, Sequence[Point]]


@dataclass(frozen=True)
class Row:
    """The values of one epoch, and when it was over."""

    epoch: int
    time_ms: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Ended:
    """A training that ended well: curves as (epoch, value) points by name."""

    head: str
    split: int
    curves: Curves


@dataclass(frozen=True)
class Followers:
    """All followers of one clone; `directory` is shared by its experiments."""

    directory: Path

    @property
    def clone(self) -> str:
        """Tells this clone's runs from those that others show on the same server."""
        return fingerprint(platform.node(), str(self.directory.resolve()))

    @contextmanager
    def alive(self, name: str) -> Iterator[None]:
        """Be the follower of this name."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock(name)):
            yield

    def end(self, name: str, ended: Ended) -> None:
        """Say that the training of this follower ended well; to be called while it lives."""
        value = {"head": ended.head, "split": ended.split, "curves": {k: _text(v) for k, v in ended.curves.items()}}
        write_json(self._mark(name), value)

    def ended(self) -> dict[str, Ended]:
        """By name, the trainings that ended well and whose follower was not yet forgotten."""
        found: dict[str, Ended] = {}
        for mark in self.directory.glob("[!.]*.json"):
            with suppress(StoreError):  # gone since it was listed
                value = read_json(mark)
                curves = {name: _points(rows) for name, rows in value["curves"].items()}
                found[mark.stem] = Ended(value["head"], value["split"], curves)
        return found

    def is_alive(self, name: str) -> bool:
        """Whether a process follows under this name."""
        if not self._lock(name).exists():
            return False
        try:
            with FileLock(self._lock(name), timeout=0):
                return False
        except Timeout:
            return True

    def wait(self, names: Sequence[str], timeout_s: float) -> None:
        """Wait until these are gone, all together no longer than the timeout."""
        deadline = time.monotonic() + timeout_s
        for name in names:
            if self._lock(name).exists():
                with suppress(Timeout), FileLock(self._lock(name), timeout=max(0.0, deadline - time.monotonic())):
                    pass

    def forget(self, name: str) -> None:
        """Remove the mark of an end, for a follower that is still at it a sign to give up."""
        self._mark(name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the files of those that are gone."""
        for lock in self.directory.glob("*.lock"):
            if not self.is_alive(lock.stem):
                self.forget(lock.stem)
                lock.unlink(missing_ok=True)

    def _lock(self, name: str) -> Path:
        return self.directory / f"{name}.lock"

    def _mark(self, name: str) -> Path:
        return self.directory / f"{name}.json"


def same_training(whole: Curves, seen: Curves) -> bool:
    """Whether `seen` is what was seen of the training with the curves `whole`, to its last epoch.

    A training that was resumed shows its later epochs alone.
    """
    if whole.keys() != seen.keys() or not whole:
        return False
    return all(_ends(dict(whole[name]), dict(seen[name])) for name in whole)


def _ends(whole: Mapping[int, float], seen: Mapping[int, float]) -> bool:
    if not seen or max(whole, default=None) != max(seen):
        return False
    return all(step in whole and _equal(whole[step], value) for step, value in seen.items())


def _equal(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _text(points: Sequence[Point]) -> list[list[object]]:
    return [[step, repr(value)] for step, value in points]  # JSON has no NaN


def _points(rows: Sequence[tuple[int, str]]) -> list[Point]:
    return [(step, float(value)) for step, value in rows]
