"""Not a stage: one of the processes that share a training, as torchrun starts them (docs/cluster.md).

    torchrun ... -m stages.commands.rank

The stage says to those that it starts what is trained, and these to those on other machines. What the stage was asked
for is read where it runs: all machines see the same files at the same paths.
"""

import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from moclip.base.errors import MoclipError
from moclip.training.checkpoint import Checkpoint
from moclip.training.ranks import joined
from stages._entry import arguments, command, repository
from stages._motion_split import Task, train_as


@dataclass(frozen=True)
class Order:
    """What is trained, and where the stage runs: its directory, and the main repository."""

    task: Task
    directory: Path
    home: Path


def main() -> None:
    order = _given() if len(sys.argv) > 1 else None
    with joined() as ranks:
        task = _taken(next(one for one in ranks.asked(order) if one))
        _check(ranks.asked((socket.gethostname(), task.work().name)))
        train_as(task, Checkpoint.of(task.work()), ranks)


def _given() -> Order:
    args = arguments("classes", "split", "motion", words=("head",), numbers=("number", "repeat", "stage"))
    threading.Thread(target=_end_with, args=(args.stage,), daemon=True).start()
    task = Task(args.head, args.number, args.classes, args.split, args.motion, args.repeat)
    return Order(task, Path.cwd(), repository())


def _end_with(pid: int) -> None:
    """End this process with the stage: torchrun would outlive one that is killed."""
    try:
        psutil.Process(pid).wait()
    finally:
        os._exit(1)


def _taken(order: Order) -> Task:
    os.chdir(order.directory)
    os.environ["MOCLIP_HOME"] = str(order.home)
    return order.task


def _check(found: Sequence[tuple[str, str]]) -> None:
    """Refuse ranks that would train something else: with other code, parameters, data or another model of GPU.

    Raises:
        MoclipError: names their hosts.
    """
    wanted = found[0][1]
    if others := sorted({host for host, name in found if name != wanted}):
        raise MoclipError(
            f"{', '.join(others)}: other code, parameters, motion or model of GPU than on {found[0][0]}; give them the "
            "same clone at the same path, or leave them out"
        )


if __name__ == "__main__":
    if os.environ["RANK"] != "0":
        os.environ["MOCLIP_QUIET"] = "1"  # one speaks for all; errors are said by each
    command(main)
