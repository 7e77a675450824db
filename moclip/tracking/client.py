"""The door to MLflow: a client whose failures are messages, and the lock that the writers of a clone share."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from moclip.base.errors import MoclipError, StoreError
from moclip.tracking.failures import is_of_transport
from moclip.tracking.store import ServerError, Store, connect_once, first_line
from moclip.tracking.upkeep.moved import bring_home

LOCK_TIMEOUT_S = 120
UPLOAD_S, UPLOAD_BYTES_PER_S = 120, 250_000
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"  # of the next request; `moclip.tracking` sets it where nobody has
# Often enough for a training of half a minute; MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL overrides it.
SAMPLE_S = 5.0


@contextmanager
def locked(store: Store) -> Iterator[MlflowClient]:
    """A client for the one process of this clone that holds the store's lock.

    The lock covers the set-up of a fresh database too, which fails where several processes begin it.

    Raises:
        StoreError: another process holds the lock for too long; with a server, which may be slow, a ServerError.
        ServerError: the store is down or refuses what the block asks.
    """
    store.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(store.lock, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise (StoreError if store.is_file else ServerError)(
            f"{store.lock}: held by another process for {LOCK_TIMEOUT_S} s; end that one, then run `dvc repro track`"
        ) from error
    try:
        with connected(store) as client:
            bring_home(store)
            yield client
    finally:
        lock.release()


@contextmanager
def connected(store: Store) -> Iterator[MlflowClient]:
    """A client of a store that is set up.

    Raises:
        ServerError: the store is down or refuses what the block asks.
    """
    try:
        connect_once(store.uri)
        yield MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)
    except MoclipError:
        raise
    except Exception as error:  # of a dozen libraries, some of them not installed
        if not is_of_transport(error):
            raise
        raise ServerError(
            f"MLflow at {store.shown} failed ({first_line(error, store.uri)}); all result files are safe: "
            "bring the store back or change MLFLOW_TRACKING_URI, then run `dvc repro track`"
        ) from error


def answers(store: Store) -> bool:
    """Whether the store answers a small question."""
    try:
        with connected(store) as client:
            client.search_experiments(max_results=1)
    except ServerError:
        return False
    return True


@contextmanager
def uploading(path: Path) -> Iterator[None]:
    """Give a server longer for files than for questions: as long as a slow line takes for the largest of them."""
    largest = max((file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file()), default=0)
    asked, wanted = int(os.environ[_TIMEOUT]), math.ceil(UPLOAD_S + largest / UPLOAD_BYTES_PER_S)
    os.environ[_TIMEOUT] = str(max(asked, wanted))
    try:
        yield
    finally:
        os.environ[_TIMEOUT] = str(asked)


@contextmanager
def machine_load(store: Store, run: str) -> Iterator[None]:
    """Log the load of this machine as metrics of a run, from a thread, until the block ends."""
    monitor = SystemMetricsMonitor(run, sampling_interval=SAMPLE_S, tracking_uri=store.uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()
