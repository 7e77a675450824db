"""Addresses: of a repository whose path holds any character, mistyped ones, and what of them is shown."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from moclip.base.errors import StoreError
from moclip.tracking import tags
from moclip.tracking.lookup import shown_run
from moclip.tracking.models.fetch import fetch_model
from moclip.tracking.publish import publish
from moclip.tracking.record import record
from moclip.tracking.store import first_line, store_at
from moclip.tracking.upkeep.health import faults
from moclip.tracking.upkeep.moved import is_home
from tests.support.trained import pipeline
from tests.tracking.test_record import result as result_of_demo
from tests.tracking.test_registry import pytestmark, quick, result  # noqa: F401

NAMES = (
    "proj%20x",
    "a?b",
    "a#b",
    "100% a+b&c=d",
    "ünï 'q\"",
    "$(touch x)`y`;z",
    "user@host:1",
    "[x]{y}",
    "mlartifacts",
)


@pytest.mark.parametrize("name", NAMES)
def test_database_and_files_are_in_the_repository_whatever_its_path_holds(
    name: str, migrated: Path, tmp_path: Path
) -> None:
    (root := tmp_path / name).mkdir()
    shutil.copy(migrated, root / "mlflow.db")
    (page := root / "report.md").write_text("# Report")
    store = store_at(root)
    made = replace(
        result_of_demo(), children=result_of_demo().children[:1], artifacts=[page], dataset="folder my ü%20?"
    )
    run = record(made, store).run_id
    assert list(tmp_path.iterdir()) == [root]
    assert {path.name for path in root.iterdir()} >= {"mlflow.db", "mlartifacts"}
    assert {path.name for path in root.rglob("mlartifacts/**/*") if path.is_file()} == {"report.md", "environment.json"}
    assert shown_run(made, store) == run
    assert store.shown == f"{root}/mlflow.db"


@pytest.mark.parametrize("uri", ["sqlite:///sub%20x/runs.db", "sqlite:///sub x/runs.db"])
def test_path_in_an_address_is_read_as_the_library_reads_it(uri: str, tmp_path: Path) -> None:
    assert store_at(tmp_path, uri).file == tmp_path / "sub x" / "runs.db"


@pytest.mark.parametrize(
    "uri",
    [
        "htp://host:5000",
        "localhost:5000",
        "host",
        "http:/host",
        "postgres://me:secret@host/runs",
        "postgresql:/me:secret@host/runs",
        "me:secret@host/runs",
        "'http://host:5000'",
        "file:///mlruns",
        "./mlruns",
    ],
)
def test_mistyped_address_is_refused_with_the_forms_that_there_are(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"MLFLOW_TRACKING_URI: .* is no address of .* http://HOST:PORT") as refused:
        store_at(tmp_path, uri)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "uri", ["sqlite://runs.db", "sqlite:runs.db", "sqlite:///", "sqlite:///~/runs.db", "sqlite:///$HOME/runs.db"]
)
def test_address_of_no_file_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="MLFLOW_TRACKING_URI"):
        store_at(tmp_path, uri)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "uri",
    [
        "http://",
        "http://:5000",
        "http://host:50000000",
        "http://host:500O",
        "http://[::1",
        "http://a host:5000",
        "http://me:secret/x@host",
        "http://me:secret#x@host",
        "postgresql://me:secret@host:543Z/runs",
        "postgresql://me:secret",
    ],
)
def test_address_that_cannot_be_read_is_refused_and_nothing_of_it_shown(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be read: its .* write one as http://HOST:PORT") as refused:
        store_at(tmp_path, uri)
    assert "secret" not in str(refused.value)


def test_address_with_a_page_of_the_ui_is_refused_and_capitals_are_read(tmp_path: Path) -> None:
    for uri in ("http://host:5000/#/experiments/1", "http://host:5000/?token=secret"):
        with pytest.raises(StoreError, match=r"leave out `[#?]` and what follows it"):
            store_at(tmp_path, uri)
    assert store_at(tmp_path, "HTTP://Host:5000/base/").uri == "http://Host:5000/base/"
    assert store_at(tmp_path, "SQLite:///runs.db").file == tmp_path / "runs.db"


@pytest.mark.parametrize(
    "uri", ["postgresql://me:my@secret@host/runs", "https://me:my@secret@host", "https://me:my@sec/secret@host/mlflow"]
)
def test_raw_at_in_a_password_is_named_and_no_part_of_it_shown(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="as %40") as refused:
        store_at(tmp_path, uri)
    assert "secret" not in str(refused.value)
    assert "my" not in str(refused.value)
    assert (
        store_at(tmp_path, uri.replace("my@sec", "my%40sec").replace("/secret@", "%2Fsecret@"))
        .shown.partition("://")[2]
        .startswith("host")
    )
    assert "secret" not in repr(store_at(tmp_path, "https://me:secret@host"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to http://a:b@c@h/x failed", "to http://h/x failed"),
        ("no http://h/x here, mail me@host", "no http://h/x here, mail me@host"),
        ("postgresql://h/db?user=u&password=s3cret&x=1", "postgresql://h/db?***"),
        ("sqlite:////home/me@corp/mlflow.db", "sqlite:////home/me@corp/mlflow.db"),
    ],
)
def test_secrets_are_taken_out_of_messages(text: str, shown: str) -> None:
    assert first_line(ValueError(f"{text}\nmore")) == shown


def test_repository_that_was_moved_or_copied_takes_its_files_along(
    migrated: Path, trained: Path, tmp_path: Path
) -> None:
    models, name = pipeline(trained), tags.registered_name("demo", "0123456789abcdef")
    first, second = result("demo", "first", 90.0), result("demo", "second", 95.0)
    (old := tmp_path / "old").mkdir()
    shutil.copy(migrated, old / "mlflow.db")
    publish(first, models, store_at(old), old / "pending", "none")
    shutil.copytree(old, copy := tmp_path / "a copy")
    old.rename(moved := tmp_path / "moved %20")
    for root in (moved, copy):
        store = store_at(root)
        assert not is_home(store)
        assert [remedy for _, remedy in faults(store, root / "pending")] == ["dvc repro track"]
        assert shown_run(first, store) is None
        publish(first, models, store, root / "pending", "none")
        assert list(faults(store, root / "pending")) == []
        assert shown_run(first, store)
        bundle = fetch_model(f"models:/{name}@best", store.uri, root / "cache")
        assert root in bundle.parents
    publish(second, models, store_at(copy), copy / "pending", "none")
    assert copy in fetch_model(f"models:/{name}@best", store_at(copy).uri, copy / "cache").parents
    assert moved in fetch_model(f"models:/{name}@best", store_at(moved).uri, moved / "cache").parents


def test_files_that_were_cleared_away_are_told_and_made_again(migrated: Path, trained: Path, tmp_path: Path) -> None:
    models, name = pipeline(trained), tags.registered_name("demo", "0123456789abcdef")
    shutil.copy(migrated, tmp_path / "mlflow.db")
    store, one = store_at(tmp_path), result("demo", "one", 90.0)
    publish(one, models, store, tmp_path / "pending", "none")
    assert list(faults(store, tmp_path / "pending")) == []
    shutil.rmtree(tmp_path / "mlartifacts")
    ((words, remedy),) = faults(store, tmp_path / "pending")
    assert "files are gone" in words
    assert remedy == "dvc repro track"
    with pytest.raises(StoreError, match=r"its files are not in .* `dvc repro track` logs the model"):
        fetch_model(f"models:/{name}@best", store.uri, tmp_path / "cache")
    publish(one, models, store, tmp_path / "pending", "none")
    assert list(faults(store, tmp_path / "pending")) == []
    assert fetch_model(f"models:/{name}@best", store.uri, tmp_path / "cache").is_dir()


def test_database_of_another_place_is_left_as_it_is(migrated: Path, tmp_path: Path) -> None:
    """A database that clones share lies in none of them, and each clone's files stay where they are."""
    (tmp_path / "shared").mkdir()
    shutil.copy(migrated, tmp_path / "shared" / "runs.db")
    uri = f"sqlite:///{tmp_path / 'shared' / 'runs.db'}"
    for clone in ("a", "b"):
        (tmp_path / clone).mkdir()
        (page := tmp_path / clone / "report.md").write_text("# Report")
        record(replace(result_of_demo(clone), artifacts=[page]), store_at(tmp_path / clone, uri))
    assert is_home(store_at(tmp_path / "b", uri))
    assert len(list((tmp_path / "a" / "mlartifacts").rglob("report.md"))) == 2
