"""Eight experiments of DVC's queue, four at a time, leave eight parent runs."""

import shutil
import time
from pathlib import Path

import pytest

from moclip.base.files import remove
from tests.graph.test_pipeline import Repository

DROPOUTS = ["0.1", "0.15", "0.2", "0.25", "0.3", "0.35", "0.4", "0.45"]

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def parents(repository: Repository) -> list[tuple[str, str]]:
    """Name and DVC experiment of every parent run; no run but theirs may be there."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{repository.path / 'mlflow.db'}")
    runs = list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))
    found = [run for run in runs if run.data.tags["moclip.kind"] == "result"]
    children = [run.data.tags["mlflow.parentRunId"] for run in runs if run.data.tags["moclip.kind"] != "result"]
    assert sorted(children) == sorted(run.info.run_id for run in found), "one child each: one head, one split"
    return sorted((run.info.run_name, run.data.tags["moclip.dvc_experiments"]) for run in found)


def queue_at_its_end(repository: Repository, count: int, wait_s: float = 1800) -> str:
    """Wait for that many experiments, and for the queue; what it says then.

    DVC takes seconds of a processor to say it. Git, which has a reference for each that is finished, is asked more.
    """
    deadline = time.monotonic() + wait_s
    while {"Queued", "Running"} & set((status := repository.run("dvc", "queue", "status")).split()):
        assert time.monotonic() < deadline, status
        again = time.monotonic() + 30
        while len(experiments(repository)) < count and time.monotonic() < again:
            time.sleep(0.5)
    return status


def experiments(repository: Repository) -> list[str]:
    """Those that are finished, as Git refers to them."""
    found = repository.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    return [name for name in found if "/celery/" not in name]


@pytest.fixture
def fusion_alone(finished: Repository, tmp_path: Path) -> Repository:
    """A copy of the finished repository that asks for one head: nothing upstream runs again."""
    path = tmp_path / "repository"
    shutil.copytree(finished.path, path, symlinks=True)
    for name in ("mlflow.db", "mlartifacts"):  # they name the place that they were made in
        remove(path / name)
    repository = Repository(path, forks=True)
    repository.set(heads=["fusion"])
    repository.run("git", "commit", "-qam", "one head")
    return repository


def test_eight_experiments_at_four_at_a_time_leave_eight_parent_runs(fusion_alone: Repository) -> None:
    repository = fusion_alone
    repository.run("dvc", "repro", "-q", "track")
    assert parents(repository) == [("base", "")]
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "base")
    # With this target the heads that are off are not trained: without one, DVC runs every stage there is.
    repository.run("dvc", "exp", "run", "--queue", "-S", f"fusion.dropout={','.join(DROPOUTS)}", "track")
    repository.run("dvc", "queue", "start", "-j", "4")
    status = queue_at_its_end(repository, len(DROPOUTS))
    assert status.split().count("Success") == 8, status
    base, *found = sorted(parents(repository))
    assert base == ("base", "")
    assert [name for name, _ in found] == [f"fusion.dropout={dropout}" for dropout in DROPOUTS]
    assert len({experiment for _, experiment in found}) == 8
