"""The fusion model in MLflow: logged once, the best one named, and served over HTTP by MLflow itself."""

import base64
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from moclip.base.errors import StoreError
from moclip.base.files import write_json
from moclip.cli.main import main
from moclip.predict.predictor import Predictor
from moclip.tracking import registry as model_registry
from moclip.tracking.models.best import validation_score
from moclip.tracking.models.fetch import fetch_model
from moclip.tracking.record import record
from moclip.tracking.registry import Logged, log_model
from moclip.tracking.result import Child, Result
from moclip.tracking.serving import Served, as_row
from moclip.tracking.store import Store, store_at
from moclip.tracking.tags import registered_name
from tests.support.clips import encode, scrolling
from tests.support.trained import pipeline

# MLflow 3.17 uses an option that SQLAlchemy 2.1 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),  # of its own types
]
IDENTITY = "0123456789abcdef"
NAME = registered_name("demo", IDENTITY)


def result(key: str, val_top1_pct: float, splits: tuple[int, ...] = (1,)) -> Result:
    curves = {"val_top1_pct": [(0, 0.0), (1, val_top1_pct)]}
    children = [Child("fusion", split, {"top1_pct": 50.0}, curves) for split in splits]
    return Result("demo", key, f"variant {key}", {"fusion.select": "val"}, {}, {}, children, IDENTITY)


@pytest.fixture(scope="module")
def store(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("a repository")
    shutil.copy(migrated, root)
    return store_at(root)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "a.avi", scrolling(16, 3, -2))


def logged(made: Result, root: Path, store: Store) -> Logged:
    found = log_model(made, record(made, store).run_id, pipeline(root), store)
    assert found is not None
    return found


def client(store: Store) -> MlflowClient:
    return MlflowClient(tracking_uri=store.uri)


def best(store: Store) -> str:
    return str(client(store).get_model_version_by_alias(NAME, "best").tags["moclip.result"])


def models_of(store: Store, key: str) -> list[str]:
    experiment = client(store).get_experiment_by_name("moclip-demo")
    found = client(store).search_logged_models([experiment.experiment_id], f"tags.`moclip.result` = '{key}'")
    return [model.model_id for model in found]


@pytest.fixture(scope="module")
def first(trained: Path, store: Store) -> Logged:
    return logged(result("first", 60.0), trained, store)


def test_first_model_is_registered_as_the_best(store: Store, first: Logged) -> None:
    assert (first.created, first.version) == (True, "1")
    assert best(store) == "first"
    version = client(store).get_model_version_by_alias(NAME, "best")
    assert version.tags["moclip.val_top1_pct"] == "60.0"
    assert version.description == "variant first"


def test_model_that_is_there_is_not_made_again(
    trained: Path, store: Store, first: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_registry, "write_bundle", None)  # the heavy part would call it
    assert logged(result("first", 60.0), trained, store) == replace(first, created=False, words=ANY)
    assert models_of(store, "first") == [first.model_id]


def test_alias_follows_validation_and_old_versions_stay(trained: Path, store: Store, first: Logged) -> None:
    assert logged(result("worse", 59.0), trained, store).version is None
    assert logged(result("equal", 60.0), trained, store).version is None
    assert best(store) == "first"
    assert logged(result("better", 61.0), trained, store).version == "2"
    assert best(store) == "better"
    assert logged(result("no validation", math.nan), trained, store).version is None
    assert logged(result("more splits", 50.0, (1, 2)), trained, store).version == "3"
    assert logged(result("better", 61.0), trained, store).version == "2"
    assert best(store) == "more splits"
    for key in ("first", "worse", "equal", "better"):
        assert len(models_of(store, key)) == 1


def test_model_that_was_left_half_written_is_made_again(
    trained: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model_registry.pyfunc, "save_model", killed)
        with pytest.raises(KeyboardInterrupt):
            logged(result("torn", 10.0), trained, store)
    (torn,) = models_of(store, "torn")
    again = logged(result("torn", 10.0), trained, store)
    assert again.created
    assert models_of(store, "torn") == [again.model_id] != [torn]


def test_score_is_the_mean_over_splits_of_the_epoch_kept() -> None:
    curves = [{"val_top1_pct": [(0, 70.0), (1, 50.0)]}, {"val_top1_pct": [(0, 30.0), (1, 40.0)]}]
    children = [Child("fusion", split, {}, curve) for split, curve in enumerate(curves, start=1)]
    children.append(Child("clip_probe", 1, {}, {"val_top1_pct": [(0, 99.0)]}))
    made = replace(result("k", 0.0), children=children)
    assert validation_score(made, "val") == 55.0
    assert validation_score(made, "last") == 45.0
    assert validation_score(replace(made, children=children[2:]), "val") is None
    assert registered_name("hmdb51") == "moclip-hmdb51"


def test_results_without_a_model_to_serve_log_none(
    trained: Path, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = result("precomputed", 99.0)
    run_id = record(made, store).run_id
    for name in ("motion", "fusion"):
        shutil.copytree(trained / "models" / name, tmp_path / "models" / name)
    (tmp_path / "data").mkdir()
    shutil.copy(trained / "data/classes.csv", tmp_path / "data")
    write_json(tmp_path / "models/clip/meta.json", {"precomputed": "0" * 64})
    assert log_model(made, run_id, pipeline(tmp_path), store) is None
    assert "clip.precomputed" in caplog.text
    assert models_of(store, "precomputed") == []
    assert log_model(replace(made, children=[]), run_id, pipeline(trained), store) is None


def test_model_is_found_by_every_uri(
    trained: Path, store: Store, first: Logged, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = record(result("first", 60.0), store).run_id
    uris = [f"models:/{NAME}/1", f"models:/{first.model_id}", f"runs:/{run_id}/fusion"]
    folders = {fetch_model(uri, store.uri, tmp_path) for uri in uris}
    assert len(folders) == 1
    assert {path.suffix for path in folders.pop().rglob("*") if path.is_file()} == {".json", ".safetensors"}
    assert fetch_model("models:/moclip-demo/1", store.uri, tmp_path).is_dir(), "the one data set of this name"
    for uri in ("models:/absent@best", f"models:/{NAME}@worst", f"models:/{NAME}/99", "runs:/0/fusion", "models:/m-0"):
        with pytest.raises(StoreError, match="no such MLflow model"):
            fetch_model(uri, store.uri, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    assert main(["predict", str(clip), "--model", f"models:/{NAME}@best"]) == 0


@pytest.fixture
def renamed(store: Store, first: Logged, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Fetches the first model, its loader under another name."""
    uri = f"models:/{first.model_id}"
    mlflow_model = fetch_model(uri, store.uri, tmp_path).parents[1] / "MLmodel"
    text = mlflow_model.read_text()

    def fetch(loader: str) -> Path:
        assert "loader_module: moclip.tracking.serving\n" in text
        mlflow_model.write_text(text.replace("moclip.tracking.serving", loader))
        return fetch_model(uri, store.uri, tmp_path)

    yield fetch
    mlflow_model.write_text(text)


def test_model_of_another_project_is_refused(renamed: Callable[[str], Path]) -> None:
    with pytest.raises(StoreError, match=r"none of moclip's \(mlflow\.sklearn\)"):
        renamed("mlflow.sklearn")


def test_model_that_was_logged_before_its_loader_moved_is_read(renamed: Callable[[str], Path]) -> None:
    assert (renamed("moclip.serving") / "bundle.json").is_file()


def test_rows_that_say_too_little_or_too_much_are_refused(trained: Path, clip: Path) -> None:
    served = Served(Predictor.load(pipeline(trained), head="motion_only"))
    for row in ({"path": None, "base64": None}, {"path": str(clip), "base64": "AAAA"}):
        with pytest.raises(MlflowException, match="exactly one of 'path' and 'base64'"):
            served.predict(pd.DataFrame([row]))


@pytest.fixture(scope="module")
def server(store: Store, first: Logged) -> Iterator[str]:
    """`mlflow models serve`, away from this checkout: the model brings its own code."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment.pop("PYTHONPATH", None)
    words = ["-m", f"models:/{NAME}/1", "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    log = store.lock.parent / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", *words],
            **{"cwd": store.lock.parent, "env": environment, "stdout": output, "stderr": output},
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process, log)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path, limit_s: float = 240) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/ping", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server did not come up: {log.read_text()[-2000:]}")


def ask(url: str, rows: list[dict[str, str]], **params: int) -> Any:
    body = json.dumps({"dataframe_records": rows, "params": params}).encode()
    request = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())["predictions"]


def test_server_answers_for_a_path_and_for_bytes_as_predict_does(
    server: str, trained: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(clip), "--model", str(trained / "models"), "--json", "--top", "3"]) == 0
    expected = as_row(json.loads(capsys.readouterr().out))
    encoded = base64.b64encode(clip.read_bytes()).decode()
    by_path, by_bytes = ask(server, [{"path": str(clip)}, {"base64": encoded}], top=3)
    assert by_path["video"] == str(clip)
    for answer in (by_path, by_bytes):
        assert answer["frames"] == 16
        assert answer["top"] == [
            {**row, "probability": pytest.approx(row["probability"], abs=1e-5)} for row in expected["top"]
        ]
        for found, stream in zip(answer["streams"], expected["streams"], strict=True):
            assert found["head"] == stream["head"]
            assert found["top"][0]["class"] == stream["top"][0]["class"]


FORMS: dict[str, tuple[str, str]] = {
    "unknown column": ("application/json", '{"dataframe_records": [{"video": "a.avi"}]}'),
    "no row": ("application/json", '{"dataframe_records": []}'),
    "empty row": ("application/json", '{"dataframe_records": [{}]}'),
    "split": ("application/json", '{"dataframe_split": {"columns": ["file"], "data": [["a.avi"]]}}'),
    "inputs": ("application/json", '{"inputs": [{"video": "a.avi"}]}'),
    "inputs by column": ("application/json", '{"inputs": {"file": ["a.avi"]}}'),
    "instances": ("application/json", '{"instances": [{"video": "a.avi"}]}'),
    "csv": ("text/csv", "file\na.avi\n"),
    "top of 0": ("application/json", '{"dataframe_records": [{"path": "a.avi"}], "params": {"top": 0}}'),
    "top of -1": ("application/json", '{"dataframe_records": [{"path": "a.avi"}], "params": {"top": -1}}'),
}


@pytest.mark.parametrize("form", FORMS)
def test_server_refuses_a_request_in_the_wrong_form_and_shows_the_right_one(server: str, form: str) -> None:
    kind, body = FORMS[form]
    request = urllib.request.Request(f"{server}/invocations", body.encode(), {"Content-Type": kind})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=120)
    with refused.value as answer:
        assert answer.code == 400
        message = json.loads(answer.read())["message"]
    assert ("1 or more" if form.startswith("top") else '{"dataframe_records": [{"path": "VIDEO.avi"}]}') in message


@pytest.mark.parametrize("top", [0, -1])
def test_top_below_one_is_refused(trained: Path, clip: Path, top: int) -> None:
    served = Served(Predictor.load(pipeline(trained), head="motion_only"))
    with pytest.raises(MlflowException, match=f"'top' is {top}; it must be a whole number of classes, 1 or more"):
        served.predict(pd.DataFrame([{"path": str(clip)}]), {"top": top})


def test_server_says_why_it_refuses(server: str, tmp_path: Path) -> None:
    (tmp_path / "text.avi").write_text("not a video")
    for row, reason in (
        ({"path": str(tmp_path / "absent.avi")}, "absent.avi: no such file"),
        ({"path": str(tmp_path / "text.avi")}, "no video container"),
        ({"base64": "%%"}, "not base64"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(server, [row])
        with refused.value as answer:
            assert answer.code == 400
            assert reason in json.loads(answer.read())["message"]
