"""The whole graph, run by DVC in a repository of its own, on the smallest demo there is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.base import arithmetic
from moclip.base.files import remove
from moclip.cli.main import main as moclip
from moclip.results.predictions import read_predictions
from tests.support import micro
from tests.support.forks import programs
from tests.support.imports import ROOT
from tests.support.kernels import HOSTILE

TRACKED = (
    "dvc.yaml",
    "heads",
    "params.yaml",
    ".dvcignore",
    ".gitignore",
    "moclip",
    "stages",
    "prompts",
    "presets",
    "papers",
)
HEADS: list[str] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["heads"]
LOCKS = ("dvc.lock", "heads/dvc.lock")


class Repository:
    """A Git and DVC repository with this project's pipeline in it; with `forks` its stages load no library anew."""

    def __init__(self, path: Path, *, forks: bool = False) -> None:
        self.path = path
        first = [programs() if forks else None, Path(sys.executable).parent]
        self.env = os.environ | {
            "PATH": os.pathsep.join([*(str(folder) for folder in first if folder), os.environ["PATH"]]),
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@localhost",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@localhost",
        }
        self.env.pop("MLFLOW_TRACKING_URI", None)

    def run(self, *words: str, status: int = 0) -> str:
        done = subprocess.run(words, check=False, cwd=self.path, env=self.env, capture_output=True, text=True)
        assert done.returncode == status, f"{words}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def lock(self) -> str:
        """Both graphs' locks."""
        return "".join((self.path / name).read_text() for name in LOCKS)

    def set(self, **values: object) -> None:
        yaml = YAML()
        params = yaml.load(self.path / "params.yaml")
        params.update(values)
        yaml.dump(params, self.path / "params.yaml")


def make_repository(path: Path, **params: object) -> Repository:
    """This project's pipeline on the smallest demo, split 1 alone, committed and not yet run."""
    for name in TRACKED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, path / name)
    moclip(["preset", "micro", "--directory", str(path / "presets"), "--params", str(path / "params.yaml")])
    repository = Repository(path)
    repository.set(splits=[1], **params)
    repository.run("git", "init", "-q")
    repository.run("dvc", "init", "-q")
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "pipeline")
    return repository


def finish(path: Path) -> Repository:
    """A repository in this folder, after one whole run on split 1."""
    make_repository(path)
    repository = Repository(path, forks=True)
    repository.run("dvc", "repro", "-q")
    return repository


def runs(repository: Repository) -> list[tuple[str, str]]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{repository.path / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return sorted((run.info.run_id, run.info.run_name or "") for run in client.search_runs(experiments))


def test_whole_graph_gives_a_result_for_every_head(finished: Repository) -> None:
    summary = json.loads((finished.path / "reports/summary.json").read_text())
    assert summary["dataset"] == "demo"
    assert set(summary["heads"]) == set(HEADS)
    for head in HEADS:
        trainings = sorted((finished.path / f"preds/{head}").glob("**/split1.npz"))
        found = [read_predictions(path) for path in trainings]
        assert {len(one.ids) for one in found} == {summary["heads"][head]["n_test"]["1"]} == {12}
        hits = np.mean([(one.logits.argmax(axis=1) == one.labels).mean() for one in found])
        assert summary["heads"][head]["top1_pct"]["per_split"]["1"] == pytest.approx(100 * hits, abs=1e-3)


def test_what_was_chosen_on_validation_is_recorded(finished: Repository) -> None:
    for head, name in (("linear_probe", "c"), ("metadata_only", "c"), ("score_average", "motion_weight")):
        chosen = json.loads((finished.path / f"results/heads/{head}/chosen.json").read_text())["split1"]
        assert chosen[name] in [trial["setting"] for trial in chosen["tried"]]


def test_report_shows_every_picture_it_names(finished: Repository) -> None:
    text = (finished.path / "reports/report.md").read_text()
    pictures = [part.split(")")[0] for part in text.split("](")[1:] if part.split(")")[0].endswith((".svg", ".png"))]
    assert len(pictures) >= 4
    for picture in pictures:
        assert (finished.path / "reports" / picture).stat().st_size > 1000
    assert str(finished.path) not in text


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::sqlalchemy.exc.SADeprecationWarning")
def test_second_run_repeats_track_alone_and_doubles_no_run(finished: Repository) -> None:
    before, known = finished.lock(), runs(finished)
    printed = finished.run("dvc", "repro")
    assert [line for line in printed.splitlines() if line.startswith("Running stage")] == ["Running stage 'track':"]
    assert finished.lock() == before
    assert runs(finished) == known
    assert len(known) == 1 + len(HEADS)


def test_zero_shot_alone_needs_no_training(finished: Repository) -> None:
    finished.set(heads=["zero_shot"])
    try:
        reached = [finished.run("dvc", "repro", "--dry", "--force", *target) for target in ([], ["report"])]
    finally:
        finished.set(heads=HEADS)
    for printed in reached:
        names = {line.split("'")[1].split(":")[-1] for line in printed.splitlines() if line.startswith("Running stage")}
        assert {"zero_shot", "evaluate@zero_shot", "report"} <= names
        assert not names & {"train_motion", *HEADS[1:]}


@pytest.mark.skipif(not arithmetic._has_kernels(), reason="needs a processor with AVX2 and FMA")
def test_numbers_are_the_recorded_ones_whatever_the_processor(finished: Repository) -> None:
    """Where this fails and `test_arithmetic.py` does not, code moved a number: see `tests/support/micro.py`."""
    known = micro.recorded()
    if known["versions"] != micro.versions():
        pytest.skip(f"tests/micro.json is of other versions than are installed: {micro.versions()}")
    found = micro.computed([finished.path / name for name in LOCKS])
    assert found.keys() == known["digests"].keys()
    assert [path for path, digest in found.items() if digest != known["digests"][path]] == []


def test_cold_run_in_an_environment_that_asks_for_other_kernels_gives_the_same_bytes(finished: Repository) -> None:
    before = finished.lock()
    for name in ("data/videos", ".work", "mlflow.db"):
        remove(finished.path / name)
    cold = Repository(finished.path)  # a process for each stage
    cold.env |= HOSTILE
    cold.run("dvc", "repro", "-q", "--force", "--no-run-cache")
    assert finished.lock() == before
