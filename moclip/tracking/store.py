"""Where MLflow keeps runs: a database in the repository or a server, reached by one process at a time."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock, Timeout

from moclip.base.errors import StoreError

# MLflow reads these while it is imported. Nothing is reported to anyone, and a server that is down
# is given up after seconds instead of minutes (unless the user has set it otherwise).
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

LOCK_TIMEOUT_S = 120


class ServerError(StoreError):
    """The tracking server or the database cannot be reached, or refuses."""


@dataclass(frozen=True)
class Store:
    """Where runs go: `artifacts` is None where a server chooses; all writers of a clone share `lock`."""

    uri: str
    artifacts: str | None
    lock: Path

    @property
    def is_file(self) -> bool:
        """Whether this is a database file rather than a server, which may be down for a while."""
        return self.uri.startswith("sqlite:")

    @property
    def shown(self) -> str:
        """The address without a password, for messages."""
        return _without_password(self.uri)


def store_at(root: Path, uri: str | None = None) -> Store:
    """The store for the repository `root`: SQLite inside it unless `uri` says otherwise.

    A relative SQLite path counts from `root`, never from the working directory: a temporary copy of
    the repository takes its database along when it is removed. `postgresql://` means the driver that
    is installed: SQLAlchemy 2.1 takes it for psycopg 3 alone.
    """
    uri = uri or "sqlite:///mlflow.db"
    if find_spec("psycopg") is None:
        uri = re.sub("^postgresql://", "postgresql+psycopg2://", uri)
    prefix, _, path = uri.partition("sqlite:///")
    if not prefix and path:
        uri = f"sqlite:///{root / path}"
    remote = uri.startswith(("http://", "https://"))
    artifacts = None if remote else (root / "mlartifacts").as_uri()
    return Store(uri, artifacts, root / "mlflow.db.lock")


def prepare(store: Store) -> None:
    """Set up a fresh database, so that the UI can open it while results come in."""
    with turn(store):
        MlflowClient(tracking_uri=store.uri).search_experiments(max_results=1)


@contextmanager
def turn(store: Store) -> Iterator[None]:
    """Hold the lock of the store; what goes wrong inside becomes a message."""
    store.lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(store.lock, timeout=LOCK_TIMEOUT_S):
            _connect(store.uri)
            yield
    except Timeout as error:
        raise StoreError(
            f"{store.lock}: held by another process for {LOCK_TIMEOUT_S} s; end that one, then run `dvc repro track`"
        ) from error
    except (MlflowException, SQLAlchemyError, ModuleNotFoundError) as error:
        raise ServerError(
            f"MLflow at {store.shown} failed ({first_line(error)}); all result files are safe: "
            "bring the store back or change MLFLOW_TRACKING_URI, then run `dvc repro track`"
        ) from error


def _connect(uri: str) -> None:
    """Connect once to a database server: MLflow tries for 100 s before it says what is wrong."""
    if not uri.startswith(("postgresql", "mysql", "mssql")):
        return
    url = make_url(uri)
    if url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": "10"})
    create_engine(url, poolclass=NullPool).connect().close()


def first_line(error: Exception) -> str:
    """What an error says first, without a password."""
    return _without_password(str(error).strip().partition("\n")[0][:300])


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)
