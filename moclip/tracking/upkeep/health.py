"""What `moclip doctor` asks of MLflow, without importing it: does the store answer, and is what `@best` names there?"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import requests

from moclip.tracking import tags
from moclip.tracking.failures import is_of_transport
from moclip.tracking.store import Store, connect_once, first_line
from moclip.tracking.upkeep.moved import is_home, local_path

ASK_S = 5
TRACK = "dvc repro track"
_RESULT = "result.json"
_BEST = """
    SELECT a.name, a.version, v.current_stage, t.value, m.lifecycle_stage, m.status, m.artifact_location
    FROM registered_model_aliases a
    LEFT JOIN model_versions v ON v.name = a.name AND v.version = a.version
    LEFT JOIN model_version_tags t ON t.name = a.name AND t.version = a.version AND t.key = ?
    LEFT JOIN logged_models m ON m.model_id = t.value
    WHERE a.alias = ? AND a.name LIKE 'moclip-%'
"""


def faults(store: Store, pending: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with the tracking of a repository, each with its remedy; nothing where all is well.

    Args:
        store: Where `track` writes.
        pending: Where it keeps what a server could not take.
    """
    try:
        yield from _of_file(store) if store.is_file else _of_server(store)
    except Exception as error:  # of the library that carries the question
        if not isinstance(error, OSError) and not is_of_transport(error):
            raise
        reason = first_line(error, store.uri)
        yield f"{store.shown} does not answer ({reason})", "bring it back, or change MLFLOW_TRACKING_URI"
    waiting = sum(1 for _ in pending.glob(f"*/*/{_RESULT}")) + sum(1 for _ in pending.glob(f"*/{_RESULT}"))
    if waiting:
        yield f"{waiting} results wait in {pending} for a server", TRACK


def _of_file(store: Store) -> Iterator[tuple[str, str]]:
    if not store.file.is_file():
        return
    if not is_home(store):
        yield "the repository was moved or copied, and MLflow's files are listed where it was", TRACK
        return
    with closing(sqlite3.connect(f"{store.file.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
        known = database.execute("SELECT name FROM sqlite_master WHERE name = 'logged_models'").fetchone()
        rows = database.execute(_BEST, (tags.MODEL, tags.BEST)).fetchall() if known else []
    for name, version, stage, model, lifecycle, status, place in rows:
        uri = f"models:/{name}@{tags.BEST}"
        if stage in (None, "Deleted_Internal"):
            yield f"{uri} names version {version}, which was deleted", TRACK
        elif model is not None and (lifecycle != "active" or status != 2):
            yield f"{uri} names a model that was deleted", TRACK
        elif place and (path := local_path(place)) is not None and not (path / "MLmodel").is_file():
            yield f"{uri} names a model whose files are gone from {path}", TRACK


def _of_server(store: Store) -> Iterator[tuple[str, str]]:
    if not store.uri.startswith("http"):
        connect_once(store.uri)
        return
    answer = requests.post(
        f"{store.uri.rstrip('/')}/api/2.0/mlflow/experiments/search", json={"max_results": 1}, timeout=ASK_S
    )
    if not answer.ok or "json" not in answer.headers.get("Content-Type", ""):
        yield (
            f"{store.shown} answers with status {answer.status_code}, and not as MLflow does",
            "correct MLFLOW_TRACKING_URI, or ask who keeps the server",
        )
