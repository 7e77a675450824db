"""The fusion model in MLflow: logged once, the best one named, and served over HTTP by MLflow itself."""

import base64
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from moclip.base.errors import ParamsError, StoreError
from moclip.base.files import write_json
from moclip.cli.main import main
from moclip.predict.predictor import Predictor
from moclip.tracking import registry as model_registry
from moclip.tracking import serving
from moclip.tracking.models import gate
from moclip.tracking.models.best import validation_score
from moclip.tracking.models.fetch import fetch_model
from moclip.tracking.record import record
from moclip.tracking.registry import Logged, log_model
from moclip.tracking.result import Child, Result
from moclip.tracking.serving import Served, as_row
from moclip.tracking.store import Store, store_at
from moclip.tracking.tags import registered_name
from moclip.video.bounded.system import peak_mb
from moclip.video.bounded.worker import call
from tests.support import bombs
from tests.support.clips import encode, scrolling
from tests.support.trained import pipeline

# MLflow 3.17 uses an option that SQLAlchemy 2.1 deprecates.
pytestmark = [
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
    with pytest.raises(StoreError, match=r"none of moclip's \('mlflow\.sklearn'\)"):
        renamed("mlflow.sklearn")


def test_model_that_was_logged_before_its_loader_moved_is_read(renamed: Callable[[str], Path]) -> None:
    assert (renamed("moclip.serving") / "bundle.json").is_file()


def test_rows_that_say_too_little_or_too_much_are_refused(trained: Path, clip: Path) -> None:
    served = Served(Predictor.load(pipeline(trained), head="motion_only"), clip.parent)
    for row in ({"path": None, "base64": None}, {"path": str(clip), "base64": "AAAA"}):
        with pytest.raises(MlflowException, match="row 1: must have exactly one of 'path' and 'base64'"):
            served.predict(pd.DataFrame([row]))


@pytest.fixture(scope="module")
def server(store: Store, first: Logged, clip: Path) -> Iterator[str]:
    """`mlflow models serve`, away from this checkout: the model brings its own code."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment |= {"MOCLIP_SERVE_ROOT": str(clip.parent), "MOCLIP_SERVE_MAX_MIB": "1", "MOCLIP_LIMITS": "frames=100"}
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


def ask(url: str, rows: list[dict[str, str]], **params: int | bool) -> Any:
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
    by_path, by_bytes = ask(server, [{"path": clip.name}, {"base64": encoded}], top=3)
    assert by_path["video"] == clip.name
    for answer in (by_path, by_bytes):
        assert answer["frames"] == 16
        assert answer["top"] == [
            {**row, "probability": pytest.approx(row["probability"], abs=1e-5)} for row in expected["top"]
        ]
        for found, stream in zip(answer["streams"], expected["streams"], strict=True):
            assert found["head"] == stream["head"]
            assert found["top"][0]["class"] == stream["top"][0]["class"]


@pytest.mark.parametrize(("codec", "name"), [("libvpx-vp9", "a.webm"), ("libsvtav1", "a.mkv")])
def test_server_reencodes_what_has_no_vectors_where_that_is_asked_for(
    server: str, tmp_path: Path, codec: str, name: str
) -> None:
    row = {"base64": base64.b64encode(encode(tmp_path / name, scrolling(12, 3, 1), codec).read_bytes()).decode()}
    (answer,) = ask(server, [row], reencode=True)
    assert answer["frames"] == 12
    assert "re-encoding" in answer["warnings"][0]
    code, found = refusal(server, json.dumps({"dataframe_records": [row]}).encode())
    assert code == 400
    assert "parameter `reencode`" in found["message"]


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
    assert ("1 or more" if form.startswith("top") else '{"dataframe_records": [{"base64": "..."}]}') in message


@pytest.mark.parametrize("top", [0, -1])
def test_top_below_one_is_refused(trained: Path, clip: Path, top: int) -> None:
    served = Served(Predictor.load(pipeline(trained), head="motion_only"), clip.parent)
    with pytest.raises(MlflowException, match=f"'top' is {top}; it must be a whole number of classes, 1 or more"):
        served.predict(pd.DataFrame([{"path": str(clip)}]), {"top": top})


def refusal(
    url: str, body: bytes, kind: str = "application/json", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Status and fields of an answer that is a refusal."""
    request = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": kind, **(headers or {})})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=120)
    with refused.value as answer:
        return answer.code, json.loads(answer.read())


def rows(*given: dict[str, str]) -> bytes:
    return json.dumps({"dataframe_records": given}).encode()


@pytest.fixture(scope="module")
def outside(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video outside the server's root, with links to it and to its folder inside."""
    place = tmp_path_factory.mktemp("outside")
    video = Path(shutil.copy(clip, place / "b.avi"))
    (clip.parent / "link.avi").symlink_to(video)
    (clip.parent / "links").symlink_to(place)
    (clip.parent / "folder").mkdir()
    (clip.parent / "ring").symlink_to("ring")
    os.mkfifo(clip.parent / "pipe")
    (clip.parent / "text.avi").write_text("not a video")
    return video


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "/etc/nonexist", "../outside0/b.avi", "link.avi", "links/b.avi", "absent.avi", "folder"),
        *("pipe", "ring", "/dev/zero", "/proc/self/environ", "a" * 5000, "a\0b", "OUTSIDE", ".", "~"),
    ],
)
def test_a_path_that_is_no_video_below_the_root_is_refused_alike(server: str, outside: Path, path: str) -> None:
    asked = str(outside) if path == "OUTSIDE" else path
    code, found = refusal(server, rows({"path": asked}))
    assert (code, found["message"]) == (400, "row 1: no such video below MOCLIP_SERVE_ROOT")


def test_a_server_tells_a_reason_and_neither_paths_nor_its_code(server: str, clip: Path, outside: Path) -> None:
    good = {"base64": base64.b64encode(clip.read_bytes()).decode()}
    for row, reason in (
        ({"path": "text.avi"}, "row 2: is no video container"),
        ({"base64": base64.b64encode(b"not a video" * 9).decode()}, "row 2: is no video container"),
        ({"base64": base64.b64encode(clip.read_bytes()[:-500]).decode()}, "row 2 (mpeg4): "),
        ({"base64": "%%"}, "row 2: 'base64' is not base64"),
        ({"base64": "é"}, "row 2: 'base64' is not base64"),
        ({}, "row 2: must have exactly one"),
    ):
        code, found = refusal(server, rows(good, row))
        assert code == 400
        assert found["message"].startswith(reason)
        assert set(found) == {"error_code", "message"}
        assert len(found["message"]) <= 400
        for told in ("/tmp", str(clip.parent), "site-packages", "Traceback", 'File "'):
            assert told not in found["message"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b"[" * 100_000),
        ("application/json", b"[]"),
        ("application/json", b'{"dataframe_records": ' + b"[" * 100_000),
        ("application/json", b'{"dataframe_split": 5}'),
        ("application/json", b'{"dataframe_records": [{"base64": 5}]}'),
        ("application/json", b'{"dataframe_records": [{"base64": "AAAA", "extra": 1}]}'),
        ("application/json", b'{"dataframe_split": {"columns": ["base64", "extra"], "data": [["AAAA", 1]]}}'),
        ("application/json", b'{"inputs": {"base64": ["AAAA"], "extra": [1]}}'),
        ("application/json", b"\xff\xfe"),
        ("text/csv", b"\xff\xfe"),
        ("application/x-parquet", b"PAR1"),
    ],
)
def test_a_request_that_mlflow_cannot_read_tells_no_trace(server: str, kind: str, body: bytes) -> None:
    code, found = refusal(server, body, kind)
    assert 400 <= code <= 500
    if body.startswith((b"{", b"[")):
        assert code == 400
    assert set(found) == {"error_code", "message"}
    assert "site-packages" not in found["message"]
    if b"extra" in body:
        assert (code, found["message"][:23]) == (400, "unknown column 'extra';")


def test_a_request_that_does_not_say_what_it_is_is_told_to(server: str) -> None:
    connection = http.client.HTTPConnection(*server.removeprefix("http://").split(":"), timeout=120)
    with closing(connection):
        connection.request("POST", "/invocations", rows({"path": "a.avi"}))
        answer = connection.getresponse()
        assert answer.status == 415
        message = json.loads(answer.read())["message"]
    assert message == f"the request has no Content-Type, such as application/json; {gate.FORM}"


@pytest.mark.parametrize("stated", [True, False], ids=["length stated", "in chunks"])
def test_a_request_beyond_the_limit_is_refused_before_it_is_decoded(server: str, stated: bool) -> None:
    body = rows({"base64": "A" * (2 << 20)})
    host, port = server.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=300)
    with closing(connection):
        given = (
            {"body": body} if stated else {"body": iter([body[:1_000_000], body[1_000_000:]]), "encode_chunked": True}
        )
        headers = {"Content-Type": "application/json"} | ({} if stated else {"Transfer-Encoding": "chunked"})
        with suppress(BrokenPipeError, ConnectionResetError):  # it need not read on
            connection.request("POST", "/invocations", headers=headers, **given)
        answer = connection.getresponse()
        assert answer.status == 413
        assert "MOCLIP_SERVE_MAX_MIB" in json.loads(answer.read())["message"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"dataframe_records": [' + b"[]," * 250_000 + b"[]]}"),
        ("text/csv", b"base64\n" + b"a\n" * 300_000),
    ],
)
def test_a_request_of_values_without_end_is_refused_before_it_is_read(server: str, kind: str, body: bytes) -> None:
    code, found = refusal(server, body, kind)
    assert code == 413
    assert "more than 200,000 values" in found["message"]


def test_a_video_beyond_the_servers_limits_is_refused(server: str, tmp_path: Path) -> None:
    long = encode(tmp_path / "long.avi", [scrolling(1, 0, 0, 32, 32)[0]] * 200)
    code, found = refusal(server, rows({"base64": base64.b64encode(long.read_bytes()).decode()}))
    assert code == 400
    assert "200 frames, the limit is 100 (limits.frames)" in found["message"]


def test_a_host_that_is_not_this_machine_is_refused(server: str) -> None:
    port = server.rpartition(":")[2]
    for host in ("evil.example", f"evil.example:{port}", "192.168.1.5", "127.0.0.1.evil.example", ""):
        code, found = refusal(server, rows({"path": "a.avi"}), headers={"Host": host})
        assert code in (400, 403)
        assert "host" in found["message"]
    for host in ("localhost", f"localhost:{port}", f"[::1]:{port}", "LOCALHOST"):
        request = urllib.request.Request(f"{server}/ping", headers={"Host": host})
        with urllib.request.urlopen(request, timeout=300) as answer:
            assert answer.status == 200


def test_the_line_for_curl_in_the_readme_works(server: str, clip: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (line,) = (line for line in readme.splitlines() if "curl" in line and "/invocations" in line)
    ours = re.sub(r"http://127\.0\.0\.1:\d+", server, line).replace("VIDEO.avi", str(clip))
    assert ours.count(server) == 1
    done = subprocess.run(["bash", "-c", ours], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout)["predictions"][0]["frames"] == 16


def test_without_a_root_no_path_is_opened(trained: Path, clip: Path) -> None:
    served = Served(Predictor.load(pipeline(trained), head="motion_only"))
    with pytest.raises(
        MlflowException, match=r"row 1: this server opens no 'path' \(its MOCLIP_SERVE_ROOT is not set\)"
    ):
        served.predict(pd.DataFrame([{"path": str(clip)}]))


def test_bytes_beyond_the_limit_are_not_decoded(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(Predictor.load(pipeline(trained), head="motion_only"), most_bytes=1 << 20)
    monkeypatch.setattr("moclip.tracking.serving.base64.b64decode", None)  # it would be called
    with pytest.raises(MlflowException, match="row 1: more than 1 MiB, the limit of MOCLIP_SERVE_MAX_MIB"):
        served.predict(pd.DataFrame([{"base64": "A" * (2 << 20)}]))


@pytest.mark.skipif(sys.platform != "linux", reason="bounds the decoder's memory by Linux's means")
@pytest.mark.parametrize(
    ("bomb", "limit"),
    [(lambda path: bombs.stsz(path, 1 << 25, 3), "frames"), (bombs.png, "pixels")],
    ids=["stsz", "png"],
)
def test_a_bomb_in_bytes_is_refused_by_its_row_and_the_next_is_answered(
    trained: Path, clip: Path, tmp_path: Path, bomb: Callable[[Path], Path], limit: str
) -> None:
    served = Served(Predictor.load(pipeline(trained), head="motion_only"))
    good = pd.DataFrame([{"base64": base64.b64encode(clip.read_bytes()).decode()}])
    served.predict(good)  # the decoding process is there
    evil = base64.b64encode(bomb(tmp_path / "evil.bin").read_bytes()).decode()
    begun = time.monotonic()
    with pytest.raises(MlflowException, match=rf"^row 1[^/]*limits\.{limit}") as refused:
        served.predict(pd.DataFrame([{"base64": evil}]))
    assert refused.value.get_http_status_code() == 400
    assert time.monotonic() - begun < 30  # 5 s on a machine that does nothing else
    assert call(clip, peak_mb) < 500
    served.predict(good)


def test_what_nobody_foresaw_tells_nothing(trained: Path, clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    served = Served(
        replace(Predictor.load(pipeline(trained), head="motion_only"), heads={"motion_only": None}), clip.parent
    )  # type: ignore[dict-item]
    with pytest.raises(MlflowException) as refused:
        served.predict(pd.DataFrame([{"path": clip.name}]))
    assert refused.value.message == "internal error; the server's log says more"
    assert refused.value.get_http_status_code() == 500
    assert "AttributeError" in caplog.text


def test_a_server_without_its_gate_does_not_answer(trained: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served(Predictor.load(pipeline(trained), head="motion_only"), clip.parent)
    monkeypatch.setenv(gate.SERVED, "model")
    with pytest.raises(MlflowException, match="no gate before it"):
        served.predict(pd.DataFrame([{"path": clip.name}]))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MOCLIP_SERVE_ROOT", "/nonexistent", "must be a folder"),
        ("MOCLIP_SERVE_MAX_MIB", "many", "whole number of MiB"),
        ("MOCLIP_SERVE_MAX_MIB", "0", "whole number of MiB"),
        ("MOCLIP_LIMITS", "frames", "must be NAME=NUMBER"),
        ("MOCLIP_LIMITS", "colour=3", "must be NAME=NUMBER"),
        ("MOCLIP_LIMITS", "frames=x", "'x' is no whole number"),
        ("MOCLIP_LIMITS", "seconds=-1", "must be a number above 0"),
    ],
)
def test_a_server_does_not_start_with_what_cannot_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ParamsError, match=reason):
        serving._load_pyfunc("no model is looked at before")
