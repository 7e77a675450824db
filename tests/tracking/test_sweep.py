"""Every request that `track` makes fails once, in every way: then all is as without the fault, at the latest later."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from moclip.predict.bundle import Pipeline
from moclip.tracking import client as door
from moclip.tracking import registry, tags
from moclip.tracking.lookup import shown_run
from moclip.tracking.pending import is_empty
from moclip.tracking.publish import publish
from moclip.tracking.store import Store, store_at
from tests.support.faults import CUT, STALL, Proxy, proxied
from tests.support.trained import pipeline
from tests.tracking.test_registry import best, pytestmark, quick, result  # noqa: F401

pytestmark = [*pytestmark, pytest.mark.sweep]
LATE = "late"  # the server does what it was asked, and its answer is lost
FAULTS = (503, 404, 413, STALL, CUT, LATE)
DATASET = "sweep"


@pytest.fixture(scope="module", params=["sqlite_server", "postgresql_server"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with proxied(request.getfixturevalue(request.param)) as made:
        made.stall_s = 6.0
        yield made


@pytest.fixture
def store(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    # Below the time of a stall, and above what a busy machine takes for a request.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
    monkeypatch.setattr(door, "UPLOAD_S", 4)
    monkeypatch.setattr("moclip.tracking.lookup.ASK_S", 4)
    yield store_at(tmp_path, proxy.url)
    proxy.heal()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved") / "model"


@pytest.fixture
def models(trained: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """MLflow writes a model to the disk once: the sweep is of requests, which are the same for each."""
    real = registry.pyfunc.save_model

    def save_model(path: str, **options: Any) -> None:
        if not saved.exists():
            real(path=str(saved), **options)
        shutil.copytree(saved, path)

    monkeypatch.setattr(registry.pyfunc, "save_model", save_model)
    return pipeline(trained)


def kind_of(request: str) -> str:
    """A request without what is of one run alone."""
    method, _, path = request.partition(" ")
    parts = ["ID" if len(part) > 30 or part.isdigit() else part for part in path.partition("?")[0].split("/")]
    return f"{method} {'/'.join(parts)}"


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("score", ["better", "worse"])
def test_each_request_may_fail(
    store: Store,
    proxy: Proxy,
    models: Pipeline,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    score: str,
    how: int | str,
) -> None:
    client = MlflowClient(tracking_uri=proxy.target, registry_uri=proxy.target)
    pending = tmp_path / "unrecorded"
    (report := tmp_path / "report.md").write_text("# Report\n")
    dataset = f"{DATASET}-{score}-{how}-{os.getpid()}"  # the tests of a session share the server

    def track(number: int, at: int | None) -> None:
        """Publish one more result, while the request `at` fails."""
        value = 50.0 + number / 100 if score == "better" else 50.0 - number / 100
        one = result(dataset, f"k{number}", value, artifacts=[report])
        if at is not None:
            proxy.late = how == LATE
            proxy.fail_number(at, how)
        publish(one, models, store, pending, "none")
        proxy.heal()

    track(0, None)
    asked = len(proxy.asked)
    track(1, None)
    requests = proxy.asked[asked:]
    numbers = list(range(len(requests)))
    if not os.environ.get("MOCLIP_SWEEP"):
        numbers = random.Random(f"{score} {how}").sample(numbers, max(1, len(numbers) // 10))
    expected = 1 if score == "better" else 0
    wrong, waited = [], 0
    for number, at in enumerate(numbers, start=2):
        track(number, at)
        leading = {f"k{number - 1 if score == 'better' else 0}", f"k{number if score == 'better' else 0}"}
        if best(client, dataset) not in leading:
            wrong.append(f"{requests[at]}: meanwhile the best is {best(client, dataset)}")
        waited += not is_empty(pending, store)
        track(number, None)
        expected = number if score == "better" else 0
        one = result(dataset, f"k{number}", 0.0, artifacts=[report])
        state = (best(client, dataset), is_empty(pending, store), bool(shown_run(one, store)), counts(client, one.key))
        if state != (f"k{expected}", True, True, (1, 1, 1)):
            wrong.append(f"{requests[at]}: afterwards {state}")
    kinds = len({kind_of(requests[at]) for at in numbers})
    server = request.node.callspec.params["proxy"].removesuffix("_server")
    print(  # noqa: T201 - a row of the table that the closing note has
        f"| {server} | {score} | {how} | {len(numbers)} of {len(requests)} | {kinds} | {waited} | {len(wrong)} |"
    )
    assert wrong == []


def counts(client: MlflowClient, key: str) -> tuple[int, int, int]:
    """Parent runs, runs of heads, and whole models of a result."""
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`{tags.KEY}` = '{key}'")
    models = client.search_logged_models(experiments, f"tags.`{tags.KEY}` = '{key}'")
    kinds = [run.data.tags[tags.KIND] for run in runs]
    return kinds.count("result"), kinds.count("head"), len(models)
