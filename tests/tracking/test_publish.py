"""Each step by itself: what a server refuses waits, whole, and goes to the server that it waits for."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from moclip.base.files import read_json, write_json
from moclip.predict.bundle import Pipeline
from moclip.tracking import client as door
from moclip.tracking import tags
from moclip.tracking.lookup import shown_run
from moclip.tracking.models.fetch import fetch_model
from moclip.tracking.pending import is_empty
from moclip.tracking.publish import publish
from moclip.tracking.store import Store, store_at
from tests.support.faults import CUT, SLOW, STALL, Proxy, proxied
from tests.tracking.test_registry import best, pytestmark, quick, result  # noqa: F401


@pytest.fixture(scope="module")
def proxy(sqlite_server: str) -> Iterator[Proxy]:
    with proxied(sqlite_server) as made:
        yield made


@pytest.fixture
def dataset(request: pytest.FixtureRequest) -> str:
    return f"p{abs(hash(request.node.nodeid)) % 10**9}"


@pytest.fixture
def pending(tmp_path: Path) -> Path:
    return tmp_path / "unrecorded"


@pytest.mark.parametrize("how", [413, 403, 404, CUT])
def test_artifact_that_is_refused_waits_and_comes_later(
    store: Store, proxy: Proxy, models: Pipeline, dataset: str, pending: Path, tmp_path: Path, how: int | str
) -> None:
    (report := tmp_path / "report.md").write_text("# Report\n")
    one = result(dataset, "one", 96.5, artifacts=[report])
    proxy.fail(r"^PUT .*report\.md", how)
    publish(one, models, store, pending, "none")
    assert not is_empty(pending, store)
    report.write_text("# Another report\n")
    proxy.heal()
    publish(result(dataset, "two", 50.0), Pipeline(*[tmp_path / "absent"] * 4), store, pending, "none")
    assert is_empty(pending, store)
    run = shown_run(one, store)
    assert run
    name = tags.registered_name(dataset, one.identity)
    assert fetch_model(f"models:/{name}@best", store.uri, tmp_path / "cache").is_dir(), "late is as whole as at once"


def test_model_that_is_refused_blocks_neither_its_result_nor_those_that_wait(
    client: MlflowClient,
    store: Store,
    proxy: Proxy,
    models: Pipeline,
    dataset: str,
    pending: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As on a server without logged models."""
    caplog.set_level("INFO")
    first, second = result(dataset, "first", 96.5), result(dataset, "second", 50.0)
    proxy.fail("experiments/get-by-name", 503)
    publish(first, models, store, pending, "none")
    proxy.fail("logged-models", 404)
    publish(second, models, store, pending, "none")
    runs = client.search_runs(
        [client.get_experiment_by_name(f"moclip-{dataset}").experiment_id], "tags.`moclip.kind` = 'result'"
    )
    assert {run.data.tags[tags.KEY] for run in runs} == {first.key, second.key}
    assert "run " in caplog.text
    assert "what it lacks is kept in" in caplog.text
    proxy.heal()
    publish(second, models, store, pending, "none")
    assert is_empty(pending, store)
    assert best(client, dataset) == "first", "the better one came late, with its model"


def test_one_that_cannot_be_delivered_leaves_the_others_their_way(
    store: Store, proxy: Proxy, models: Pipeline, dataset: str, pending: Path
) -> None:
    named = [result(dataset, key, 50.0, variant=f"variant-{key}") for key in ("a", "b", "c")]
    proxy.fail(".", 503)
    for one in named:
        publish(one, models, store, pending, "none")
    place = pending / store.target / named[0].key / "result.json"
    write_json(place, read_json(place) | {"params": {"long": "x" * 7000}})
    (pending / store.target / named[1].key / "result.json").write_text("torn")
    proxy.heal()
    publish(result(dataset, "d", 40.0), models, store, pending, "none")
    assert shown_run(named[2], store)
    assert sorted(path.parent.name for path in pending.glob("*/[!.]*/result.json")) == [named[0].key, named[1].key]


def test_what_waits_for_a_server_goes_to_it_alone(
    migrated: Path,
    store: Store,
    proxy: Proxy,
    models: Pipeline,
    dataset: str,
    pending: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = result(dataset, "one", 96.5)
    proxy.fail(".", CUT)
    publish(one, models, store, pending, "none")
    (tmp_path / "other").mkdir()
    shutil.copy(migrated, tmp_path / "other" / "mlflow.db")
    other = store_at(tmp_path / "other")
    publish(result(dataset, "two", 50.0), models, other, pending, "none")
    assert shown_run(one, other) is None
    assert f"1 results wait for {store.shown}; set MLFLOW_TRACKING_URI to it" in caplog.text
    proxy.heal()
    # Whoever signs in: an address is the same with another name and password.
    signed = store_at(tmp_path, store.uri.replace("//", "//me:secret@"))
    assert not is_empty(pending, signed)
    publish(result(dataset, "three", 40.0), models, store, pending, "none")
    assert shown_run(one, store)


def test_result_that_an_earlier_release_kept_goes_to_the_next_server(
    store: Store, proxy: Proxy, models: Pipeline, dataset: str, pending: Path
) -> None:
    one = result(dataset, "one", 96.5)
    proxy.fail(".", 503)
    publish(one, models, store, pending, "none")
    kept = pending / store.target / one.key
    shutil.rmtree(kept / "model")
    values = read_json(kept / "result.json")
    write_json(kept / "result.json", {name: value for name, value in values.items() if name not in ("for", "identity")})
    kept.rename(pending / one.key)
    proxy.heal()
    publish(result(dataset, "two", 50.0), models, store, pending, "none")
    assert is_empty(pending, store)


def test_equal_files_of_kept_models_are_one_on_the_disk(
    store: Store, proxy: Proxy, models: Pipeline, dataset: str, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moclip.tracking.pending._LARGE_BYTES", 1)
    proxy.fail(".", 503)
    for key in ("a", "b"):
        publish(result(dataset, key, 50.0), models, store, pending, "none")
    one, other = sorted(pending.glob("*/*/model/clip/*.safetensors"))
    assert one.samefile(other)


def test_upload_has_longer_than_a_question(
    store: Store, proxy: Proxy, models: Pipeline, dataset: str, pending: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr(proxy, "stall_s", 4.0)
    one = result(dataset, "one", 96.5)
    proxy.fail(r"^PUT .*clip.*safetensors", SLOW)
    publish(one, models, store, pending, "none")
    assert is_empty(pending, store)
    proxy.fail("experiments/get-by-name", STALL)
    start = time.monotonic()
    publish(result(dataset, "two", 50.0), models, store, pending, "none")
    assert time.monotonic() - start < 60
    assert not is_empty(pending, store)
    assert door.UPLOAD_S > 20
