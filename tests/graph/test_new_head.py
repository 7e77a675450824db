"""A new head is one file, one registry row, one section of parameters, one stage: all else finds it by itself."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.graph.test_pipeline import Repository

HEAD = '''
"""The head `nearest_mean`: cosine between a video's CLIP feature and the mean feature of each class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moclip.base.files import read_npz, write_npz
from moclip.heads.fitted import Cost, Fitted
from moclip.params.section import Section


class NearestMeanParams(Section):
    """Section `nearest_mean`."""

    sharpness: float


@dataclass
class NearestMean(Fitted):
    means: np.ndarray
    sharpness: float
    streams = ("clip",)

    def logits(self, inputs):
        features = inputs["clip"]
        return self.sharpness * (features / np.linalg.norm(features, axis=1, keepdims=True)) @ self.means.T

    def save(self, directory):
        write_npz(directory / "means.npz", means=self.means, sharpness=np.array(self.sharpness))

    def cost(self):
        return Cost(self.means.size, self.means.size)


def fit(videos, params, seed, **_):
    train = videos.split.part("train")
    features, labels = videos.inputs("train")["clip"], np.array(train.labels)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(len(videos.split.classes))])
    return NearestMean(means / np.linalg.norm(means, axis=1, keepdims=True), params.sharpness)


def load(directory):
    arrays = read_npz(directory / "means.npz", "means", "sharpness")
    return NearestMean(arrays["means"], float(arrays["sharpness"]))
'''
ROW = """
    "nearest_mean": HeadSpec(
        title="nearest mean",
        words="likeness to the mean feature of each class",
        colour=GREY,
        module="moclip.heads.nearest_mean",
        section="nearest_mean",
        settings="moclip.heads.nearest_mean:NearestMeanParams",
        streams=(CLIP,),
        is_servable=True,
        draws_nothing=True,
    ),
"""
STAGE = """
  nearest_mean:
    wdir: ..
    desc: "Likeness to the mean CLIP feature of each class"
    cmd: >-
      python -m stages.head
      --heads nearest_mean
      --classes data/classes.csv
      --splits data/splits
      --clip data/clip/images.npz
      --encoder data/clip/encoder.json
      --model models/nearest_mean
      --preds preds/nearest_mean
    deps:
      - code/heads/nearest_mean.txt
      - data/classes.csv
      - data/splits
      - data/clip/images.npz
      - data/clip/encoder.json
    params:
      - compute.kernels
      - seed
      - seeds.heads
      - splits
      - nearest_mean
    outs:
      - models/nearest_mean
      - preds/nearest_mean
"""


@pytest.fixture(scope="module")
def extended(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A copy of the finished repository with the four edits, run."""
    repository = Repository(tmp_path_factory.mktemp("extended") / "repository", forks=True)
    shutil.copytree(finished.path, repository.path, symlinks=True)
    registry, graph = repository.path / "moclip/heads/registry.py", repository.path / "heads/dvc.yaml"
    (repository.path / "moclip/heads/nearest_mean.py").write_text(HEAD)
    first = "HEADS: Mapping[str, HeadSpec] = {\n"
    assert first in registry.read_text()
    registry.write_text(registry.read_text().replace(first, first + ROW.lstrip("\n")))
    graph.write_text(graph.read_text() + STAGE)
    repository.set(nearest_mean={"sharpness": 10.0}, heads=["zero_shot", "nearest_mean"])
    printed = repository.run("dvc", "repro")
    ran = {line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")}
    assert {"heads/dvc.yaml:nearest_mean", "evaluate@nearest_mean", "summarize", "report"} <= ran
    assert not ran & {"heads/dvc.yaml:zero_shot", "evaluate@zero_shot", "heads/dvc.yaml:train_motion", "cache_clip"}
    return repository


def moclip(repository: Repository, *words: str) -> str:
    """The command as the repository has it, not as it is installed."""
    return repository.run(
        sys.executable, "-c", "import sys; from moclip.cli.main import main; sys.exit(main())", *words
    )


def test_pages_and_figures_show_it(extended: Repository) -> None:
    summary = json.loads((extended.path / "reports/summary.json").read_text())
    assert summary["heads"]["nearest_mean"]["n_test"] == {"1": 12}
    assert "nearest mean" in (extended.path / "reports/report.md").read_text()
    assert "nearest mean" in (extended.path / "reports/figures/accuracy.svg").read_text()
    assert "nearest_mean" in moclip(extended, "results")
    costs = json.loads((extended.path / "reports/accounting.json").read_text())["run"]["heads"]
    assert costs["nearest_mean"]["gmac_per_video"] > 0  # CLIP's, which the stage's --encoder tells, and its own


def test_it_answers_for_a_video_and_goes_into_a_bundle(extended: Repository) -> None:
    video = str(next((extended.path / "data/videos").rglob("*.avi")))
    answer = json.loads(moclip(extended, "predict", video, "--head", "nearest_mean", "--json"))
    moclip(extended, "bundle", "--no-onnx", "--out", "bundle")
    bundled = json.loads(moclip(extended, "predict", video, "--head", "nearest_mean", "--json", "--model", "bundle"))
    assert "nearest_mean" in json.dumps(answer)
    assert {**bundled, "ms": None} == {**answer, "ms": None}  # durations apart
    assert Path(extended.path / "bundle").is_dir()


def test_the_suite_can_ask_for_it(extended: Repository) -> None:
    suite = "- {name: mean, topic: Heads, question: Does a mean do?, head: nearest_mean, against: zero_shot}\n"
    (extended.path / "ablations.yaml").write_text(suite)
    assert "Does a mean do?" in extended.run(sys.executable, "-m", "stages.commands.ablate", "--list")
