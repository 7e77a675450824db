"""Write a result to MLflow: one parent run, one child run for each head and split.

Files are the truth and MLflow is a view of them, so `record` may run as often as it likes: a result that is there is
left alone, one that is missing or was left half-written is made (again), whichever process comes first. What MLflow
lists is looked at: runs of heads and files that were deleted since are made again.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, Metric, Param, Run

from moclip.base.errors import StoreError
from moclip.tracking import tags
from moclip.tracking.client import locked, uploading
from moclip.tracking.failures import pages
from moclip.tracking.models.files import holds, is_out_of_sight
from moclip.tracking.process import is_alive, is_same
from moclip.tracking.result import Child, Result, verdicts_in
from moclip.tracking.store import Store
from moclip.tracking.view.measures import accuracy, renamed
from moclip.tracking.view.names import base_of, name_against
from moclip.tracking.view.notes import note_tags, set_all
from moclip.tracking.view.page import share_view

# MLflow's own limits: longer values are refused or cut by the server, larger requests refused.
MAX_PARAM_CHARACTERS = 6000
MAX_TAG_CHARACTERS = 8000
PARAMS_PER_REQUEST = 100
METRICS_PER_REQUEST = 1000
ENVIRONMENT = "environment.json"  # the last file of a run
COUNTS = ("n_test", "n_groups", "n_classes", "correct")  # of a head on a split: tags, since no chart is about them

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorded:
    """The parent run of a result, whether this call made it, and its name."""

    run_id: str
    created: bool
    variant: str


def record(result: Result, store: Store, command: str | None = None) -> Recorded:
    """Make sure that the store shows this result exactly once.

    Runs that an interrupted call left half-written are made again. Of this clone's live runs, those of this command
    are deleted, and those whose command has ended.

    Args:
        result: What to show.
        store: Where to.
        command: The process that this result's trainings were started by and have ended under, as a tag.

    Raises:
        StoreError: a value is over MLflow's limits, an artifact is missing, or the store is busy.
        ServerError: the store is down or refuses.
    """
    _check(result)
    with locked(store) as client:
        experiment = experiment_of(client, result.dataset, store)
        share_view(client, experiment)
        identity = str(experiment.experiment_id)
        recorded = _record(client, identity, named(client, identity, result))
        _delete_live(client, identity, store.clone, command)
        return recorded


def _record(client: MlflowClient, experiment: str, result: Result) -> Recorded:
    found = list(pages(client.search_runs, [experiment], f"tags.`{tags.KEY}` = '{result.key}'"))
    if complete := [run for run in found if tags.COMPLETE in run.data.tags]:
        _name_experiment(client, found, result.dvc_experiment)
        _tell_verdicts(client, complete[0], result)
        _bring_to_form(client, complete[0], result)
        _mend(client, complete[0], found, result)
        return Recorded(complete[0].info.run_id, False, complete[0].data.tags.get(tags.VARIANT, result.variant))
    for run in found:
        client.delete_run(run.info.run_id)
    return Recorded(_create(client, experiment, result), True, result.variant)


def _delete_live(client: MlflowClient, experiment: str, clone: str, command: str | None) -> None:
    live = f"tags.`{tags.CLONE}` = '{clone}' and tags.`{tags.KIND}` = 'live'"
    for run in list(pages(client.search_runs, [experiment], live)):
        started_by = run.data.tags[tags.COMMAND]
        if (command and is_same(started_by, command)) or not is_alive(started_by):
            client.delete_run(run.info.run_id)


def _check(result: Result) -> None:
    for kind, values, most in (
        ("parameter", result.params, MAX_PARAM_CHARACTERS),
        ("tag", {**result.tags, **result.verdicts}, MAX_TAG_CHARACTERS),
    ):
        for name, value in values.items():
            if len(value) > most:
                raise StoreError(
                    f"{kind} '{name}': {len(value)} characters, MLflow stores at most {most}; move the value to a file"
                )
    for path in result.artifacts:
        if not path.exists():
            raise StoreError(f"artifact {path}: missing; run `dvc repro` to make it")


def experiment_of(client: MlflowClient, dataset: str, store: Store) -> Experiment:
    """The experiment of a data set, made or brought back where needed."""
    name = tags.experiment_name(dataset)
    found = client.get_experiment_by_name(name)
    if found is None:
        return client.get_experiment(client.create_experiment(name, artifact_location=store.artifacts_of(name)))
    # A name stays taken after a deletion in the UI, so a new result brings the experiment back.
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found


def named(client: MlflowClient, experiment: str, result: Result) -> Result:
    """The result under the name that it has beside the others; these get the present names of metrics on the way."""
    parents = list(pages(client.search_runs, [experiment], f"tags.`{tags.KIND}` = 'result'"))
    for run in parents:
        _rename_metrics(client, run)
    name = name_against(base_of(parents), result.params, result.baseline, result.variant)
    return replace(result, variant=name)


def _rename_metrics(client: MlflowClient, run: Run) -> None:
    """Give a run of an earlier version its metrics under the present names too, so that it stands beside new ones."""
    if not any(name.startswith(accuracy("")) for name in run.data.metrics):
        log_points(client, run.info.run_id, metrics(renamed(run.data.metrics), time_ms=run.info.start_time))


def _name_experiment(client: MlflowClient, runs: Iterable[Run], dvc_experiment: str | None) -> None:
    """Add a DVC experiment that came to a known result, so that it is found under its name too."""
    for run in runs:
        names = run.data.tags.get(tags.EXPERIMENT, "").split()
        if dvc_experiment and dvc_experiment not in names:
            client.set_tag(run.info.run_id, tags.EXPERIMENT, " ".join([*names, dvc_experiment]))


def _tell_verdicts(client: MlflowClient, parent: Run, result: Result) -> None:
    """Bring a known result's verdicts and pages up to date, where papers were put on trial or taken off since."""
    told = verdicts_in(parent.data.tags)
    if told == result.verdicts:
        return
    _log_artifacts(client, parent.info.run_id, result)
    _annotate(client, parent, result)
    for name in told.keys() - result.verdicts.keys():
        client.delete_tag(parent.info.run_id, name)
    for name, words in result.verdicts.items():
        client.set_tag(parent.info.run_id, name, words)


def _annotate(client: MlflowClient, parent: Run, result: Result) -> None:
    run_id = parent.info.run_id
    set_all(lambda name, value: client.set_tag(run_id, name, value), note_tags(parent.data.tags, result.note))


def _bring_to_form(client: MlflowClient, parent: Run, result: Result) -> None:
    """Bring a complete result of an earlier version to the present names of metrics, with its note and its counts."""
    if parent.data.tags.get(tags.FORM) == tags.FORM_NOW:
        return
    run_id = parent.info.run_id
    log_points(client, run_id, metrics(result.summary, time_ms=parent.info.start_time))
    _annotate(client, parent, result)
    set_all(lambda name, value: client.set_tag(run_id, name, value), {**_counts(result), tags.FORM: tags.FORM_NOW})


def _counts(result: Result) -> dict[str, str]:
    """Numbers of test videos, of classes and the like, by split, as tags of the parent run."""
    first = [child for child in result.children if child.head == result.children[0].head]
    told = {name: [child.metrics.get(name) for child in first] for name in COUNTS if name != "correct"}
    return {
        f"moclip.{name}": " + ".join(f"{value:g}" for value in values if value is not None)
        for name, values in told.items()
        if None not in values
    }


def _mend(client: MlflowClient, parent: Run, found: Iterable[Run], result: Result) -> None:
    """Make again what a complete result has lost since: runs of heads, and files."""
    run_id, experiment = parent.info.run_id, parent.info.experiment_id
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == run_id]
    whole = [run for run in children if run.info.status == "FINISHED"]
    there = {(run.data.tags.get(tags.HEAD), run.data.tags.get(tags.SPLIT)) for run in whole}
    for run in children:
        if run not in whole:  # an earlier repair was interrupted
            client.delete_run(run.info.run_id)
    lost = [child for child in result.children if (child.head, str(child.split)) not in there]
    for child in lost:
        names = parent.data.tags.get(tags.EXPERIMENT, "")
        own = {**_shared(result), tags.EXPERIMENT: names or result.dvc_experiment or "", "mlflow.parentRunId": run_id}
        _create_child(client, experiment, result, child, own)
    wanted = {ENVIRONMENT, *(path.name for path in result.artifacts)}
    is_there = is_out_of_sight(client, parent.info.artifact_uri) or holds(
        (file.path for file in client.list_artifacts(run_id)), wanted
    )
    if not is_there:
        _log_artifacts(client, run_id, result)
    if lost or not is_there:
        what = [f"{len(lost)} runs of heads"] * bool(lost) + ["its files"] * (not is_there)
        log.warning("MLflow: run %s had lost %s; made again", run_id, " and ".join(what))


def _shared(result: Result) -> dict[str, str]:
    return {
        **result.tags,
        tags.KEY: result.key,
        tags.VARIANT: result.variant,
        tags.EXPERIMENT: result.dvc_experiment or "",
    }


def _create(client: MlflowClient, experiment: str, result: Result) -> str:
    shared = _shared(result)
    own = {**shared, **result.verdicts, **note_tags({}, result.note), **_counts(result)}
    own |= {tags.KIND: "result", tags.FORM: tags.FORM_NOW}
    parent = _start(client, experiment, result.variant, own, result.started_ms)
    # What an earlier version kept for a server that was down has its names.
    _log(client, parent, result.params, metrics({**renamed(result.summary), **result.summary}))
    for child in result.children:
        _create_child(client, experiment, result, child, {**shared, "mlflow.parentRunId": parent})
    _log_data(client, parent, result.data, result.data_names)
    _log_artifacts(client, parent, result)
    client.set_terminated(parent, end_time=result.ended_ms)
    client.set_tag(parent, tags.COMPLETE, "true")
    return parent


def _create_child(
    client: MlflowClient, experiment: str, result: Result, child: Child, shared: Mapping[str, str]
) -> None:
    counts = {f"moclip.{name}": f"{child.metrics[name]:g}" for name in COUNTS if name in child.metrics}
    figures = {name: value for name, value in child.metrics.items() if name not in (*COUNTS, "split")}
    own = {**shared, **tags.of_head(child.head, child.split), **counts, tags.KIND: "head"}
    run = _start(client, experiment, tags.run_name(result.variant, child.head, child.split), own, result.started_ms)
    curves = [metrics({name: value}, epoch) for name, points in child.curves.items() for epoch, value in points]
    # The UI's filters see a run's own parameters only, so children repeat them.
    _log(client, run, result.params, [*metrics(figures), *chain.from_iterable(curves)])
    _log_data(client, run, child.data, result.data_names)
    client.set_terminated(run, end_time=result.ended_ms)


def _start(client: MlflowClient, experiment: str, name: str, own: Mapping[str, str], started_ms: int | None) -> str:
    run = client.create_run(experiment, run_name=name, tags=dict(own), start_time=started_ms)
    return str(run.info.run_id)


def metrics(values: Mapping[str, float], step: int = 0, time_ms: int | None = None) -> list[Metric]:
    """One point for each value; its time is now where none is known, as in a history."""
    time_ms = int(time.time() * 1000) if time_ms is None else time_ms
    return [Metric(name, float(value), time_ms, step) for name, value in values.items()]


def _log(client: MlflowClient, run: str, params: Mapping[str, str], points: list[Metric]) -> None:
    for few_params in _batches((Param(*item) for item in params.items()), PARAMS_PER_REQUEST):
        client.log_batch(run, params=few_params)
    log_points(client, run, points)


def log_points(client: MlflowClient, run: str, points: Iterable[Metric]) -> None:
    """Log any number of points."""
    for few_points in _batches(points, METRICS_PER_REQUEST):
        client.log_batch(run, metrics=few_points)


def _batches(items: Iterable[Any], size: int) -> Iterable[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _log_data(client: MlflowClient, run: str, data: Mapping[str, str], names: Mapping[str, str]) -> None:
    inputs = [
        DatasetInput(
            Dataset(names.get(path, path), digest=digest, source_type="dvc", source=json.dumps({"path": path})),
            tags=[InputTag("mlflow.data.context", "pipeline")],
        )
        for path, digest in data.items()
    ]
    if inputs:
        client.log_inputs(run, datasets=inputs)


def _log_artifacts(client: MlflowClient, run: str, result: Result) -> None:
    for path in result.artifacts:
        with uploading(path):
            if path.is_dir():
                client.log_artifacts(run, str(path), artifact_path=path.name)
            else:
                client.log_artifact(run, str(path))
    client.log_dict(run, dict(result.environment), ENVIRONMENT)
