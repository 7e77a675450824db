"""Every request that `track` makes fails once, in every way: then all is as without the fault, at the latest later."""

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from moclip.predict.bundle import Pipeline
from moclip.tracking import client as door
from moclip.tracking import registry, tags
from moclip.tracking.lookup import shown_run
from moclip.tracking.pending import is_empty
from moclip.tracking.publish import publish
from moclip.tracking.result import Result
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


@dataclass
class Sequel:
    """A data set's results, one after the other, whatever test published them."""

    dataset: str
    requests: list[str] = field(default_factory=list)
    published: int = 0


@pytest.fixture(scope="module", params=["better", "worse"])
def sequel(request: pytest.FixtureRequest, proxy: Proxy) -> Sequel:
    return Sequel(f"{DATASET}-{request.param}-{urlsplit(proxy.url).port}-{os.getpid()}")


def kind_of(request: str) -> str:
    """A request without what is of one run alone."""
    method, _, path = request.partition(" ")
    parts = ["ID" if len(part) > 30 or part.isdigit() else part for part in path.partition("?")[0].split("/")]
    return f"{method} {'/'.join(parts)}"


@pytest.mark.parametrize("how", FAULTS)
def test_each_request_may_fail(
    store: Store,
    proxy: Proxy,
    models: Pipeline,
    sequel: Sequel,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    how: int | str,
) -> None:
    client = MlflowClient(tracking_uri=proxy.target, registry_uri=proxy.target)
    pending = tmp_path / "unrecorded"
    (report := tmp_path / "report.md").write_text("# Report\n")
    score, server = (request.node.callspec.params[name] for name in ("sequel", "proxy"))
    is_better = score == "better"

    def made(number: int) -> Result:
        value = 50.0 + number / 1000 if is_better else 50.0 - number / 1000
        return result(sequel.dataset, f"k{number}", value, artifacts=[report])

    def track(number: int, at: int | None) -> None:
        """Publish this result, while the request `at` fails."""
        if at is not None:
            proxy.late = how == LATE
            proxy.fail_number(at, how)
        publish(made(number), models, store, pending, "none")
        proxy.heal()

    if not sequel.requests:
        track(0, None)
        asked = len(proxy.asked)
        track(1, None)
        sequel.requests, sequel.published = proxy.asked[asked:], 1
    requests = sequel.requests
    numbers = list(range(len(requests)))
    if not os.environ.get("MOCLIP_SWEEP"):
        numbers = random.Random(f"{score} {how}").sample(numbers, max(1, len(numbers) // 10))
    wrong, waited = [], 0
    for at in numbers:
        sequel.published += 1
        number = sequel.published
        track(number, at)
        leading = {f"k{number - 1}", f"k{number}"} if is_better else {"k0"}
        if best(client, sequel.dataset) not in leading:
            wrong.append(f"{requests[at]}: meanwhile the best is {best(client, sequel.dataset)}")
        waited += not is_empty(pending, store)
        track(number, None)
        one = made(number)
        state = (
            best(client, sequel.dataset),
            is_empty(pending, store),
            bool(shown_run(one, store)),
            counts(client, one.key),
        )
        if state != (f"k{number if is_better else 0}", True, True, (1, 1, 1)):
            wrong.append(f"{requests[at]}: afterwards {state}")
    kinds = len({kind_of(requests[at]) for at in numbers})
    print(  # noqa: T201 - a row of the table that the closing note has
        f"| {server.removesuffix('_server')} | {score} | {how} | {len(numbers)} of {len(requests)} | {kinds}"
        f" | {waited} | {len(wrong)} |"
    )
    assert wrong == []


def counts(client: MlflowClient, key: str) -> tuple[int, int, int]:
    """Parent runs, runs of heads, and whole models of a result."""
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`{tags.KEY}` = '{key}'")
    models = client.search_logged_models(experiments, f"tags.`{tags.KEY}` = '{key}'")
    kinds = [run.data.tags[tags.KIND] for run in runs]
    return kinds.count("result"), kinds.count("head"), len(models)
