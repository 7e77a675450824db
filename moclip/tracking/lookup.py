"""Whether MLflow shows a result already, asked without MLflow: `track` always runs, and MLflow's import takes seconds.

A database file is read with sqlite3, a server is asked over its REST API. In any doubt the answer is None, and MLflow
itself finds out.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from moclip.heads.registry import MAIN
from moclip.tracking.result import (
    ALIAS,
    CLONE_TAG,
    COMPLETE_TAG,
    EXPERIMENT_TAG,
    KEY_TAG,
    MODEL_TAG,
    Result,
    experiment_name,
    registered_name,
)
from moclip.tracking.store import Store

_TAGS = """
    SELECT run_uuid, key, value FROM tags JOIN runs USING (run_uuid) JOIN experiments e USING (experiment_id)
    WHERE e.name = ? AND e.lifecycle_stage = 'active' AND runs.lifecycle_stage = 'active'
    AND run_uuid IN (SELECT run_uuid FROM tags WHERE (key, value) IN ((?, ?), (?, ?)))
"""
_READY_MODELS = """
    SELECT model_id FROM logged_models m JOIN experiments e USING (experiment_id)
    WHERE e.name = ? AND m.lifecycle_stage = 'active' AND m.status = 2
"""
_BEST = "SELECT 1 FROM registered_model_aliases WHERE name = ? AND alias = ?"
Seen = tuple[dict[str, dict[str, str]], set[str], bool]


def shown_run(result: Result, store: Store) -> str | None:
    """The parent run of a result of which nothing is left to do; None where something may be."""
    look = _look_into_file if store.is_file else _ask_server
    try:
        runs, ready_models, best_is_named = look(result, store)
    except (sqlite3.Error, requests.RequestException, LookupError, ValueError):
        return None
    own = {run: tags for run, tags in runs.items() if tags.get(KEY_TAG) == result.key}
    if len(own) < len(runs):  # a live run is there, which may be one to delete
        return None
    if result.dvc_experiment and any(
        result.dvc_experiment not in tags[EXPERIMENT_TAG].split() for tags in own.values()
    ):
        return None
    served = any(child.head == MAIN for child in result.children)
    for run, tags in own.items():
        if COMPLETE_TAG in tags and (not served or (best_is_named and tags.get(MODEL_TAG) in ready_models)):
            return run
    return None


def _look_into_file(result: Result, store: Store) -> Seen:
    address = Path(store.uri.removeprefix("sqlite:///")).as_uri() + "?mode=ro"
    name = experiment_name(result.dataset)
    with closing(sqlite3.connect(address, uri=True, timeout=1)) as database:
        runs: dict[str, dict[str, str]] = {}
        for run, key, value in database.execute(_TAGS, (name, KEY_TAG, result.key, CLONE_TAG, store.clone)):
            runs.setdefault(run, {})[key] = value
        ready = {model for (model,) in database.execute(_READY_MODELS, (name,))}
        named = database.execute(_BEST, (registered_name(result.dataset), ALIAS)).fetchone()
    return runs, ready, named is not None


def _ask_server(result: Result, store: Store) -> Seen:
    def ask(what: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = requests.post(f"{store.uri}/api/2.0/mlflow/{what}/search", json=body, timeout=5)
        answer.raise_for_status()
        return answer.json()

    condition = f"name = '{experiment_name(result.dataset)}'"
    (experiment,) = ask("experiments", {"filter": condition, "max_results": 1})["experiments"]
    within = {"experiment_ids": [experiment["experiment_id"]]}
    mine, live = f"tags.`{KEY_TAG}` = '{result.key}'", f"tags.`{CLONE_TAG}` = '{store.clone}'"
    runs = [run for wanted in (mine, live) for run in ask("runs", {**within, "filter": wanted}).get("runs", [])]
    models = ask("logged-models", {**within, "filter": mine}).get("models", [])
    best = {"name": registered_name(result.dataset), "alias": ALIAS}
    named = requests.get(f"{store.uri}/api/2.0/mlflow/registered-models/alias", best, timeout=5)
    return (
        {run["info"]["run_id"]: {tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs},
        {model["info"]["model_id"] for model in models if model["info"]["status"] == "LOGGED_MODEL_READY"},
        named.ok,
    )
