"""A running training in MLflow: its epochs as they come, and the load of the machine beside them.

A live run is a preview. The files that a training leaves are the truth: `track` writes a result's runs from them alone
and deletes the live runs, the machine's load with them. So whatever is killed, nothing is lost, and nothing doubled for
longer than until the next `track`.

The sign of life is the training's process, whose id a live run carries. While it lives its live runs stay; a live run
is made under the store's lock and only while it lives, so that none can appear once `track` has cleared up.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain

import psutil

from moclip.base.errors import StoreError
from moclip.tracking.client import connected, locked, machine_load
from moclip.tracking.record import experiment_of, log_points, metrics
from moclip.tracking.result import CLONE_TAG, EXPERIMENT_TAG, KIND_TAG, head_tags, run_name
from moclip.tracking.store import Store, first_line

PROCESS_TAG = "moclip.process"
# The start of a process as psutil computes it moves by a second or so when the clock is set.
CLOCK_TOLERANCE_S = 10.0


@dataclass(frozen=True)
class Row:
    """The values of one epoch, and when it was over."""

    epoch: int
    time_ms: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Training:
    """What is known of a training while it runs; `process` is that of `process_tag`."""

    dataset: str
    variant: str
    head: str
    split: int
    epochs: int
    process: str
    dvc_experiment: str | None = None


def process_tag(pid: int) -> str:
    """The id of a process and when it started, which no later process of the same id shares.

    Raises:
        psutil.NoSuchProcess: it is gone.
    """
    return f"{pid} {psutil.Process(pid).create_time():.0f}"


def is_alive(process: str) -> bool:
    """Whether the process of a tag still runs."""
    pid, started = process.split()
    try:
        found = psutil.Process(int(pid))
        same = abs(found.create_time() - float(started)) < CLOCK_TOLERANCE_S
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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
        if self.run is not None:
            complete = self.last_epoch == self.training.epochs - 1
            with connected(self.store) as client:
                client.set_terminated(self.run, "FINISHED" if complete else "KILLED")

    def _create(self) -> None:
        """Make the run, unless the training's process is gone and so `track` may have cleared up already."""
        training = self.training
        tags = {
            KIND_TAG: "live",
            PROCESS_TAG: training.process,
            CLONE_TAG: self.store.clone,
            EXPERIMENT_TAG: training.dvc_experiment or "",
            **head_tags(training.head, training.split),
        }
        name = run_name(training.variant, training.head, training.split)
        with locked(self.store) as client:
            if is_alive(training.process):
                experiment = experiment_of(client, training.dataset, self.store.artifacts)
                self.run = client.create_run(experiment, run_name=name, tags=tags).info.run_id
                self.load.enter_context(machine_load(self.store, self.run))


def delete_ended(store: Store, dataset: str, dvc_experiment: str | None) -> None:
    """Delete the live runs that a recorded result leaves without use.

    These are, of this clone, all runs of the same DVC experiment (or of the workspace), and those of others that did
    not finish. Runs whose training still lives stay, and finished ones of other experiments, which `track` is
    yet to record.

    Raises:
        StoreError: the store is down, refuses or is busy.
    """
    with locked(store) as client:
        experiment = experiment_of(client, dataset, store.artifacts)
        mine = f"tags.`{CLONE_TAG}` = '{store.clone}' and tags.`{KIND_TAG}` = 'live'"
        for run in client.search_runs([experiment], mine):
            recorded = run.data.tags[EXPERIMENT_TAG] == (dvc_experiment or "")
            if not is_alive(run.data.tags[PROCESS_TAG]) and (recorded or run.info.status != "FINISHED"):
                client.delete_run(run.info.run_id)
