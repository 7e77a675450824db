"""Work on many tasks in several processes, of which one may crash: the task that did it is found, the others go on."""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_QUEUED_PER_JOB = 4  # enough that no process waits for the next task


_keeps = False
_kept: dict[int, ProcessPoolExecutor] = {}
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Processors that this process may use: those that it is bound to, or the share of them that its container gets."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(_QUOTA)
    return bound if quota is None else max(1, min(bound, quota))


def _quota(file: Path) -> int | None:
    """Whole processors that a control group grants ("quota period" in microseconds); None without a bound."""
    try:
        quota, period = file.read_text(encoding="ascii").split()
        return int(quota) // int(period)
    except (OSError, ValueError):  # no control group, or "max"
        return None


def spread(
    function: Callable[[T], R], tasks: Sequence[T], jobs: int | None, crashed: Callable[[T], R]
) -> Generator[tuple[T, R], None, None]:
    """Yield each task with its outcome, as outcomes come.

    An error that `function` raises is raised here. When the caller stops, tasks that have begun are finished, no other.

    Args:
        function: Gives a task's outcome. Processes import it by name, so it must not be of the `__main__` module.
        tasks: Begun in this order.
        jobs: Processes: None for one a core; 1 works in this process, which a crash ends.
        crashed: Gives the outcome of a task that ended its process.
    """
    jobs = jobs or cores()
    if jobs == 1:
        yield from ((task, function(task)) for task in tasks)
        return
    waiting = deque(tasks)
    flying: dict[Future[R], T] = {}
    pool = _kept.pop(jobs, None) or _pool(jobs)
    try:
        while waiting or flying:
            while waiting and len(flying) < _QUEUED_PER_JOB * jobs and (future := _submit(pool, function, waiting[0])):
                flying[future] = waiting.popleft()
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            if not flying or any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                suspects = list(flying.values())
                flying.clear()
                pool = _pool(jobs)
                yield from ((task, _in_own_process(function, task, crashed)) for task in suspects)
            for future in done & flying.keys():
                yield flying.pop(future), future.result()
    finally:
        if _keeps and not flying:
            _kept[jobs] = pool
        else:
            pool.shutdown(cancel_futures=True)


def keep_pools() -> None:
    """Keep the processes of each `spread` for the next one, until this process ends: for one that does nothing else."""
    global _keeps  # noqa: PLW0603 - a property of the process
    _keeps = True


def _submit(pool: ProcessPoolExecutor, function: Callable[[T], R], task: T) -> Future[R] | None:
    """Hand on a task; None by a pool that has lost a process."""
    try:
        with starting_workers():
            return pool.submit(function, task)
    except BrokenProcessPool:
        return None


def _in_own_process(function: Callable[[T], R], task: T, crashed: Callable[[T], R]) -> R:
    with _pool(1) as pool:
        try:
            future = _submit(pool, function, task)
            return future.result() if future else crashed(task)
        except BrokenProcessPool:
            return crashed(task)


def _pool(jobs: int) -> ProcessPoolExecutor:
    # Not forked: the calling process may run threads, of PyTorch for one.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=end_with_parent)


@contextmanager
def starting_workers() -> Iterator[None]:
    """Processes that start here never see Ctrl-C, not even while they import: the parent sees it, and ends them.

    They do not import the parent's `__main__` module either: it may import much, or do everything once more.
    """
    resource_tracker.ensure_running()  # started later, it would let Ctrl-C through again
    main = sys.modules["__main__"]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process with its parent: a worker whose parent was killed would wait for work for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
