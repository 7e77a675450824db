"""The MLflow view of a result: one parent run, one child run per head and split.

Files are the truth and the tracking store is a view of them, so `record` may run as often as it
likes: a result that is there is left alone, one that is missing or was left half-written is made
(again), whichever process comes first.
"""

from moclip.tracking.store import Store, turn  # first: it sets what MLflow reads while it is imported

# isort: split

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
)

from moclip.base.errors import StoreError
from moclip.tracking.followers import Curves, Ended, Followers, Point, same_training

KEY_TAG = "moclip.result"
KIND_TAG = "moclip.kind"
COMPLETE_TAG = "moclip.complete"
EXPERIMENT_TAG = "moclip.dvc_experiments"
LIVE_TAG = "moclip.live"
CLONE_TAG = "moclip.clone"
HEAD_TAG = "moclip.head"
SPLIT_TAG = "moclip.split"
VARIANT_TAG = "moclip.variant"

# MLflow's own limits: longer values are refused or cut by the server, larger requests refused.
MAX_PARAM_CHARACTERS = 6000
MAX_TAG_CHARACTERS = 8000
PARAMS_PER_REQUEST = 100
METRICS_PER_REQUEST = 1000
# A follower that a training left behind has little to do, unless the store hangs.
FOLLOWER_TIMEOUT_S = 30


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

    `data` maps the name of a data file to its digest, `environment` is JSON-able, `artifacts` are
    files, and directories that keep their name.
    """

    dataset: str
    key: str
    variant: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    summary: Mapping[str, float]
    children: Sequence[Child]
    dvc_experiment: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()


@dataclass(frozen=True)
class Recorded:
    """The parent run of a result, and whether this call made it."""

    run_id: str
    created: bool


def variant_name(params: Mapping[str, str], baseline: Mapping[str, str], most: int = 3) -> str:
    """What a person would call this run: how it differs from the baseline, `base` if it does not.

    >>> variant_name({"fusion.hidden": "256", "seed": "0"}, {"fusion.hidden": "64", "seed": "0"})
    'fusion.hidden=256'
    """
    names = sorted(params.keys() | baseline.keys())
    changed = [name for name in names if params.get(name) != baseline.get(name)]
    shown = [f"{name}={_brief(params.get(name, 'absent'))}" for name in changed[:most]]
    if len(changed) > most:
        shown.append(f"{len(changed) - most} more")
    return ", ".join(shown) or "base"


def _brief(value: str, most: int = 40) -> str:
    value = value.replace('"', "").replace(" ", "")
    return value if len(value) <= most else value[: most - 1] + "…"


def record(result: Result, store: Store, followers: Followers | None = None) -> Recorded:
    """Make sure that the store shows this result exactly once.

    Runs that an interrupted call left behind are deleted first. Writers of one clone take turns,
    which also covers the set-up of a fresh database: MLflow's fails where several begin at once.
    A run in which a follower of this clone showed a training of the result becomes its child.

    Raises:
        StoreError: a value is over MLflow's limits, an artifact is missing, or the store is busy.
        ServerError: the store is down or refuses.
    """
    _check(result)
    if followers:
        ending = [name for name, ended in followers.ended().items() if _child_of(result, ended)]
        followers.wait(ending, FOLLOWER_TIMEOUT_S)
    with turn(store):
        return _record(result, store, followers)


def _check(result: Result) -> None:
    for kind, values, most in (
        ("parameter", result.params, MAX_PARAM_CHARACTERS),
        ("tag", result.tags, MAX_TAG_CHARACTERS),
    ):
        for name, value in values.items():
            if len(value) > most:
                raise StoreError(
                    f"{kind} '{name}': {len(value)} characters, MLflow stores at most {most}; move the value to a file"
                )
    for path in result.artifacts:
        if not path.exists():
            raise StoreError(f"artifact {path}: missing; run `dvc repro` to make it")


def _record(result: Result, store: Store, followers: Followers | None) -> Recorded:
    client = MlflowClient(tracking_uri=store.uri)
    experiment = experiment_of(client, result.dataset, store.artifacts)
    found = list(client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{result.key}'"))
    live = _take_over(client, experiment, result, followers) if followers else {}
    complete = [run for run in found if COMPLETE_TAG in run.data.tags]
    if complete:
        _name_experiment(client, found, result.dvc_experiment)
        for run_id in live.values():
            client.delete_run(run_id)
        return Recorded(complete[0].info.run_id, created=False)
    for run in found:
        client.delete_run(run.info.run_id)
    return Recorded(_create(client, experiment, result, live), created=True)


def experiment_of(client: MlflowClient, dataset: str, artifacts: str | None) -> str:
    """Id of the experiment of a data set, made or brought back where needed."""
    name = f"moclip-{dataset}"
    found = client.get_experiment_by_name(name)
    if found is None:
        location = artifacts and f"{artifacts}/{name}"
        return str(client.create_experiment(name, artifact_location=location))
    # A name stays taken after a deletion in the UI, so a new result brings the experiment back.
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _name_experiment(client: MlflowClient, runs: Iterable[Run], dvc_experiment: str | None) -> None:
    """Add a DVC experiment that came to a known result, so that it is found under its name too."""
    for run in runs:
        names = run.data.tags.get(EXPERIMENT_TAG, "").split()
        if dvc_experiment and dvc_experiment not in names:
            client.set_tag(run.info.run_id, EXPERIMENT_TAG, " ".join([*names, dvc_experiment]))


def _child_of(result: Result, shown: Ended) -> Child | None:
    """The child whose training this is."""
    for child in result.children:
        if (child.head, child.split) == (shown.head, shown.split) and same_training(child.curves, shown.curves):
            return child
    return None


def _take_over(
    client: MlflowClient, experiment: str, result: Result, followers: Followers
) -> dict[tuple[str, int], str]:
    """By head and split, the runs that showed the result's trainings to their end, one each; second ones go.

    Runs of followers or trainings that were killed go too, and trainings of the same experiment (or of
    the workspace) that came to no result. What is left alone: runs of living followers, and trainings of
    other experiments, which have their own recorder on the way.
    """
    ended = followers.ended()
    taken: dict[tuple[str, int], str] = {}
    for run in client.search_runs(
        [experiment], f"tags.`{CLONE_TAG}` = '{followers.clone}' and tags.`{KIND_TAG}` = 'live'"
    ):
        name = run.data.tags[LIVE_TAG]
        if followers.is_alive(name) and not (name in ended and _child_of(result, ended[name])):
            continue
        child = _child_of(result, _shown(client, run, result)) if run.info.status == "FINISHED" else None
        if child and (child.head, child.split) not in taken:
            taken[child.head, child.split] = run.info.run_id
        elif child or run.info.status != "FINISHED" or run.data.tags[EXPERIMENT_TAG] == (result.dvc_experiment or ""):
            client.delete_run(run.info.run_id)
    for name, one in ended.items():
        if _child_of(result, one):
            followers.forget(name)
    followers.sweep()
    return taken


def _shown(client: MlflowClient, run: Run, result: Result) -> Ended:
    head, split = run.data.tags[HEAD_TAG], int(run.data.tags[SPLIT_TAG])
    names = {name for child in result.children if (child.head, child.split) == (head, split) for name in child.curves}
    return Ended(head, split, {name: _history(client, run.info.run_id, name) for name in names})


def _history(client: MlflowClient, run: str, name: str) -> list[Point]:
    return [(metric.step, metric.value) for metric in client.get_metric_history(run, name)]


def _create(client: MlflowClient, experiment: str, result: Result, live: Mapping[tuple[str, int], str]) -> str:
    tags = {
        **result.tags,
        KEY_TAG: result.key,
        VARIANT_TAG: result.variant,
        EXPERIMENT_TAG: result.dvc_experiment or "",
    }
    parent = _start(client, experiment, result.variant, {**tags, KIND_TAG: "result"})
    _log(client, parent, result.params, _metrics(result.summary))
    for child in result.children:
        _create_child(client, experiment, parent, result, child, tags, live.get((child.head, child.split)))
    _log_data(client, parent, result.data)
    _log_artifacts(client, parent, result)
    client.set_terminated(parent)
    client.set_tag(parent, COMPLETE_TAG, "true")
    return parent


def _create_child(
    client: MlflowClient,
    experiment: str,
    parent: str,
    result: Result,
    child: Child,
    tags: Mapping[str, str],
    live: str | None,
) -> None:
    own = {**tags, **head_tags(child.head, child.split), KIND_TAG: "head", "mlflow.parentRunId": parent}
    name = run_name(result.variant, child.head, child.split)
    if live:
        client.log_batch(live, tags=[RunTag(*item) for item in own.items()])
        client.update_run(live, name=name)
    run = live or _start(client, experiment, name, own)
    # The UI's filters see a run's own parameters only, so children repeat them.
    _log(client, run, result.params, [*_metrics(child.metrics), *_missing(client, child.curves, live)])
    _log_data(client, run, child.data)
    if not live:
        client.set_terminated(run)


def _missing(client: MlflowClient, curves: Curves, live: str | None) -> Iterator[Metric]:
    """Points that were not shown live."""
    for name, points in curves.items():
        shown = dict(_history(client, live, name)) if live else {}
        yield from _metrics_of(name, [point for point in points if point[0] not in shown])


def head_tags(head: str, split: int) -> dict[str, str]:
    """What tells a run of one head on one split."""
    return {HEAD_TAG: head, SPLIT_TAG: str(split)}


def run_name(variant: str, head: str, split: int) -> str:
    """Name of the run of one head on one split."""
    return f"{variant} / {head} / split {split}"


def _start(client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    return str(client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id)


def _metrics(values: Mapping[str, float]) -> list[Metric]:
    return [metric for name, value in values.items() for metric in _metrics_of(name, [(0, value)])]


def _metrics_of(name: str, points: Iterable[Point]) -> list[Metric]:
    now_ms = int(time.time() * 1000)
    return [Metric(name, float(value), now_ms, step) for step, value in points]


def _log(client: MlflowClient, run: str, params: Mapping[str, str], metrics: list[Metric]) -> None:
    for few_params in _batches((Param(*item) for item in params.items()), PARAMS_PER_REQUEST):
        client.log_batch(run, params=few_params)
    log_metrics(client, run, metrics)


def log_metrics(client: MlflowClient, run: str, metrics: Iterable[Metric]) -> None:
    """Log any number of points."""
    for few_metrics in _batches(metrics, METRICS_PER_REQUEST):
        client.log_batch(run, metrics=few_metrics)


def _batches(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _log_data(client: MlflowClient, run: str, data: Mapping[str, str]) -> None:
    inputs = [
        DatasetInput(
            Dataset(name=name, digest=digest, source_type="dvc", source=json.dumps({"path": name})),
            tags=[InputTag("mlflow.data.context", "pipeline")],
        )
        for name, digest in data.items()
    ]
    if inputs:
        client.log_inputs(run, datasets=inputs)


def _log_artifacts(client: MlflowClient, run: str, result: Result) -> None:
    for path in result.artifacts:
        if path.is_dir():
            client.log_artifacts(run, str(path), artifact_path=path.name)
        else:
            client.log_artifact(run, str(path))
    client.log_dict(run, dict(result.environment), "environment.json")
