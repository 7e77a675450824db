"""A run is shared by a Git remote and a DVC remote: a fresh clone that pulls has all results and trains nothing."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.graph.test_pipeline import HEADS, LOCKS, Repository, runs

EXPERIMENT = "shared"


@pytest.fixture(scope="module")
def clone(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """What another person has after `git clone` and `dvc pull`, and nothing else of the run."""
    places = tmp_path_factory.mktemp("remotes")
    bare, storage = places / "moclip.git", places / "storage"
    finished.run("git", "init", "-q", "--bare", str(bare))
    finished.run("git", "remote", "add", "origin", str(bare))
    finished.run("dvc", "remote", "add", "-q", "--default", "storage", str(storage))
    finished.run("git", "add", "-A")
    finished.run("git", "commit", "-qm", "Results of this machine")
    finished.run("git", "push", "-q", "-u", "origin", "HEAD:main")
    finished.run("dvc", "push", "-q")
    finished.run("dvc", "exp", "save", "-q", "--name", EXPERIMENT, "--force")
    finished.run("dvc", "exp", "push", "-q", "origin", EXPERIMENT)
    finished.run("git", "clone", "-q", "--branch", "main", str(bare), str(places / "clone"))
    other = Repository(places / "clone", forks=True)
    other.run("dvc", "pull", "-q")
    return other


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::sqlalchemy.exc.SADeprecationWarning")
def test_clone_that_only_pulls_runs_track_alone(finished: Repository, clone: Repository) -> None:
    assert not (clone.path / "data/videos").exists()
    printed = clone.run("dvc", "repro")
    assert [line for line in printed.splitlines() if line.startswith("Running stage")] == ["Running stage 'track':"]
    assert clone.run("git", "status", "--porcelain", *LOCKS, "results", "reports") == ""
    assert clone.lock() == finished.lock()
    assert len(runs(clone)) == 1 + len(HEADS)


def test_experiment_that_was_pushed_is_pulled(clone: Repository) -> None:
    clone.run("dvc", "exp", "pull", "-q", "origin", EXPERIMENT)
    assert EXPERIMENT in clone.run("dvc", "exp", "list", "--name-only")


def test_artifacts_are_what_stages_make_and_come_by_their_names(clone: Repository, tmp_path: Path) -> None:
    listed = YAML(typ="safe", pure=True).load(clone.path / "dvc.yaml")["artifacts"]
    for name, artifact in listed.items():
        assert any((clone.path / artifact["path"]).iterdir()), name
    clone.run("git", "tag", "-am", "v1", "fusion@v1.0.0")
    copy, made = tmp_path / "fusion", clone.path / listed["fusion"]["path"]
    clone.run("dvc", "artifacts", "get", "-q", str(clone.path), "fusion", "--out", str(copy))
    assert bytes_of(copy) == bytes_of(made)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
