"""A repository that was moved or copied: MLflow stores every place of an artifact absolute, so they point elsewhere.

Only the database inside the repository is mended, and only places that moclip gave them: below `mlartifacts` of the
repository as it was called then. A place stays as it is where the files are there, and not here.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from moclip.tracking.store import Store

# Table, its key, and the column with a place.
_PLACES = (
    ("experiments", "experiment_id", "artifact_location"),
    ("runs", "run_uuid", "artifact_uri"),
    ("logged_models", "model_id", "artifact_location"),
    ("model_versions", "rowid", "source"),
    ("model_versions", "rowid", "storage_location"),
)


def local_path(place: str) -> Path | None:
    """The path that an artifact's place means on this machine; None where it is a server's."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(place) if place.startswith("/") else None


def bring_home(store: Store) -> int:
    """Point the places of a database at the repository that it lies in; returns how many were mended."""
    if not _is_own(store):
        return 0
    with closing(sqlite3.connect(store.file, timeout=30)) as database:
        found = [
            (table, key, column, identity, home)
            for table, key, column in _PLACES
            for identity, place in _rows(database, table, key, column)
            if (home := _home(str(place), store)) is not None
        ]
        for table, key, column, identity, home in found:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (home, identity))
        database.commit()
    return len(found)


def is_home(store: Store) -> bool:
    """Whether there is nothing to mend."""
    if not _is_own(store):
        return True
    with closing(sqlite3.connect(f"{store.file.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
        rows = [row for place in _PLACES for row in _rows(database, *place)]
    return not any(_home(str(place), store) for _, place in rows)


def _is_own(store: Store) -> bool:
    if not store.is_file or store.artifacts is None:
        return False
    return store.file.is_file() and store.lock.parent.resolve() in store.file.resolve().parents


def _rows(database: sqlite3.Connection, table: str, key: str, column: str) -> list[tuple[object, object]]:
    known = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
    if column not in known:  # a database that MLflow has yet to set up, or to bring up to date
        return []
    wanted = f"SELECT {key}, {column} FROM {table} WHERE {column} LIKE '%/mlartifacts/moclip-%'"
    return list(database.execute(wanted))


def _home(place: str, store: Store) -> str | None:
    """Where a place belongs, unless it is there already or its files are elsewhere alone."""
    head, mark, rest = place.rpartition("/mlartifacts/moclip-")
    assert store.artifacts is not None
    home = f"{store.artifacts.removesuffix('/mlartifacts')}{mark}{rest}"
    if not head.startswith("file:") or _same(place, home):
        return None
    here, there = local_path(home), local_path(place)
    assert here is not None
    assert there is not None
    return home if here.exists() or not there.exists() else None


def _same(one: str, other: str) -> bool:
    return unquote(one) == unquote(other)
