"""Long tasks in processes of their own, several at once; a kill or an error of one ends all."""

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import TypeVar

from moclip.base import console
from moclip.base.errors import MoclipError
from moclip.base.parallel import end_with_parent, starting_workers

T = TypeVar("T")


def side_by_side(function: Callable[[T], None], tasks: Sequence[T], jobs: int) -> None:
    """Do each task in a process of its own, at most `jobs` at once; with one job, here and one after the other.

    A task that fails says why itself; the others are ended, and this process exits with its status. Ctrl-C reaches this
    process alone, which ends them.

    Args:
        function: Processes import it by name, so it must not be of the `__main__` module.
        tasks: Begun in this order; as text they name themselves.
        jobs: Processes at once.

    Raises:
        MoclipError: a task's process was ended by a signal; names both.
    """
    if jobs == 1:
        for task in tasks:
            function(task)
        return
    context = multiprocessing.get_context("spawn")  # a fork would take over threads, of PyTorch for one
    waiting, running = deque(tasks), dict[multiprocessing.context.SpawnProcess, T]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                process = context.Process(target=_run, args=(function, waiting[0]), daemon=True)
                running[process] = waiting.popleft()
                with starting_workers():
                    process.start()
            wait([process.sentinel for process in running])
            for process in [one for one in running if not one.is_alive()]:
                _check(process.exitcode or 0, running.pop(process))
    finally:
        for process in running:
            process.terminate()


def _check(status: int, task: object) -> None:
    if status < 0:
        raise MoclipError(
            f"{task}: its process was ended by {signal.Signals(-status).name} (SIGKILL is often a lack of memory); run "
            "the stage again, which goes on where this one was"
        )
    if status:
        sys.exit(status)


def _run(function: Callable[[T], None], task: T) -> None:
    end_with_parent()
    console.set_up_logging("%(name)s: %(message)s")
    sys.exit(console.run(lambda: function(task), more="MOCLIP_VERBOSE=1"))
