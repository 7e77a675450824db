"""Live curves: real trainers and followers in processes of their own, real SQLite, real `mlflow server`."""

import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

import psutil
import pytest

from moclip.tracking import record as track
from moclip.tracking.followers import Ended, Followers, Row
from moclip.tracking.record import Child, Result, record
from moclip.tracking.store import Store, store_at
from moclip.training.history import COLUMNS, read_history
from stages.commands import follow
from tests.support.imports import ROOT
from tests.support.tracking import free_port, mlflow_server, postgresql, until

# MLflow 3.17 uses an option that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

EPOCHS = 4
# One epoch for each line that the test writes.
TRAINER = """
import math, sys
from pathlib import Path
from moclip.training.history import Epoch, write_history
from stages._entry import run
from stages._live import Live

def main():
    epochs, history = int(sys.argv[1]), []
    live = Live("fusion", 1, epochs, Path("data/manifest.csv"))
    for number in range(epochs):
        sys.stdin.readline()
        history.append(Epoch(number, 0.1 / 3, 2 / (number + 3), math.nan, 100 * number / 7))
        live(history[-1])
        print(number, flush=True)
    write_history(Path(sys.argv[2]), history)

run(main)
"""


@dataclass
class Place:
    """A repository's directory, where its runs go, and the data set that they are of."""

    root: Path
    store: Store
    dataset: str = "demo"

    @property
    def followers(self) -> Followers:
        return Followers(self.root / ".work" / "live")

    def runs(self, kind: str) -> list[track.Run]:
        client = track.MlflowClient(tracking_uri=self.store.uri)
        experiments = [e.experiment_id for e in client.search_experiments() if e.name == f"moclip-{self.dataset}"]
        return list(client.search_runs(experiments, f"tags.`{track.KIND_TAG}` = '{kind}'")) if experiments else []

    def points(self, run: track.Run, name: str = "train_loss") -> list[tuple[int, float]]:
        history = track.MlflowClient(tracking_uri=self.store.uri).get_metric_history(run.info.run_id, name)
        return sorted((metric.step, metric.value) for metric in history)

    def shown(self) -> list[int]:
        """Epochs of the one live run."""
        return [step for run in self.runs("live") for step, _ in self.points(run)]

    def gone(self) -> bool:
        return not any(self.followers.is_alive(lock.stem) for lock in self.followers.directory.glob("*.lock"))

    def record(self, key: str = "k0") -> list[track.Run]:
        """Record the result of the finished training; its children."""
        curves = read_curves(self.root / "history.csv")
        child = Child("fusion", 1, {"top1_pct": 50.0}, curves, {"data/manifest.csv": "0" * 32})
        zero = Child("zero_shot", 1, {"top1_pct": 40.0})
        params = {"fusion.hidden": "64"}
        result = Result(self.dataset, key, "base", params, {"moclip.git_dirty": "false"}, {"m": 1.0}, [zero, child])
        record(result, self.store, self.followers)
        return [run for run in self.runs("head") if run.data.tags[track.HEAD_TAG] == "fusion"]


def read_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    history = read_history(path)
    return {name: [(epoch.epoch, getattr(epoch, name)) for epoch in history] for name in COLUMNS[1:]}


def place(root: Path, uri: str | None = None) -> Place:
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "data" / "dataset.json").write_text(json.dumps({"name": "demo"}))
    (root / "params.yaml").write_text("heads: [zero_shot, fusion]\nfusion: {hidden: 64}\n")
    return Place(root, store_at(root, uri))


class Trainer:
    """A training that runs one epoch when it is told to."""

    def __init__(
        self,
        place: Place,
        epochs: int = EPOCHS,
        after_s: float = 0,
        history: str = "history.csv",
        experiment: str = "",
        sample_s: float = 0.1,
    ) -> None:
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DVC_ROOT": str(place.root),
            "MLFLOW_TRACKING_URI": place.store.uri,
            "DVC_EXP_NAME": experiment,
            "MOCLIP_LIVE_AFTER_S": str(after_s),
            "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": str(sample_s),
        }
        self.log = place.root / f"{history}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", TRAINER, str(epochs), history],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=place.root,
                env=env,
                text=True,
            )

    def epochs(self, count: int) -> None:
        for _ in range(count):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline(), self.log.read_text()

    def follower(self) -> psutil.Process:
        def found() -> list[psutil.Process]:
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "stages.commands.follow" in child.cmdline()]

        until(found, "the follower to start")
        return found()[0]

    def end(self) -> str:
        """Wait for a good end; what the training logged."""
        self.process.communicate()
        assert self.process.returncode == 0, self.log.read_text()
        return self.log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def here(migrated: Path, tmp_path: Path) -> Place:
    made = place(tmp_path / "a repository")
    shutil.copy(migrated, made.root / "mlflow.db")
    return made


@pytest.fixture(scope="module")
def sqlite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("server")
    with mlflow_server(f"sqlite:///{directory / 'mlflow.db'}", directory) as url:
        yield url


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgresql() as address:
        yield address


@pytest.fixture(scope="module")
def postgresql_server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(database, tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.mark.parametrize("server", [None, "sqlite_server", "postgresql_server"])
def test_points_are_there_while_training_runs_and_once_after_it(
    tmp_path: Path, request: pytest.FixtureRequest, server: str | None
) -> None:
    here = place(tmp_path, request.getfixturevalue(server)) if server else request.getfixturevalue("here")
    trainer = Trainer(here)
    trainer.epochs(2)
    until(lambda: here.shown() == [0, 1], "two epochs")
    trainer.epochs(1)
    until(lambda: here.shown() == [0, 1, 2], "a third epoch")
    (live,) = here.runs("live")
    assert (live.info.status, live.info.run_name) == ("RUNNING", "base / fusion / split 1")
    until(lambda: "system/cpu_utilization_percentage" in here.runs("live")[0].data.metrics, "system metrics")
    trainer.epochs(1)
    log = trainer.end()
    assert "no live curves" not in log
    (child,) = here.record()
    assert here.runs("live") == []
    assert child.info.run_id == live.info.run_id
    assert child.info.status == "FINISHED"
    assert child.info.end_time < here.runs("result")[0].info.end_time
    assert child.data.params == {"fusion.hidden": "64"}
    assert child.data.metrics["top1_pct"] == 50.0
    assert child.inputs.dataset_inputs[0].dataset.digest == "0" * 32
    curves = read_curves(here.root / "history.csv")
    assert here.points(child) == curves["train_loss"]
    assert here.points(child, "val_top1_pct") == curves["val_top1_pct"]
    assert [step for step, value in here.points(child, "val_loss") if math.isnan(value)] == [0, 1, 2, 3]
    assert list(here.followers.directory.iterdir()) == []
    assert [run.info.run_id for run in here.record()] == [child.info.run_id]


@pytest.mark.usefixtures("postgresql_server")
def test_database_without_a_server_before_it(database: str, tmp_path: Path) -> None:
    """`postgresql://` alone, on the tables that the server has set up, in an experiment of its own."""
    made = replace(place(tmp_path, database.replace("+psycopg2", "")), dataset="direct")
    (made.root / "history.csv").write_text(",".join(COLUMNS) + "\n0,0.1,2.5,,40\n")
    (child,) = [run for run in made.record("direct") if run.data.tags[track.KEY_TAG] == "direct"]
    assert made.points(child) == [(0, 2.5)]


def test_restored_training_shows_what_the_live_one_did(here: Place) -> None:
    """Another result with the same training gets the curve from the history; the live run belongs to the first."""
    trainer = Trainer(here)
    trainer.epochs(EPOCHS)
    trainer.end()
    (live,) = here.record("k0")
    (backfilled,) = [run for run in here.record("k1") if run.info.run_id != live.info.run_id]
    for name in COLUMNS[1:]:
        assert repr(here.points(live, name)) == repr(here.points(backfilled, name))
    assert len(here.runs("result")) == 2


def test_killed_trainer_leaves_nothing_once_its_successor_is_recorded(here: Place) -> None:
    killed = Trainer(here)
    killed.epochs(2)
    until(lambda: here.shown() == [0, 1], "two epochs")
    killed.kill()
    until(lambda: [run.info.status for run in here.runs("live")] == ["KILLED"], "the follower to see it")
    until(here.gone, "the follower to end")
    second = Trainer(here, after_s=math.inf)
    second.epochs(EPOCHS)
    second.end()
    (child,) = here.record()
    assert here.runs("live") == []
    assert [step for step, _ in here.points(child)] == list(range(EPOCHS))


def test_killed_follower_costs_the_training_one_line(here: Place) -> None:
    trainer = Trainer(here)
    trainer.epochs(1)
    until(lambda: here.shown() == [0], "an epoch")
    follower = trainer.follower()
    os.kill(follower.pid, signal.SIGKILL)
    until(here.gone, "the follower's end")
    trainer.epochs(EPOCHS - 1)
    assert trainer.end().count("no live curves in MLflow") == 1
    (child,) = here.record()
    assert here.runs("live") == []
    assert [step for step, _ in here.points(child)] == list(range(EPOCHS))


def test_database_deleted_after_the_training_is_filled_from_the_history(here: Place, tmp_path: Path) -> None:
    trainer = Trainer(here)
    trainer.epochs(EPOCHS)
    trainer.end()
    until(lambda: here.runs("live") and here.gone(), "the follower to end")
    (here.root / "mlflow.db").unlink()
    # MLflow keeps a connection for each address, here to the deleted file; a new process has none.
    (here.root / "sub").mkdir()
    fresh = replace(here, store=store_at(here.root / "sub" / ".."))
    (child,) = fresh.record()
    assert [step for step, _ in fresh.points(child)] == list(range(EPOCHS))
    assert fresh.runs("live") == []


def test_server_down_while_training_and_up_at_track(tmp_path: Path) -> None:
    port = free_port()
    here = place(tmp_path / "repository", f"http://127.0.0.1:{port}")
    epochs = 3000
    trainer = Trainer(here, epochs)
    left = epochs
    while left > 1 and "no live curves" not in trainer.log.read_text():
        trainer.epochs(1)
        left -= 1
        time.sleep(0.05)
    trainer.epochs(left)
    assert trainer.end().count("no live curves in MLflow") == 1
    until(here.gone, "the follower to give up")
    with mlflow_server(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path, port):
        (child,) = here.record()
        assert [step for step, _ in here.points(child)] == list(range(epochs))
        assert here.runs("live") == []


def test_two_trainers_of_the_same_thing_leave_one_child(here: Place) -> None:
    trainers = [Trainer(here), Trainer(here, history="other.csv")]
    for trainer in trainers:
        trainer.epochs(EPOCHS)
    for trainer in trainers:
        trainer.end()
    until(lambda: [run.info.status for run in here.runs("live")] == ["FINISHED"] * 2, "both to be shown")
    (child,) = here.record()
    assert here.runs("live") == []
    assert [step for step, _ in here.points(child)] == list(range(EPOCHS))


def test_trainings_of_another_worker_stay_and_one_that_came_to_nothing_goes(here: Place) -> None:
    other = Trainer(here, epochs=EPOCHS + 1, history="other.csv", experiment="other")
    aborted = Trainer(here, epochs=EPOCHS - 1, history="aborted.csv")
    other.epochs(2)
    aborted.epochs(EPOCHS - 1)
    aborted.end()
    until(lambda: sorted(here.shown()) == [0, 0, 1, 1, 2], "both to be shown")
    trainer = Trainer(here, after_s=math.inf)
    trainer.epochs(EPOCHS)
    trainer.end()
    until(lambda: "FINISHED" in {run.info.status for run in here.runs("live")}, "the aborted one's follower to end")
    until(
        lambda: [here.followers.is_alive(run.data.tags[track.LIVE_TAG]) for run in here.runs("live")].count(True) == 1,
        "one",
    )
    here.record()
    assert here.shown() == [0, 1], "the other worker still trains"
    other.epochs(EPOCHS - 1)
    other.end()
    until(here.gone, "the follower to end")
    here.record()
    assert here.shown() == list(range(EPOCHS + 1)), "and has not recorded its result yet"


def test_late_double_of_a_recorded_training_goes(here: Place) -> None:
    late = Trainer(here, history="other.csv")
    late.epochs(2)
    until(lambda: here.shown() == [0, 1], "two epochs")
    trainer = Trainer(here, after_s=math.inf)
    trainer.epochs(EPOCHS)
    trainer.end()
    (child,) = here.record()
    late.epochs(EPOCHS - 2)
    late.end()
    assert [run.info.run_id for run in here.record()] == [child.info.run_id]
    assert here.runs("live") == []


def test_follower_that_hangs_is_not_waited_for_and_shows_nothing_later(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(here, sample_s=3600)  # idle between epochs: stopped at a write, it would hold the database
    trainer.epochs(EPOCHS - 1)
    until(lambda: here.shown() == [0, 1, 2], "three epochs")
    follower = trainer.follower()
    follower.suspend()
    try:
        trainer.epochs(1)
        trainer.end()
        name = here.runs("live")[0].data.tags[track.LIVE_TAG]
        curves = read_curves(here.root / "history.csv")
        here.followers.end(name, Ended("fusion", 1, curves))  # as its reader does
        monkeypatch.setattr(track, "FOLLOWER_TIMEOUT_S", 0.1)
        (child,) = here.record()
    finally:
        follower.resume()
    until(here.gone, "the follower to end")
    assert here.runs("live") == []
    assert [run.info.run_id for run in here.record()] == [child.info.run_id]
    assert [step for step, _ in here.points(child)] == list(range(EPOCHS))


def test_head_that_is_trained_for_another_one_has_no_run(here: Place) -> None:
    (here.root / "params.yaml").write_text("heads: [zero_shot]\n")
    trainer = Trainer(here)
    trainer.epochs(EPOCHS - 1)
    assert psutil.Process(trainer.process.pid).children() == []
    trainer.epochs(1)
    trainer.end()


def test_short_training_starts_nothing(here: Place) -> None:
    trainer = Trainer(here, after_s=3600)
    trainer.epochs(EPOCHS - 1)
    assert psutil.Process(trainer.process.pid).children() == []
    trainer.epochs(1)
    trainer.end()
    assert not here.followers.directory.exists()


@pytest.mark.parametrize("rest", ["", '{"epoch": 1, "lr"', "{}\n"])
def test_input_that_ends_early_is_no_good_end(rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {"epoch": 0, "lr": 0.1 / 3, "train_loss": 1.0, "val_loss": math.nan, "val_top1_pct": 2.0, "time_ms": 5}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(first) + "\n" + rest))
    arrivals: SimpleQueue[Row | bool] = SimpleQueue()
    with suppress(KeyError):
        follow.read({"head": "fusion", "split": 1, "epochs": 2}, Followers(tmp_path), "one", arrivals)
    row = arrivals.get_nowait()
    assert (row.epoch, row.time_ms, row.values["lr"]) == (0, 5, 0.0333333)
    assert arrivals.get_nowait() is False
    assert Followers(tmp_path).ended() == {}
