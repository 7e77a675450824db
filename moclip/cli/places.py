"""Where a repository keeps what a person's commands read: the defaults of their options."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Paths in the repository, which a test holds against the graph; `pipeline` prints the stages to run, as JSON."""

    params: Path = Path("params.yaml")
    presets: Path = Path("presets")
    suite: Path = Path("ablations.yaml")
    manifest: Path = Path("data/manifest.csv")
    classes: Path = Path("data/classes.csv")
    splits: Path = Path("data/splits")
    dataset: Path = Path("data/dataset.json")
    motion: Path = Path("data/motion")
    texts: Path = Path("data/clip/texts.npz")
    encoder: Path = Path("data/clip/encoder.json")
    models: Path = Path("models")
    clip: Path = Path("models/clip")
    predictions: Path = Path("preds")
    results: Path = Path("results/heads")
    summary: Path = Path("reports/summary.json")
    ablations: Path = Path("reports/ablations")
    encoders: Path = Path("reports/encoders")
    report: Path = Path("reports/report.md")
    fingerprint: Path = Path("reports/fingerprint.json")
    costs: Path = Path("reports/cost.json")
    work: Path = Path(".work")
    graph: str = "dvc.yaml"
    locks: Sequence[str] = ("dvc.lock", "heads/dvc.lock")
    dvc_config: Path = Path(".dvc/config")
    pipeline: Sequence[str] = (sys.executable, "-m", "stages.dvc.state")


PLACES = Places()
