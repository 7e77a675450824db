"""Long work on many items: every failure is listed, and what is finished is kept for the next call."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from filelock import FileLock, Timeout

from moclip.base.errors import MoclipError
from moclip.base.files import remove_left_overs
from moclip.base.parallel import spread
from moclip.base.progress import Progress

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_CRASHED = "{}: the process that worked on it crashed".format


class Finished(NamedTuple):
    """The items' files in the order of the items, and how many of them were made now."""

    files: list[Path]
    made: int


class _Failure(str):
    """Why an item failed; an outcome, so that the others go on."""


def gather(
    items: Sequence[T],
    do: Callable[[T], R],
    *,
    desc: str,
    unit: str,
    size: Callable[[T], int] = lambda item: 1,
    counts: str = "",
    refuse: Callable[[list[str]], MoclipError] | None = None,
    crashed: Callable[[T], str] = _CRASHED,
    jobs: int | None = 1,
) -> list[R]:
    """Results of `do` in the order of the items, with a progress bar.

    Args:
        items: What there is to do.
        do: Gives an item's result. For several processes it is a function of a module, or a `partial` of one.
        desc: Name of the work in its progress.
        unit: What the progress counts, in the singular.
        size: How many of these an item is.
        counts: If results are numbers, what they count: the progress then shows how many there are a second.
        refuse: Makes one error of the messages of all items for which `do` raised a `MoclipError`. Without it the
            first of these ends the work, as any other error does.
        crashed: The message for an item that ended its process.
        jobs: Processes: None for one a core; 1 works in this process, which a crash ends.
    """
    tasks = list(enumerate(items))
    found: dict[int, Any] = {}
    failures: dict[int, Any] = {}
    counted = 0
    outcomes = spread(partial(_attempt, do, refuse is not None), tasks, jobs, lambda task: _Failure(crashed(task[1])))
    with closing(outcomes), Progress(total=sum(map(size, items)), desc=desc, unit=unit, disable=not tasks) as bar:
        for (index, item), outcome in outcomes:
            (failures if isinstance(outcome, _Failure) else found)[index] = outcome
            if counts:
                counted += found.get(index, 0)
                bar.set_postfix_str(f"{counted / bar.seconds:.0f} {counts}/s, {len(failures)} bad", False)
            bar.update(size(item))
    if failures:
        raise (refuse or _refuse)([failures[index] for index in sorted(failures)])
    return [found[index] for index in range(len(tasks))]


def _attempt(do: Callable[[T], R], go_on: bool, task: tuple[int, T]) -> R | _Failure:
    try:
        return do(task[1])
    except MoclipError as error:
        if not go_on:
            raise
        return _Failure(error)


def _refuse(messages: list[str]) -> MoclipError:
    return MoclipError("\n".join(messages))


def finish(
    items: Sequence[T],
    key: Callable[[T], str],
    do: Callable[[T, Path], int | None],
    shelf: Path,
    *,
    desc: str,
    unit: str,
    is_finished: Callable[[T, Path], bool] = lambda item, file: file.exists(),
    size: Callable[[T], int] = lambda item: 1,
    counts: str = "",
    refuse: Callable[[list[str]], MoclipError] | None = None,
    crashed: Callable[[T], str] = _CRASHED,
    jobs: int | None = 1,
) -> Finished:
    """Make the file of each item that has none yet; what was made stays, whatever happens to the others.

    Args:
        items: What there is to do.
        key: Name of an item's file in `shelf`.
        do: Makes an item's file, whole or not at all (`atomic_path` of `moclip.base.files`). It may return a number.
        shelf: A directory that this process has to itself: what `alone_in` gives.
        desc, unit, size, counts, refuse, crashed, jobs: As for `gather`.
        is_finished: Whether an item's file can be used as it is.
    """
    files = [shelf / key(item) for item in items]
    waiting = [item for item, file in zip(items, files, strict=True) if not is_finished(item, file)]
    total = sum(map(size, items))
    log.info("%d of %d %ss were finished before", total - sum(map(size, waiting)), total, unit)
    make = partial(_make, key, do, shelf)
    gather(waiting, make, desc=desc, unit=unit, size=size, counts=counts, refuse=refuse, crashed=crashed, jobs=jobs)
    return Finished(files, len(waiting))


def _make(key: Callable[[T], str], do: Callable[[T, Path], R], shelf: Path, item: T) -> R:
    return do(item, shelf / key(item))


@contextmanager
def alone_in(directory: Path, doing: str) -> Iterator[Path]:
    """Make a directory, hold its lock, and remove what killed processes were writing there.

    Args:
        directory: Where one process at a time may work; others wait.
        doing: What each of them does, such as "trains the same"; named in the message of one that waits.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("another process %s in %s; waiting for it", doing, directory)
        lock.acquire()
    try:
        remove_left_overs(directory)
        yield directory
    finally:
        lock.release()
