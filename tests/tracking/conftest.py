"""Tracking servers that the tests of this directory share: to start one takes ten seconds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tracking import mlflow_server, postgresql


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
