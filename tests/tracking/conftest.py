"""Tracking servers that the tests of this directory share: to start one takes ten seconds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from moclip.predict.bundle import Pipeline
from moclip.tracking.store import Store, store_at
from tests.support.faults import Proxy
from tests.support.tracking import mlflow_server, postgresql
from tests.support.trained import pipeline


@pytest.fixture(scope="session")
def sqlite_server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow server` on SQLite."""
    directory = tmp_path_factory.mktemp("server")
    shutil.copy(migrated, directory)
    with mlflow_server(f"sqlite:///{directory / migrated.name}", directory) as url:
        yield url


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """PostgreSQL."""
    with postgresql() as address:
        yield address


@pytest.fixture(scope="session")
def postgresql_server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow server` on PostgreSQL."""
    with mlflow_server(database, tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def store(proxy: Proxy, tmp_path: Path) -> Iterator[Store]:
    """A store behind the proxy of the test's file, which is whole again afterwards."""
    yield store_at(tmp_path, proxy.url)
    proxy.heal()


@pytest.fixture
def client(store: Store) -> MlflowClient:
    """MLflow's own view of the store."""
    return MlflowClient(tracking_uri=store.uri, registry_uri=store.uri)


@pytest.fixture
def models(trained: Path) -> Pipeline:
    """Models that were really trained."""
    return pipeline(trained)
