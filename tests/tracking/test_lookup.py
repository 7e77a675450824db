"""What is asked without MLflow: never that a result is there when something of it is not; on a file and on a server."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from moclip.predict.bundle import Pipeline
from moclip.tracking import tags
from moclip.tracking.lookup import shown_run
from moclip.tracking.pending import is_empty, keep
from moclip.tracking.publish import publish
from moclip.tracking.record import record
from moclip.tracking.result import Result
from moclip.tracking.store import Store, store_at
from tests.support.imports import ROOT
from tests.tracking.test_record import result as result_of_demo


@pytest.fixture(params=["file", "server"])
def store(request: pytest.FixtureRequest, migrated: Path, tmp_path: Path) -> Store:
    if request.param == "server":
        return store_at(tmp_path, request.getfixturevalue("sqlite_server"))
    root = tmp_path / "a repository"
    root.mkdir()
    shutil.copy(migrated, root / "mlflow.db")
    return store_at(root)


@pytest.fixture
def result(request: pytest.FixtureRequest) -> Result:
    """Of a data set of its own: tests share the server."""
    return replace(result_of_demo(), dataset=str(abs(hash(request.node.name))))


@pytest.fixture
def parent(result: Result, store: Store, client: MlflowClient, tmp_path: Path) -> str:
    """The run of a result that is all there, with a model that is registered as the best."""
    parent = record(result, store).run_id
    assert shown_run(result, store) is None, "no model yet"
    model = client.create_logged_model(experiment_of(client, parent), tags={tags.KEY: result.key})
    client.set_tag(parent, tags.MODEL, model.model_id)
    name = tags.registered_name(result.dataset)
    client.create_registered_model(name)
    own = {tags.MODEL: model.model_id}
    made = client.create_model_version(name, model.artifact_location, parent, model_id=model.model_id, tags=own)
    version = made.version
    client.set_registered_model_alias(name, tags.BEST, version)
    assert shown_run(result, store) is None, "a model that is not whole yet"
    client.finalize_logged_model(model.model_id, "READY")
    assert shown_run(result, store) is None, "a model without files"
    (files := tmp_path / "model" / "data").mkdir(parents=True)
    (files / "bundle.json").touch()
    (files.parent / "MLmodel").touch()
    client.log_model_artifacts(model.model_id, str(files.parent))
    return parent


def experiment_of(client: MlflowClient, run: str) -> str:
    return str(client.get_run(run).info.experiment_id)


def test_result_that_is_there_is_found(result: Result, store: Store, parent: str) -> None:
    assert shown_run(result, store) == parent


def test_other_result_and_other_dvc_experiment_are_not(result: Result, store: Store, parent: str) -> None:
    assert shown_run(replace(result, key="other"), store) is None
    assert shown_run(replace(result, dataset="other"), store) is None
    assert shown_run(replace(result, verdicts={"moclip.verdict.toy": "1 not run"}), store) is None
    named = replace(result, dvc_experiment="macro-sham")
    assert shown_run(named, store) is None
    assert record(named, store).run_id == parent
    assert shown_run(named, store) == shown_run(result, store) == parent


def _delete_experiment(client: MlflowClient, store: Store, result: Result, parent: str) -> None:
    client.delete_experiment(experiment_of(client, parent))


def _delete_child(client: MlflowClient, store: Store, result: Result, parent: str) -> None:
    (child, *_) = client.search_runs([experiment_of(client, parent)], f"tags.`mlflow.parentRunId` = '{parent}'")
    client.delete_run(child.info.run_id)


def _delete_alias(client: MlflowClient, store: Store, result: Result, parent: str) -> None:
    client.delete_registered_model_alias(tags.registered_name(result.dataset), tags.BEST)


def _delete_model(client: MlflowClient, store: Store, result: Result, parent: str) -> None:
    client.delete_logged_model(client.get_run(parent).data.tags[tags.MODEL])


def _delete_version(client: MlflowClient, store: Store, result: Result, parent: str) -> None:
    name = tags.registered_name(result.dataset)
    client.delete_model_version(name, client.get_model_version_by_alias(name, tags.BEST).version)


def _show_a_training(client: MlflowClient, store: Store, result: Result, parent: str) -> None:
    client.create_run(experiment_of(client, parent), tags={tags.KIND: "live", tags.CLONE: store.clone})


DOUBTS: dict[str, Callable[[MlflowClient, Store, Result, str], None]] = {
    "run deleted": lambda client, store, result, parent: client.delete_run(parent),
    "run half-written": lambda client, store, result, parent: client.delete_tag(parent, tags.COMPLETE),
    "experiment deleted": _delete_experiment,
    "child deleted": _delete_child,
    "model deleted": _delete_model,
    "alias deleted": _delete_alias,
    "model not registered": lambda client, store, result, parent: client.delete_tag(parent, tags.MODEL),
    "best version deleted": _delete_version,
    "live run": _show_a_training,
}


@pytest.mark.parametrize("doubt", DOUBTS)
def test_any_doubt_is_left_to_mlflow(
    doubt: str, client: MlflowClient, result: Result, store: Store, parent: str
) -> None:
    assert shown_run(result, store) == parent
    DOUBTS[doubt](client, store, result, parent)
    assert shown_run(result, store) is None


def test_result_without_the_main_head_needs_no_model(result: Result, store: Store) -> None:
    alone = replace(result, children=result.children[:1])
    assert shown_run(alone, store) is None
    parent = record(alone, store).run_id
    assert shown_run(alone, store) == parent


def test_store_that_cannot_be_read_shows_nothing_and_stays_as_it_is(tmp_path: Path) -> None:
    result = result_of_demo()
    assert shown_run(result, store_at(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mlflow.db").write_text("no database")
    assert shown_run(result, store_at(tmp_path)) is None
    for uri in ("http://127.0.0.1:9", "postgresql://127.0.0.1:9/runs", "sqlite:///:memory:"):
        assert shown_run(result, store_at(tmp_path, uri)) is None


PROGRAM = """
import sys
from pathlib import Path
from moclip.base.console import set_up_logging
from moclip.tracking.publish import publish
from moclip.tracking.result import Child, Result
from moclip.tracking.store import store_at

set_up_logging("%(message)s")
result = Result("demo", sys.argv[2], "base", {}, {}, {}, [Child("zero_shot", 1, {})])
publish(result, Path("models"), store_at(Path(sys.argv[1])), Path(sys.argv[1]) / "pending", "none")
print(sorted({"mlflow", "torch", "pandas"} & set(sys.modules)))
"""


def test_result_that_is_there_costs_no_import_and_kept_ones_are_delivered(migrated: Path, tmp_path: Path) -> None:
    shutil.copy(migrated, tmp_path)
    store, pending = store_at(tmp_path), tmp_path / "pending"
    made = replace(result_of_demo(), children=result_of_demo().children[:1])
    record(made, store)
    words = [sys.executable, "-c", PROGRAM, str(tmp_path), made.key]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "already there" in done.stdout + done.stderr
    server = store_at(tmp_path, "http://127.0.0.1:9")
    keep(replace(made, key="kept"), Pipeline(*[tmp_path] * 4), pending, server)
    publish(made, Pipeline(*[tmp_path] * 4), store, pending, "none")
    assert not is_empty(pending, server), "what waits for a server goes to no file"
    assert shown_run(replace(made, key="kept"), store) is None
