"""Whether MLflow shows a result already, asked without MLflow: `track` always runs, and MLflow's import takes seconds.

A database file is read with sqlite3, a server is asked over its REST API. In any doubt the answer is None, and MLflow
itself finds out.
"""

import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from moclip.heads.registry import MAIN
from moclip.tracking import tags
from moclip.tracking.result import Result, verdicts_in
from moclip.tracking.store import Store

Found = tuple[dict[str, dict[str, str]], set[str]]
"""Tags by run, of the result's runs and the clone's live ones; and complete models, if the best one has its alias."""
_TAGS = """
    SELECT run_uuid, key, value FROM tags JOIN runs USING (run_uuid) JOIN experiments e USING (experiment_id)
    WHERE e.name = ? AND e.lifecycle_stage = 'active' AND runs.lifecycle_stage = 'active'
    AND run_uuid IN (SELECT run_uuid FROM tags WHERE (key, value) IN ((?, ?), (?, ?)))
"""
_MODELS = """
    SELECT model_id FROM logged_models WHERE lifecycle_stage = 'active' AND status = 2
    AND EXISTS (SELECT * FROM registered_model_aliases WHERE name = ? AND alias = ?)
"""


def shown_run(result: Result, store: Store) -> str | None:
    """The parent run of a result of which nothing is left to do; None where something may be."""
    try:
        runs, models = (_look_into_file if store.is_file else _ask_server)(result, store)
    except (sqlite3.Error, requests.RequestException, LookupError, ValueError):
        return None
    experiment, needs_model = result.dvc_experiment or "", any(child.head == MAIN for child in result.children)
    for own in runs.values():
        if tags.KEY not in own or experiment not in ["", *own[tags.EXPERIMENT].split()]:
            return None  # a live run, or one that does not name the experiment
    whole = [run for run, own in runs.items() if tags.COMPLETE in own and verdicts_in(own) == result.verdicts]
    return next((run for run in whole if not needs_model or runs[run].get(tags.MODEL) in models), None)


def _look_into_file(result: Result, store: Store) -> Found:
    address = Path(store.uri.removeprefix("sqlite:///")).as_uri() + "?mode=ro"
    wanted = (tags.experiment_name(result.dataset), tags.KEY, result.key, tags.CLONE, store.clone)
    runs: dict[str, dict[str, str]] = defaultdict(dict)
    with closing(sqlite3.connect(address, uri=True, timeout=1)) as database:
        for run, key, value in database.execute(_TAGS, wanted):
            runs[run][key] = value
        models = database.execute(_MODELS, (tags.registered_name(result.dataset), tags.BEST)).fetchall()
    return runs, {model for (model,) in models}


def _ask_server(result: Result, store: Store) -> Found:
    api = f"{store.uri}/api/2.0/mlflow"

    def search(what: str, **body: Any) -> Any:
        answer = requests.post(f"{api}/{what}/search", json=body, timeout=5)
        answer.raise_for_status()
        return answer.json().get(what.removeprefix("logged-"), [])

    own, live = f"tags.`{tags.KEY}` = '{result.key}'", f"tags.`{tags.CLONE}` = '{store.clone}'"
    name = f"name = '{tags.experiment_name(result.dataset)}'"
    ids = [found["experiment_id"] for found in search("experiments", filter=name, max_results=1)]
    runs = [run for wanted in (own, live) for run in search("runs", experiment_ids=ids, filter=wanted)]
    models = [model["info"] for model in search("logged-models", experiment_ids=ids, filter=own)]
    best = {"name": tags.registered_name(result.dataset), "alias": tags.BEST}
    has_best = requests.get(f"{api}/registered-models/alias", best, timeout=5).ok
    return (
        {run["info"]["run_id"]: {tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in runs},
        {model["model_id"] for model in models if has_best and model["status"] == "LOGGED_MODEL_READY"},
    )
