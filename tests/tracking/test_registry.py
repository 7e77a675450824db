"""The best model of a data set, on a real server: who competes, and what no failure and no deletion may change."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from moclip.base.errors import StoreError
from moclip.predict.bundle import Pipeline
from moclip.tracking import tags
from moclip.tracking.lookup import shown_run
from moclip.tracking.models.fetch import fetch_model
from moclip.tracking.pending import is_empty
from moclip.tracking.publish import publish, show
from moclip.tracking.result import Child, Result
from moclip.tracking.store import ServerError, Store, store_at
from tests.support.faults import Proxy, proxied
from tests.support.tracking import mlflow_server
from tests.support.trained import pipeline

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),  # of MLflow's own types
]
IDENTITY = "0123456789abcdef"


@pytest.fixture(scope="module", params=["sqlite_server", "postgresql_server"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with proxied(request.getfixturevalue(request.param)) as made:
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A request is tried once; of this project's code, which goes with each model, one small package does."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    import moclip.store

    monkeypatch.setattr("moclip.tracking.registry.moclip", moclip.store)


def result(dataset: str, key: str, val_top1_pct: float | None, **changes: object) -> Result:
    curves = {} if val_top1_pct is None else {"val_top1_pct": [(0, 0.0), (1, val_top1_pct)]}
    child = Child("fusion", 1, {"top1_pct": 50.0}, curves)
    made = Result(dataset, f"{dataset}-{key}", f"variant {key}", {"fusion.select": "val"}, {}, {}, [child], IDENTITY)
    return replace(made, **changes)  # type: ignore[arg-type]


def best(client: MlflowClient, dataset: str, identity: str = IDENTITY) -> str:
    version = client.get_model_version_by_alias(tags.registered_name(dataset, identity), tags.BEST)
    return str(version.tags[tags.KEY]).rpartition("-")[2]


@pytest.fixture
def dataset(request: pytest.FixtureRequest) -> str:
    """A name of its own for each test: they share the server."""
    return f"d{abs(hash(request.node.nodeid)) % 10**9}"


def test_result_competes_with_its_equals_alone_and_says_so(
    client: MlflowClient, store: Store, models: Pipeline, dataset: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    show(result(dataset, "two", 100.0), models, store)
    show(result(dataset, "four", 94.0, identity="fedcba9876543210"), models, store)
    assert best(client, dataset) == "two"
    assert best(client, dataset, "fedcba9876543210") == "four"
    name = tags.registered_name(dataset, "fedcba9876543210")
    assert f"models:/{name}@best is this model, version 1 (94.0 % on validation, 1 split)" in caplog.text
    assert f"do not compete with it ({tags.registered_name(dataset, IDENTITY)})" in caplog.text
    show(result(dataset, "worse", 90.0), models, store)
    assert best(client, dataset) == "two"
    assert "this model has 90.0 % on validation, 1 split, models:/" in caplog.text
    with pytest.raises(StoreError, match="models of several data sets begin so; name one of"):
        fetch_model(f"models:/{tags.family(dataset)}@best", store.uri, store.lock.parent / "cache")


@pytest.mark.parametrize(
    ("val_top1_pct", "params", "words"),
    [
        (None, {"fusion.select": "last"}, "it has no validation videos"),
        (99.0, {"fusion.select": "test"}, "fusion.select chose its epoch on the test part"),
        (99.0, {"motion_net.select": "test"}, "motion_net.select chose its epoch on the test part"),
    ],
)
def test_result_that_the_test_part_or_nothing_chose_does_not_compete(
    client: MlflowClient,
    store: Store,
    models: Pipeline,
    dataset: str,
    caplog: pytest.LogCaptureFixture,
    val_top1_pct: float | None,
    params: dict[str, str],
    words: str,
) -> None:
    caplog.set_level("INFO")
    show(result(dataset, "first", 50.0), models, store)
    show(result(dataset, "other", val_top1_pct, params=params), models, store)
    assert best(client, dataset) == "first"
    assert f"it does not compete: {words}; models:/" in caplog.text


@pytest.fixture(scope="module")
def good_and_bad(proxy: Proxy, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data set of two results, which each test leaves as they were."""
    dataset, store = f"good-and-bad-{os.getpid()}", store_at(tmp_path_factory.mktemp("good-and-bad"), proxy.url)
    show(result(dataset, "good", 96.5), pipeline(trained), store)
    show(result(dataset, "bad", 8.3), pipeline(trained), store)
    return dataset


@pytest.mark.parametrize("proxy", ["sqlite_server"], indirect=True)  # no database hears of what fails
@pytest.mark.parametrize("how", [503, 404, 403, "cut"])
@pytest.mark.parametrize("request_", ["model-versions/search", "registered-models/search", "logged-models/m-"])
def test_look_up_that_fails_moves_nothing(
    client: MlflowClient, store: Store, proxy: Proxy, models: Pipeline, good_and_bad: str, how: int | str, request_: str
) -> None:
    dataset = good_and_bad
    name = tags.registered_name(dataset, IDENTITY)
    client.delete_registered_model_alias(name, tags.BEST)  # so that only a look-up can tell
    client.set_registered_model_alias(name, "other", 1)
    proxy.fail(request_, how)
    with pytest.raises(ServerError):
        show(result(dataset, "bad", 8.3), models, store)
    proxy.heal()
    assert client.get_registered_model(name).aliases == {"other": "1"}
    show(result(dataset, "bad", 8.3), models, store)
    assert best(client, dataset) == "good"


def test_deleted_alias_and_version_leave_the_best_of_the_others(
    client: MlflowClient, store: Store, models: Pipeline, dataset: str
) -> None:
    for key, score in (("c", 50.0), ("b", 60.0), ("a", 96.5)):
        show(result(dataset, key, score), models, store)
    name = tags.registered_name(dataset, IDENTITY)
    client.delete_registered_model_alias(name, tags.BEST)
    show(result(dataset, "worst", 8.3), models, store)
    assert best(client, dataset) == "a"
    client.delete_model_version(name, client.get_model_version_by_alias(name, tags.BEST).version)
    show(result(dataset, "worst", 8.3), models, store)
    assert best(client, dataset) == "b"
    client.delete_registered_model(name)
    show(result(dataset, "worst", 8.3), models, store)
    assert best(client, dataset) == "worst"


def test_deleted_model_is_made_again_or_leads_no_more(
    client: MlflowClient, store: Store, models: Pipeline, dataset: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    good, poor = result(dataset, "good", 96.5), result(dataset, "poor", 50.0)
    name = tags.registered_name(dataset, IDENTITY)
    for one in (poor, good):
        show(one, models, store)
    model = client.get_model_version_by_alias(name, tags.BEST).tags[tags.MODEL]
    client.delete_logged_model(model)
    assert shown_run(good, store) is None
    assert shown_run(poor, store) is None, "its own model is there, and the best one is not"
    show(poor, models, store)
    assert best(client, dataset) == "poor"
    assert "was deleted or has lost its files, so it is not the best" in caplog.text
    show(good, models, store)
    assert best(client, dataset) == "good"
    assert fetch_model(f"models:/{name}@best", store.uri, store.lock.parent / "cache").is_dir()
    assert shown_run(good, store)
    assert shown_run(poor, store)


def test_deleted_run_comes_back_with_its_model(
    client: MlflowClient, store: Store, models: Pipeline, dataset: str
) -> None:
    one = result(dataset, "one", 96.5)
    show(one, models, store)
    run = shown_run(one, store)
    assert run
    client.delete_run(run)
    assert shown_run(one, store) is None
    show(one, models, store)
    again = shown_run(one, store)
    assert again
    assert again != run
    assert fetch_model(f"runs:/{again}/fusion", store.uri, store.lock.parent / "cache").is_dir()
    (child,) = client.search_runs([client.get_run(again).info.experiment_id], f"tags.`mlflow.parentRunId` = '{again}'")
    client.delete_run(child.info.run_id)
    assert shown_run(one, store) is None
    publish(one, models, store, store.lock.parent / "pending", "none")
    assert shown_run(one, store) == again
    assert is_empty(store.lock.parent / "pending", store)


def test_files_that_are_gone_are_logged_again(
    migrated: Path, tmp_path: Path, models: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """On a server of its own, whose artifacts somebody clears away."""
    (tmp_path / "server").mkdir()
    shutil.copy(migrated, tmp_path / "server")
    (tmp_path / "report.md").write_text("# Report\n")
    one = result("cleared", "one", 96.5, artifacts=[tmp_path / "report.md"])
    with mlflow_server(f"sqlite:///{tmp_path / 'server' / migrated.name}", tmp_path / "server") as url:
        store = store_at(tmp_path, url)
        publish(one, models, store, tmp_path / "pending", "none")
        assert shown_run(one, store)
        shutil.rmtree(tmp_path / "server" / "artifacts")
        uri = f"models:/{tags.registered_name('cleared', IDENTITY)}@best"
        with pytest.raises(StoreError):
            fetch_model(uri, store.uri, tmp_path / "cache")
        assert shown_run(one, store) is None
        publish(one, models, store, tmp_path / "pending", "none")
        assert "the files of model" in caplog.text
        assert "had lost its files; made again" in caplog.text
        assert shown_run(one, store)
        assert fetch_model(uri, store.uri, tmp_path / "cache").is_dir()
        assert is_empty(tmp_path / "pending", store)
