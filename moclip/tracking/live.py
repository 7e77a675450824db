"""One running training in MLflow: its points as they come, and the machine's load beside them."""

from moclip.tracking.store import Store, first_line, turn  # first: it sets what MLflow reads while it is imported

# isort: split

from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from moclip.base.errors import StoreError
from moclip.tracking.followers import Followers, Row
from moclip.tracking.record import (
    CLONE_TAG,
    EXPERIMENT_TAG,
    KIND_TAG,
    LIVE_TAG,
    experiment_of,
    head_tags,
    log_metrics,
    run_name,
)

RETRY_S = 10.0
# Often enough for a training of half a minute; MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL overrides it.
SAMPLE_S = 5.0


@dataclass(frozen=True)
class Training:
    """What is known of a training while it runs; `name` is that of its follower."""

    dataset: str
    variant: str
    head: str
    split: int
    name: str
    dvc_experiment: str | None = None


def follow(
    training: Training,
    arrivals: "SimpleQueue[Row | bool]",
    store: Store,
    followers: Followers,
    warn: Callable[[str], None],
) -> None:
    """Show rows as they arrive, until the bool that says whether the training ended well.

    A store that fails is tried again; rows wait meanwhile. Nothing is raised for it: what was not
    shown when the training is over, whoever records the result takes from its history.
    """
    run = _LiveRun(training, store, followers)
    ended: bool | None = None
    warned = False
    while ended is None:
        for arrival in _take(arrivals, RETRY_S if run.waiting else None):
            if isinstance(arrival, bool):
                ended = arrival
            else:
                run.waiting.append(arrival)
        try:
            run.show(ended)
        except (MlflowException, StoreError) as error:
            if not warned:
                warn(first_line(error))
            warned = True
    run.stop_monitor()


def _take(arrivals: "SimpleQueue[Row | bool]", timeout_s: float | None) -> list[Row | bool]:
    """All that has arrived, at least one thing unless the time runs out."""
    try:
        taken = [arrivals.get(timeout=timeout_s)]
    except Empty:
        return []
    while not arrivals.empty():
        taken.append(arrivals.get())
    return taken


@dataclass
class _LiveRun:
    """The run of a training; made with the first row, since an empty chart says nothing."""

    training: Training
    store: Store
    followers: Followers
    waiting: list[Row] = field(default_factory=list)
    run: str | None = None
    monitor: SystemMetricsMonitor | None = None

    def show(self, ended: bool | None) -> None:
        client = MlflowClient(tracking_uri=self.store.uri)
        if self.run is None:
            self.run = self._create(client, ended)
            if self.run is None:
                return
        points = [
            Metric(name, value, row.time_ms, row.epoch) for row in self.waiting for name, value in row.values.items()
        ]
        log_metrics(client, self.run, points)
        self.waiting.clear()
        if ended is not None:
            self.stop_monitor()
            client.set_terminated(self.run, "FINISHED" if ended else "KILLED")
        elif self.monitor is None:
            self.monitor = SystemMetricsMonitor(self.run, sampling_interval=SAMPLE_S, tracking_uri=self.store.uri)
            self.monitor.start()

    def stop_monitor(self) -> None:
        if self.monitor is not None:
            self.monitor.finish()

    def _create(self, client: MlflowClient, ended: bool | None) -> str | None:
        training = self.training
        with turn(self.store):
            # Whoever recorded the result meanwhile took the curves from the history.
            if ended and training.name not in self.followers.ended():
                return None
            tags = {
                KIND_TAG: "live",
                LIVE_TAG: training.name,
                CLONE_TAG: self.followers.clone,
                EXPERIMENT_TAG: training.dvc_experiment or "",
                **head_tags(training.head, training.split),
            }
            name = run_name(training.variant, training.head, training.split)
            experiment = experiment_of(client, training.dataset, self.store.artifacts)
            return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)
