"""Live curves: real trainers and followers in processes of their own, real SQLite, real `mlflow server`."""

import io
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from moclip.tracking import tags
from moclip.tracking.process import is_alive, is_same, process_tag
from moclip.tracking.record import record
from moclip.tracking.result import Child, Result, read_curves
from moclip.tracking.store import Store, store_at
from moclip.training.history import CLASSIFIER_COLUMNS, Epoch, write_history
from stages import _entry, _live
from stages.commands import follow
from tests.support.imports import ROOT
from tests.support.tracking import free_port, relay, until

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
    live = Live("fusion", 1, epochs, Path("data/classes.csv"))
    for number in range(epochs):
        sys.stdin.readline()
        values = {"train_loss": 2 / (number + 3), "val_loss": math.nan, "val_top1_pct": 100 * number / 7}
        history.append(Epoch(number, 0.1 / 3, values))
        live(history[-1])
        print(number, flush=True)
    write_history(Path(sys.argv[2]), history)

run(main)
"""
# Stands for the command that runs all stages of one experiment: it ends when the test closes its input.
DVC = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]], check=True); sys.stdin.read()"


@dataclass
class Place:
    """A repository's directory, where its runs go, and the data set that they are of."""

    root: Path
    store: Store
    dataset: str = "demo"

    def runs(self, kind: str) -> list[Run]:
        client = MlflowClient(tracking_uri=self.store.uri)
        experiments = [e.experiment_id for e in client.search_experiments() if e.name == f"moclip-{self.dataset}"]
        return list(client.search_runs(experiments, f"tags.`{tags.KIND}` = '{kind}'")) if experiments else []

    def points(self, run: Run, name: str = "train_loss") -> list[tuple[int, float]]:
        history = MlflowClient(tracking_uri=self.store.uri).get_metric_history(run.info.run_id, name)
        return sorted((metric.step, metric.value) for metric in history)

    def shown(self) -> list[list[int]]:
        """Epochs of each live run, sorted."""
        return sorted([step for step, _ in self.points(run)] for run in self.runs("live"))

    def statuses(self) -> list[str]:
        """Statuses of the live runs, sorted."""
        return sorted(run.info.status for run in self.runs("live"))

    def record(self, key: str = "k0", command: str | None = None) -> list[Run]:
        """Record the result of the finished training as `track` does; its children with a curve."""
        curves = read_curves(self.root / "history.csv")
        child = Child("fusion", 1, {"top1_pct": 50.0}, curves, {"data/manifest.csv": "0" * 32})
        zero = Child("zero_shot", 1, {"top1_pct": 40.0})
        params = {"fusion.hidden": "64"}
        git = {"moclip.git_dirty": "false"}
        record(Result(self.dataset, key, "base", params, git, {"m": 1.0}, [zero, child]), self.store, command)
        heads = [run for run in self.runs("head") if run.data.tags[tags.HEAD] == "fusion"]
        return [run for run in heads if run.data.tags[tags.KEY] == key]


def place(root: Path, uri: str | None = None) -> Place:
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "data" / "dataset.json").write_text(json.dumps({"name": "demo"}))
    (root / "params.yaml").write_text("heads: [zero_shot, fusion]\nfusion: {hidden: 64}\n")
    history = [Epoch(number, 0.1, {"train_loss": 2 / (number + 3)}) for number in range(EPOCHS)]
    write_history(root / "history.csv", history)  # as another training left it, which was not shown
    return Place(root, store_at(root, uri))


class Trainer:
    """A training that runs one epoch when the test asks for it."""

    def __init__(
        self,
        place: Place,
        epochs: int = EPOCHS,
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
            "MOCLIP_LIVE_AFTER_S": "0",
            "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": str(sample_s),
        }
        self.log = place.root / f"{history}.log"
        dvc = place.root / "dvc"
        dvc.write_text(DVC)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(dvc), "-c", TRAINER, str(epochs), history],
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
            children = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in children if "stages.commands.follow" in child.cmdline()]

        until(found, "the follower to start")
        return found()[0]

    def wait(self) -> None:
        """Wait for the end of the training; the command goes on."""
        until(lambda: not psutil.Process(self.process.pid).children(), "the training to end")

    def end(self) -> str:
        """Wait for a good end of both; what the training logged."""
        self.process.communicate()
        assert self.process.returncode == 0, self.log.read_text()
        return self.log.read_text()

    def kill(self) -> None:
        """Kill the command and the training."""
        if not self.process.stdin.closed:
            for process in [*psutil.Process(self.process.pid).children(), self.process]:
                process.kill()
            self.process.communicate()

    @property
    def command(self) -> str:
        return process_tag(self.process.pid)


Start = Callable[..., Trainer]


@pytest.fixture
def train() -> Iterator[Start]:
    """Starts trainers; those that a failed test leaves are killed."""
    with ExitStack() as started:

        def start(*arguments: Any, **options: Any) -> Trainer:
            trainer = Trainer(*arguments, **options)
            started.callback(trainer.kill)
            return trainer

        yield start


@pytest.fixture
def here(migrated: Path, tmp_path: Path) -> Place:
    made = place(tmp_path / "a repository")
    shutil.copy(migrated, made.root / "mlflow.db")
    return made


@pytest.mark.parametrize("server", [None, "sqlite_server", "postgresql_server"])
def test_points_are_there_while_training_runs_and_once_after_it(
    tmp_path: Path, request: pytest.FixtureRequest, train: Start, server: str | None
) -> None:
    here = place(tmp_path, request.getfixturevalue(server)) if server else request.getfixturevalue("here")
    trainer = train(here)
    trainer.epochs(2)
    until(lambda: here.shown() == [[0, 1]], "two epochs")
    trainer.epochs(1)
    until(lambda: here.shown() == [[0, 1, 2]], "a third epoch")
    (live,) = here.runs("live")
    assert (live.info.status, live.info.run_name) == ("RUNNING", "base / fusion / split 1")
    until(lambda: "system/cpu_utilization_percentage" in here.runs("live")[0].data.metrics, "system metrics")
    trainer.epochs(1)
    assert "no live curves" not in trainer.end()
    (child,) = here.record()
    assert here.runs("live") == []
    assert child.info.status == "FINISHED"
    assert child.info.end_time < here.runs("result")[0].info.end_time
    assert child.data.params == {"fusion.hidden": "64"}
    assert child.data.metrics["top1_pct"] == 50.0
    assert child.inputs.dataset_inputs[0].dataset.digest == "0" * 32
    curves = read_curves(here.root / "history.csv")
    assert curves.keys() == set(CLASSIFIER_COLUMNS[1:])
    assert here.points(child) == curves["train_loss"]
    assert here.points(child, "val_top1_pct") == curves["val_top1_pct"]
    assert [step for step, value in here.points(child, "val_loss") if math.isnan(value)] == [0, 1, 2, 3]
    assert [run.info.run_id for run in here.record()] == [child.info.run_id]
    (other,) = here.record("k1")
    for name in CLASSIFIER_COLUMNS[1:]:
        assert repr(here.points(other, name)) == repr(here.points(child, name)), "of another result, restored"


@pytest.mark.usefixtures("postgresql_server")
def test_database_without_a_server_before_it(database: str, tmp_path: Path) -> None:
    """`postgresql://` alone, on the tables that the server has set up, in an experiment of its own."""
    made = replace(place(tmp_path, database.replace("+psycopg2", "")), dataset="direct")
    (child,) = made.record()
    assert made.points(child) == read_curves(made.root / "history.csv")["train_loss"]


def test_killed_trainings_and_followers_leave_nothing_once_a_result_is_recorded(here: Place, train: Start) -> None:
    killed, blind = train(here, history="killed.csv"), train(here, experiment="another")
    for trainer in (killed, blind):
        trainer.epochs(2)
    until(lambda: here.shown() == [[0, 1], [0, 1]], "two epochs")
    killed.kill()
    until(lambda: here.statuses() == ["KILLED", "RUNNING"], "the follower to see it")
    follower = blind.follower()
    follower.kill()
    until(lambda: follower.status() == psutil.STATUS_ZOMBIE and follower.num_threads() == 1, "its end")
    blind.epochs(EPOCHS - 2)
    assert blind.end().count("no live curves in MLflow") == 1
    assert here.statuses() == ["KILLED", "RUNNING"]
    (child,) = here.record()
    assert here.runs("live") == []
    assert [step for step, _ in here.points(child)] == list(range(EPOCHS))


def test_doubles_leave_one_child_and_another_workers_training_stays(here: Place, train: Start) -> None:
    first, late = train(here), train(here, history="late.csv")
    other = train(here, epochs=EPOCHS + 1, history="other.csv", experiment="other")
    for trainer in (first, late, other):
        trainer.epochs(2)
    until(lambda: here.shown() == [[0, 1]] * 3, "all to be shown")
    first.epochs(EPOCHS - 2)
    first.wait()
    until(lambda: here.statuses() == ["FINISHED", "RUNNING", "RUNNING"], "the first to be ended")
    (child,) = here.record(command=first.command)
    assert here.shown() == [[0, 1], [0, 1]], "these still train"
    late.epochs(EPOCHS - 2)
    late.end()
    other.epochs(EPOCHS - 1)
    other.wait()
    until(lambda: here.statuses() == ["FINISHED", "FINISHED"], "both to be ended")
    assert [run.info.run_id for run in here.record()] == [child.info.run_id]
    assert [run.data.tags[tags.EXPERIMENT] for run in here.runs("live")] == ["other"]
    assert here.shown() == [list(range(EPOCHS + 1))], "the other worker has not recorded its result yet"
    here.record("k1", other.command)
    assert here.runs("live") == []
    assert [step for step, _ in here.points(child)] == list(range(EPOCHS))


def test_follower_that_hangs_is_not_waited_for_and_shows_nothing_later(here: Place, train: Start) -> None:
    # Idle between epochs: stopped at a write, it would hold the database.
    showing, starting = train(here, sample_s=3600), train(here, history="other.csv")
    showing.epochs(EPOCHS - 1)
    until(lambda: here.shown() == [[0, 1, 2]], "three epochs")
    starting.epochs(1)
    followers = [trainer.follower() for trainer in (showing, starting)]
    for follower in followers:
        follower.suspend()
    try:
        for trainer, rest in ((showing, 1), (starting, EPOCHS - 1)):
            trainer.epochs(rest)
            trainer.end()
        (child,) = here.record()
        assert here.runs("live") == []
    finally:
        for follower in followers:
            follower.resume()
    psutil.wait_procs(followers, timeout=120)
    assert here.runs("live") == []
    assert [run.info.run_id for run in here.record()] == [child.info.run_id]
    assert [step for step, _ in here.points(child)] == list(range(EPOCHS))


def test_server_down_while_training_and_up_at_track(sqlite_server: str, tmp_path: Path, train: Start) -> None:
    port = free_port()
    here = replace(place(tmp_path / "repository", f"http://127.0.0.1:{port}"), dataset="down")
    epochs = 600
    trainer = train(here, epochs)
    left = epochs
    while left > 1 and "no live curves" not in trainer.log.read_text():
        trainer.epochs(1)
        left -= 1
        time.sleep(0.2)
    follower = trainer.follower()
    trainer.epochs(left)
    assert trainer.end().count("no live curves in MLflow") == 1
    psutil.wait_procs([follower], timeout=120)
    with relay(port, sqlite_server):
        (child,) = here.record()
        assert [step for step, _ in here.points(child)] == list(range(epochs))
        assert here.runs("live") == []


@pytest.fixture
def no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A repository to train in, within this process; to start another one fails."""
    made = place(tmp_path)
    monkeypatch.chdir(made.root)
    monkeypatch.setattr(_live.subprocess, "Popen", pytest.fail)
    _entry.all_params.cache_clear()
    return made


def test_head_that_is_trained_for_another_one_has_no_run(no_process: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (no_process.root / "params.yaml").write_text("heads: [zero_shot]\n")
    monkeypatch.setenv("MOCLIP_LIVE_AFTER_S", "0")
    show(_live.Live("fusion", 1, EPOCHS, Path("data/classes.csv")))


@pytest.mark.usefixtures("no_process")
def test_short_training_starts_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("MOCLIP_LIVE_AFTER_S", "3600")
    with caplog.at_level("DEBUG"):
        show(_live.Live("fusion", 1, EPOCHS, Path("data/classes.csv")))
    assert caplog.messages[3] == "epoch 3: train_loss 1.2500, val_loss 2.5000, val_top1_pct 50.0000"


def show(live: _live.Live) -> None:
    for number in range(EPOCHS):
        live(Epoch(number, 0.1, {"train_loss": 1.25, "val_loss": 2.5, "val_top1_pct": 50.0}))


@pytest.mark.parametrize("rest", ["", '{"epoch": 1, "time_ms": 6'])
def test_line_that_was_cut_is_no_epoch(rest: str) -> None:
    first = {"epoch": 0, "time_ms": 5, "values": {"lr": 0.1 / 3, "val_loss": math.nan}}
    ((row,),) = follow.rows(io.BufferedReader(io.BytesIO((json.dumps(first) + "\n" + rest).encode())))  # type: ignore[arg-type]
    assert (row.epoch, row.time_ms, row.values["lr"]) == (0, 5, 0.1 / 3)
    assert math.isnan(row.values["val_loss"])


def test_process_is_alive_until_it_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        tag = process_tag(process.pid)
        assert is_alive(tag)
        pid, started = tag.split("-")
        assert not is_alive(f"{pid}-{int(started) - 3600}"), "an earlier process had this id"
        assert is_same(tag, f"{pid}-{int(started) + 1}"), "the clock was set"
        assert not is_same(tag, "none")
        process.kill()
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "the end")
        assert not is_alive(tag)
    assert not is_alive(tag)


def test_clones_differ_by_place(tmp_path: Path) -> None:
    one, same, other = (store_at(tmp_path / name).clone for name in ("a", "x/../a", "b"))
    assert one == same != other
