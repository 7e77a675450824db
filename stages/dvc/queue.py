"""DVC's experiment queue, as far as a suite needs it: what is done, what is under way, what was lost.

A worker that was killed leaves its task as "Running" for ever, and DVC removes such a task by no command:
so a running task counts only while a worker is active, and a lost one is queued anew under its name.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moclip.base.errors import StoreError
from stages.dvc.program import run


@dataclass(frozen=True)
class Status:
    """States of the queue's tasks by experiment name, and how many workers hold a task."""

    states: Mapping[str, list[str]]
    active: int

    def is_pending(self, name: str) -> bool:
        """Whether a task of this name waits or runs."""
        states = self.states.get(name, [])
        return "Queued" in states or ("Running" in states and self.active > 0)

    def failures(self, name: str) -> int:
        """How many tasks of this name have failed."""
        return self.states.get(name, []).count("Failed")


def status() -> Status:
    """The queue as `dvc queue status` shows it."""
    states: dict[str, list[str]] = {}
    active = 0
    for line in _run("dvc", "queue", "status").splitlines():
        words = line.split()
        if line.startswith("Worker status:"):
            active = int(words[2])
        elif words and words[-1] in ("Queued", "Running", "Success", "Failed"):
            states.setdefault(words[1], []).append(words[-1])
    return Status(states, active)


def enqueue(name: str, changes: Mapping[str, Any], target: str) -> None:
    """Queue one experiment: parameters by dotted name, and the stage up to which it runs.

    Raises:
        StoreError: DVC refuses it; its words are passed on.
    """
    overrides = [word for item in changes.items() for word in ("-S", override(*item))]
    _run("dvc", "exp", "run", "--quiet", "--queue", "--name", name, *overrides, target)


def override(name: str, value: Any) -> str:
    """An assignment in Hydra's grammar, as `dvc exp run -S` takes it: JSON is valid there.

    >>> override("fusion.hidden", 64), override("heads", ["fusion"]), override("clip.frame", "uniform:4")
    ('fusion.hidden=64', 'heads=["fusion"]', 'clip.frame="uniform:4"')
    """
    return f"{name}={json.dumps(value)}"


def start(workers: int) -> None:
    """Start workers, up to this many in all; they end by themselves when the queue is empty."""
    words = ["dvc", "queue", "start", "--quiet", "--jobs", str(workers)]
    # Not by pipes: the workers inherit them, and whoever reads would wait for the last worker's end.
    if run(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        raise StoreError(f"`{' '.join(words)}` failed; run it by hand to see why")


def last_words(name: str, lines: int = 6) -> str:
    """The end of a task's log."""
    try:
        text = _run("dvc", "queue", "logs", name)
    except StoreError as error:
        return str(error)
    return "\n".join(text.strip().splitlines()[-lines:])


def _run(*words: str) -> str:
    done = run(*words, capture_output=True, text=True)
    if done.returncode:
        raise StoreError(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()[-1500:]}")
    return str(done.stdout)
