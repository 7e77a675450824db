"""Long work on many items: every failure is listed, and what is finished is kept for the next call."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from filelock import FileLock, SoftFileLock, Timeout

from moclip.base.errors import MoclipError, explain
from moclip.base.files import remove_left_overs
from moclip.base.parallel import spread
from moclip.base.progress import Progress

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Work:
    """What is shown of work on many items, and what is said of items that fail.

    Attributes:
        name: Heads the progress.
        unit: What the progress counts, in the singular.
        size: How many of these an item is.
        counts: If results are numbers, what they count; the progress then shows how many there are a second.
        refuse: Makes one error of the messages of all items that raised a `MoclipError`. Without it the first of these
            ends the work, as any other error does.
        crashed: The message for an item that ended its process.
    """

    name: str
    unit: str
    size: Callable[[Any], int] = lambda item: 1
    counts: str = ""
    refuse: Callable[[list[str]], MoclipError] | None = None
    crashed: Callable[[Any], str] = "{}: the process that worked on it crashed".format


class Finished(NamedTuple):
    """The items' files in the order of the items, and how many of them were made now."""

    files: list[Path]
    made: int


class _Failure(str):
    """Why an item failed; an outcome, so that the others go on."""


def gather(items: Sequence[T], do: Callable[[T], R], work: Work, *, jobs: int | None = 1) -> list[R]:
    """Results of `do` in the order of the items.

    Args:
        items: What there is to do.
        do: Gives an item's result. For several processes it is a function of a module, or a `partial` of one.
        work: What is shown, and how failures end.
        jobs: Processes: None for one a core; 1 works in this process, which a crash ends.
    """
    tasks = list(enumerate(items))
    found: dict[int, Any] = {}
    failures: dict[int, str] = {}
    counted, total = 0, sum(map(work.size, items))
    attempt = partial(_attempt, do, work.refuse is not None)
    outcomes = spread(attempt, tasks, jobs, lambda task: _Failure(work.crashed(task[1])))
    with closing(outcomes), Progress(total=total, desc=work.name, unit=work.unit, disable=not tasks) as bar:
        for (index, item), outcome in outcomes:
            if isinstance(outcome, _Failure):
                failures[index] = outcome
            else:
                found[index] = outcome
            if work.counts:
                counted += found.get(index, 0)
                bar.set_postfix_str(f"{counted / bar.seconds:.0f} {work.counts}/s, {len(failures)} bad", False)
            bar.update(work.size(item))
    if failures:
        messages = [failures[index] for index in sorted(failures)]
        raise work.refuse(messages) if work.refuse else MoclipError(messages[0])
    return [found[index] for index, _ in tasks]


def _attempt(do: Callable[[T], R], go_on: bool, task: tuple[int, T]) -> R | _Failure:
    try:
        return do(task[1])
    except (MoclipError, OSError) as error:
        told = explain(error) if isinstance(error, OSError) else str(error)
        if not go_on or told is None:
            raise
        return _Failure(told)


def finish(
    items: Sequence[T],
    key: Callable[[T], str],
    do: Callable[[T, Path], int | None],
    shelf: Path,
    work: Work,
    *,
    jobs: int | None = 1,
    is_finished: Callable[[T, Path], bool] = lambda item, file: file.exists(),
) -> Finished:
    """Make the file of each item that has none yet; what was made stays, whatever happens to the others.

    Args:
        items: What there is to do.
        key: Name of an item's file.
        do: Makes an item's file, whole or not at all (`moclip.base.files.atomic_path`); returns what `work` counts.
        shelf: Directory of the files, which this process has to itself: what `alone_in` gives.
        work, jobs: As for `gather`.
        is_finished: Whether an item's file can be used as it is.
    """
    files = [shelf / key(item) for item in items]
    waiting = [item for item, file in zip(items, files, strict=True) if not is_finished(item, file)]
    total = sum(map(work.size, items))
    log.info("%d of %d %ss were finished before", total - sum(map(work.size, waiting)), total, work.unit)
    gather(waiting, partial(_make, key, do, shelf), work, jobs=jobs)
    return Finished(files, len(waiting))


def _make(key: Callable[[T], str], do: Callable[[T, Path], R], shelf: Path, item: T) -> R:
    return do(item, shelf / key(item))


@contextmanager
def alone_in(directory: Path, doing: str, *, between_hosts: bool = False) -> Iterator[Path]:
    """Make a directory, hold its lock, and remove what killed processes were writing there.

    While another process holds the lock, this one waits, and logs that the other is `doing` ("trains the same").

    Args:
        directory: To work in.
        doing: What one does there.
        between_hosts: Lock by a file's being there, which holds on shared disks; the system's own locks, which end with
            their process, may not reach from host to host.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = SoftFileLock(directory / "lock.hosts") if between_hosts else FileLock(directory / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("another process %s in %s; waiting for it", doing, directory)
        if between_hosts:
            log.info("where it was killed on another host, remove %s", lock.lock_file)
        lock.acquire()
    try:
        remove_left_overs(directory)
        yield directory
    finally:
        lock.release()
