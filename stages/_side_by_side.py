"""Long tasks in processes of their own, several at once; a kill or an error of one ends all."""

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import TypeVar

from moclip.base import console

T = TypeVar("T")


def side_by_side(function: Callable[[T], None], tasks: Sequence[T], jobs: int) -> None:
    """Do each task in a process of its own, at most `jobs` at once; with one job, here and one after the other.

    A task that fails says why itself; the others are ended, and this process exits with its status.

    Args:
        function: Processes import it by name, so it must not be of the `__main__` module.
        tasks: Begun in this order.
        jobs: Processes at once.
    """
    if jobs == 1:
        for task in tasks:
            function(task)
        return
    context = multiprocessing.get_context("spawn")  # a fork would take over threads, of PyTorch for one
    waiting, running = deque(tasks), list[multiprocessing.context.SpawnProcess]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(context.Process(target=_run, args=(function, waiting.popleft()), daemon=True))
                running[-1].start()
            wait([process.sentinel for process in running])
            for process in [one for one in running if not one.is_alive()]:
                running.remove(process)
                if process.exitcode:
                    sys.exit(process.exitcode if process.exitcode > 0 else console.BUG)
    finally:
        for process in running:
            process.terminate()


def _run(function: Callable[[T], None], task: T) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    console.set_up_logging("%(name)s: %(message)s")
    sys.exit(console.run(lambda: function(task), more="MOCLIP_VERBOSE=1"))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
