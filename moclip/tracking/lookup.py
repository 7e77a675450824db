"""Whether MLflow shows a result already, asked without MLflow: `track` always runs, and MLflow's import takes seconds.

A database file is read with sqlite3, a server is asked over its REST API. What is listed is looked at: runs of heads,
files, and the model that `@best` names. In any doubt the answer is None, and MLflow itself finds out.
"""

import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moclip.heads.registry import MAIN
from moclip.tracking import tags
from moclip.tracking.result import Result, verdicts_in
from moclip.tracking.store import Store
from moclip.tracking.upkeep.moved import is_home, local_path

ASK_S = 5  # seconds to wait for an answer
_TAGS = """
    SELECT run_uuid, key, value, artifact_uri
    FROM tags JOIN runs USING (run_uuid) JOIN experiments e USING (experiment_id)
    WHERE e.name = ? AND e.lifecycle_stage = 'active' AND runs.lifecycle_stage = 'active'
    AND run_uuid IN (SELECT run_uuid FROM tags WHERE (key, value) IN ((?, ?), (?, ?)))
"""
_MODELS = "SELECT model_id, artifact_location FROM logged_models WHERE lifecycle_stage = 'active' AND status = 2"
_BEST = """
    SELECT t.value FROM registered_model_aliases a JOIN model_versions v USING (name, version)
    JOIN model_version_tags t USING (name, version)
    WHERE a.name = ? AND a.alias = ? AND t.key = ? AND v.current_stage != 'Deleted_Internal'
"""


@dataclass
class Found:
    """Tags by run, of the result's runs and the clone's live ones; and which runs and models have their files.

    `best` is the id of the model that the alias names, None where nothing has the alias.
    """

    runs: dict[str, dict[str, str]]
    with_files: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    best: str | None = None


def shown_run(result: Result, store: Store) -> str | None:
    """The parent run of a result of which nothing is left to do; None where something may be."""
    try:
        found = (_look_into_file if store.is_file else _ask_server)(result, store)
    except (sqlite3.Error, LookupError, ValueError, TypeError, OSError):  # OSError: those of requests are of its kind
        return None
    experiment, needs_model = result.dvc_experiment or "", any(child.head == MAIN for child in result.children)
    for own in found.runs.values():
        if tags.KEY not in own or experiment not in ["", *own[tags.EXPERIMENT].split()]:
            return None  # a live run, or one that does not name the experiment
    return next((run for run in found.runs if _is_whole(run, result, found, needs_model)), None)


def _is_whole(run: str, result: Result, found: Found, needs_model: bool) -> bool:
    own = found.runs[run]
    if tags.COMPLETE not in own or own.get(tags.FORM) != tags.FORM_NOW:
        return False
    if verdicts_in(own) != result.verdicts or run not in found.with_files:
        return False
    children = [tag for tag in found.runs.values() if tag.get("mlflow.parentRunId") == run]
    there = {(tag.get(tags.HEAD), tag.get(tags.SPLIT)) for tag in children}
    if not {(child.head, str(child.split)) for child in result.children} <= there:
        return False
    return not needs_model or {own.get(tags.MODEL), found.best} <= found.models


def _look_into_file(result: Result, store: Store) -> Found:
    if not is_home(store):
        raise LookupError
    wanted = (tags.experiment_name(result.dataset), tags.KEY, result.key, tags.CLONE, store.clone)
    runs: dict[str, dict[str, str]] = defaultdict(dict)
    places: dict[str, str] = {}
    with closing(sqlite3.connect(f"{store.file.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
        for run, key, value, place in database.execute(_TAGS, wanted):
            runs[run][key], places[run] = value, place
        models = dict(database.execute(_MODELS).fetchall())
        name = tags.registered_name(result.dataset, result.identity)
        best = database.execute(_BEST, (name, tags.BEST, tags.MODEL)).fetchone()
    files = _names(result)
    return Found(
        runs,
        {run for run, place in places.items() if _has(place, files)},
        {model for model, place in models.items() if _has(place, ("MLmodel", "data"))},
        best and best[0],
    )


def _names(result: Result) -> list[str]:
    return ["environment.json", *(path.name for path in result.artifacts)]


def _has(place: str, names: Any) -> bool:
    path = local_path(place)
    return path is not None and all((path / name).exists() for name in names)


def _ask_server(result: Result, store: Store) -> Found:
    import requests

    api = f"{store.uri.rstrip('/')}/api/2.0/mlflow"

    def search(what: str, **body: Any) -> Any:
        answer = requests.post(f"{api}/{what}/search", json=body, timeout=ASK_S)
        answer.raise_for_status()
        return answer.json().get(what.removeprefix("logged-"), [])

    def get(what: str, **query: str) -> Any:
        answer = requests.get(f"{api}/{what}", query, timeout=ASK_S)
        answer.raise_for_status()
        return answer.json()

    def has(listed: Any, names: Any) -> bool:
        return set(names) <= {Path(file["path"]).name for file in listed.get("files", [])}

    own, live = f"tags.`{tags.KEY}` = '{result.key}'", f"tags.`{tags.CLONE}` = '{store.clone}'"
    name = f"name = '{tags.experiment_name(result.dataset)}'"
    ids = [found["experiment_id"] for found in search("experiments", filter=name, max_results=1)]
    runs = [run for wanted in (own, live) for run in search("runs", experiment_ids=ids, filter=wanted)]
    found = Found({run["info"]["run_id"]: {tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs})
    complete = [run for run, of_run in found.runs.items() if tags.COMPLETE in of_run]
    found.with_files = {run for run in complete if has(get("artifacts/list", run_id=run), _names(result))}
    models = {of_run[tags.MODEL] for run, of_run in found.runs.items() if run in complete and tags.MODEL in of_run}
    if models:
        alias = {"name": tags.registered_name(result.dataset, result.identity), "alias": tags.BEST}
        version = get("registered-models/alias", **alias)["model_version"]
        found.best = {tag["key"]: tag["value"] for tag in version["tags"]}[tags.MODEL]
        for model in {*models, found.best}:
            is_ready = get(f"logged-models/{model}")["model"]["info"]["status"] == "LOGGED_MODEL_READY"
            if is_ready and has(get(f"logged-models/{model}/artifacts/directories"), ("MLmodel", "data")):
                found.models.add(model)
    return found
