"""Stage `train_motion` as tests run it: a state after each epoch, and what they ask for by the environment.

CORES      processors that the stage counts
MEETS      each split waits, at its state, for the other one's: on a busy machine one may end before another begins
FAILS      the split of this number fails
"""

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stages import _motion_split, train_motion
from stages._entry import run
from stages._motion_split import Task

STATES = ".work/*/state.pt"

_train = _motion_split.train


def train(task: Task) -> None:
    """The stage's own work; small epochs would share one state in half a minute."""
    from moclip.base.errors import DataError
    from moclip.training import checkpoint

    checkpoint.SAVE_EVERY_S = 0.0
    if "MEETS" in os.environ:
        from tests.support.tracking import until

        save = checkpoint.Checkpoint.save_if_due

        def save_and_wait(state: checkpoint.Checkpoint, capture: Callable[[], dict[str, Any]]) -> None:
            save(state, capture)
            until(lambda: len(list(Path(os.environ["DVC_ROOT"]).glob(STATES))) == 2, "the other split's state")

        checkpoint.Checkpoint.save_if_due = save_and_wait  # type: ignore[method-assign]
    if os.environ.get("FAILS") == str(task.number):
        raise DataError(f"{task} was made to fail")
    _train(task)


if __name__ == "__main__":
    # Processes of the splits import `train` by the name of its module.
    named = importlib.import_module("tests.support.motion_stage")
    vars(train_motion).update(cores=lambda: int(os.environ["CORES"]), train=named.train)
    run(train_motion.main)
