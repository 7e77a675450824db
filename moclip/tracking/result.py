"""A result as MLflow shows it: one parent run, one child run for each head and split. Knows nothing of MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moclip.base.errors import StoreError
from moclip.base.files import read_json
from moclip.tracking.tags import VERDICT
from moclip.training.history import columns, read_history

BASE = "base"  # the name of a result that differs in nothing
REQUIRED_METRICS = ("top1_pct", "top5_pct", "mean_class_pct", "n_test")

Point = tuple[int, float]
Curves = Mapping[str, Sequence[Point]]


@dataclass(frozen=True)
class Child:
    """One head on one split: final metrics, training curves as (epoch, value) points, digests of its data."""

    head: str
    split: int
    metrics: Mapping[str, float]
    curves: Curves = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """All that one parent run shows; results with equal keys are the same result.

    `baseline` are the parameters of the commit that it started from, `note` is Markdown for its parent run, and it was
    computed from `started_ms` to `ended_ms`, in milliseconds since 1970, where that is known.
    `verdicts` are tags of the parent run alone, and may change while the result stays: a paper was put on trial since.
    `identity` stands for the content of videos, classes and splits, and results with equal ones compete.
    `data` maps the path of a data file to its digest, `data_names` to what it is called in MLflow; `environment` is
    JSON-able; `artifacts` are files, and directories that keep their name.
    """

    dataset: str
    key: str
    variant: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    summary: Mapping[str, float]
    children: Sequence[Child]
    identity: str = ""
    verdicts: Mapping[str, str] = field(default_factory=dict)
    dvc_experiment: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    baseline: Mapping[str, str] = field(default_factory=dict)
    data_names: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    started_ms: int | None = None
    ended_ms: int | None = None


def verdict_tags(verdicts: Mapping[str, Any]) -> dict[str, str]:
    """The verdict on each paper as a tag, of the file that the stage `report` writes."""
    return {f"{VERDICT}{name}": paper["verdict"] for name, paper in verdicts.items()}


def verdicts_in(own: Mapping[str, str]) -> dict[str, str]:
    """Verdicts among the tags of a run."""
    return {name: value for name, value in own.items() if name.startswith(VERDICT)}


def variant_name(params: Mapping[str, str], baseline: Mapping[str, str], most: int = 3) -> str:
    """The parameters of a run that differ from the baseline, at most so many; `base` if none does.

    >>> variant_name({"fusion.hidden": "256", "seed": "0"}, {"fusion.hidden": "64", "seed": "0"})
    'fusion.hidden=256'
    """
    names = sorted(params.keys() | baseline.keys())
    changed = [name for name in names if params.get(name) != baseline.get(name)]
    shown = [f"{name}={_brief(params.get(name, 'absent'))}" for name in changed[:most]]
    if len(changed) > most:
        shown.append(f"{len(changed) - most} more")
    return ", ".join(shown) or BASE


def _brief(value: str, most: int = 40) -> str:
    value = value.replace('"', "").replace(" ", "")
    return value if len(value) <= most else value[: most - 1] + "…"


def read_child(head: str, split: int, metrics: Path, history: Path, data: Mapping[str, str]) -> Child:
    """One head on one split, from the files of its metrics (JSON) and its training (CSV).

    Raises:
        StoreError: a file is missing or broken, or the metrics lack one that every head has.
    """
    values = numbers(read_json(metrics))
    if missing := [name for name in REQUIRED_METRICS if name not in values]:
        raise StoreError(f"{metrics}: lacks the number '{missing[0]}'; run `dvc repro -f evaluate`")
    return Child(head, split, values, read_curves(history), data)


def read_curves(path: Path) -> dict[str, list[Point]]:
    """One curve for each column beside `epoch`; a value that was undefined is NaN."""
    history = read_history(path)
    names = columns(history)[2:] if history else ()
    values = [(epoch.epoch, {"lr": epoch.lr, **epoch.values}) for epoch in history]
    return {name: [(epoch, of_epoch[name]) for epoch, of_epoch in values] for name in ("lr", *names)} if history else {}


def numbers(tree: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a metrics file under dotted names; words and nulls are no metrics.

    >>> numbers({"top1_pct": 50.0, "interval": {"low_pct": 45.5, "method": "bootstrap"}})
    {'top1_pct': 50.0, 'interval.low_pct': 45.5}
    """
    flat: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{name}"] = value
    return flat


def read_summary(path: Path, heads: Sequence[str], splits: Sequence[int]) -> Any:
    """The summary of a result over its splits.

    Raises:
        StoreError: the file is missing or broken, or is of other heads or splits than these.
    """
    summary = read_json(path)
    found = (sorted(summary["heads"]), sorted(summary["splits"]))
    if found != (sorted(heads), sorted(splits)):
        raise StoreError(
            f"{path}: holds heads {found[0]} and splits {found[1]}, this run asks for "
            f"{sorted(heads)} and {sorted(splits)}; run `dvc repro`"
        )
    return summary


def digest_tags(named: Mapping[str, Path], digests: Mapping[str, str]) -> dict[str, str]:
    """Digests of what most comparisons filter by; a result that does without one has no tag for it."""
    return {
        f"moclip.digest.{name}": digests[path.as_posix()] for name, path in named.items() if path.as_posix() in digests
    }
