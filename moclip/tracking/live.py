"""A running training in MLflow: its epochs as they come, and the load of the machine beside them.

A live run is a preview. `track` writes a result's runs from history files alone and deletes the live ones, with the
load of the machine. So whatever is killed, no curve is lost, and none is there twice after the next `track`.

A live run names the command that started the training. `track` deletes the live runs of its own command, whose
trainings have ended, and those of commands that live no more. A live run is made under the store's lock and only while
the training's process lives, so none appears after `track` has deleted them.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain

from moclip.base.errors import StoreError
from moclip.tracking import tags
from moclip.tracking.client import connected, locked, machine_load
from moclip.tracking.failures import pages
from moclip.tracking.record import experiment_of, log_points, metrics
from moclip.tracking.store import Store, first_line
from moclip.tracking.view.names import base_of, name_against


@dataclass(frozen=True)
class Row:
    """The values of one epoch, and when it was over."""

    epoch: int
    time_ms: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Training:
    """What is known of a training while it runs: `pid` is its process, `command` the tag of the one that started it."""

    dataset: str
    variant: str
    head: str
    split: int
    epochs: int
    pid: int
    command: str
    dvc_experiment: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    baseline: Mapping[str, str] = field(default_factory=dict)


def follow(training: Training, arrivals: Iterable[Sequence[Row]], store: Store, warn: Callable[[str], None]) -> None:
    """Show a training's epochs as they arrive; the run is FINISHED if the last one did, otherwise KILLED.

    A store that fails gets a warning, and is tried again with the next epoch and once more after the last.
    """
    run = _LiveRun(training, store)
    with run.load:
        for rows in arrivals:
            run.waiting += rows
            run.last_epoch = rows[-1].epoch
            _try(run.show, warn)
        _try(run.end, warn)


def _try(act: Callable[[], None], warn: Callable[[str], None]) -> None:
    try:
        act()
    except StoreError as error:
        warn(first_line(error))


@dataclass
class _LiveRun:
    """The run of a training; made with the first row, since an empty chart says nothing."""

    training: Training
    store: Store
    waiting: list[Row] = field(default_factory=list)
    last_epoch: int = -1
    run: str | None = None
    load: ExitStack = field(default_factory=ExitStack)

    def show(self) -> None:
        """Log the rows that wait."""
        if self.run is None:
            self._create()
        if self.run is not None:
            with connected(self.store) as client:
                points = [metrics(row.values, row.epoch, row.time_ms) for row in self.waiting]
                log_points(client, self.run, chain.from_iterable(points))
            self.waiting.clear()

    def end(self) -> None:
        """Log what still waits and close the run."""
        self.show()
        self.load.close()
        if self.run is not None:
            complete = self.last_epoch == self.training.epochs - 1
            with connected(self.store) as client:
                client.set_terminated(self.run, "FINISHED" if complete else "KILLED")

    def _create(self) -> None:
        """Make the run, unless the training's process is gone and so `track` may have cleared up already."""
        training = self.training
        own = {
            tags.KIND: "live",
            tags.COMMAND: training.command,
            tags.CLONE: self.store.clone,
            tags.EXPERIMENT: training.dvc_experiment or "",
            **tags.of_head(training.head, training.split),
        }
        with locked(self.store) as client:
            if os.getppid() == training.pid:  # a process that has lost its parent gets another one
                experiment = str(experiment_of(client, training.dataset, self.store).experiment_id)
                parents = pages(client.search_runs, [experiment], f"tags.`{tags.KIND}` = 'result'")
                variant = name_against(base_of(parents), training.params, training.baseline, training.variant)
                name = tags.run_name(variant, training.head, training.split)
                self.run = client.create_run(experiment, run_name=name, tags=own).info.run_id
                self.load.enter_context(machine_load(self.store, self.run))
