"""A tracking server that wants other files than its own: nothing is written, opened or sent on its word."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moclip.base.errors import StoreError
from moclip.predict.bundle import open_model, write_bundle
from moclip.tracking.models.fetch import fetch_model
from moclip.tracking.pending import deliver, keep
from moclip.tracking.store import ServerError, store_at
from tests.support.liar import GOOD, Liar, lying
from tests.support.processes import command_lines
from tests.support.tracking import free_port, until
from tests.support.trained import pipeline
from tests.tracking.test_record import result

SECRET = "S3cret"


@pytest.fixture
def liar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Liar]]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "served").mkdir()
    with lying(tmp_path / "served") as one:
        yield one


def fetch(liar: Any, tmp_path: Path, uri: str = "models:/m-1") -> Path:
    return fetch_model(uri, liar.url, tmp_path / "here/cache")


def serve_bundle(liar: Any, trained: Path, description: str = GOOD) -> None:
    write_bundle(liar.files / "data", open_model(pipeline(trained), 1))
    (liar.files / "MLmodel").write_text(description)


def test_honest_server_is_believed_and_kept_apart_from_others(liar: Any, trained: Path, tmp_path: Path) -> None:
    serve_bundle(liar, trained)
    bundle = fetch(liar, tmp_path)
    assert open_model(bundle).split == 1
    shutil.rmtree(liar.files)
    assert fetch(liar, tmp_path) == bundle
    with pytest.raises(Exception, match=r"MLflow"):
        fetch_model("models:/m-1", "http://127.0.0.1:9", tmp_path / "here/cache")


def test_database_that_is_down_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(
        ServerError, match=r"MLflow at postgresql://127\.0\.0\.1:9/db failed .*bring the store back"
    ) as told:
        fetch_model("models:/x@best", f"postgresql://u:{SECRET}@127.0.0.1:9/db", tmp_path)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("name", ["../x", "/abs", "..", ".", "", "a/b", "a\\b", "x" * 65, "m\x1b[31m", "ü"])
def test_id_that_would_be_a_path_is_refused(name: str, liar: Any, trained: Path, tmp_path: Path) -> None:
    serve_bundle(liar, trained)
    liar.said = {"model_id": name}
    with pytest.raises(StoreError, match="as the model's id, which is none; nothing was fetched"):
        fetch(liar, tmp_path)
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    "form", ["file://{}", "{}", "FILE://{}", "relative/{}", "models:/m-2", "runs:/1/x", "ftp://h/x"]
)
def test_place_on_this_machine_is_not_opened_on_a_servers_word(
    form: str, liar: Any, trained: Path, tmp_path: Path
) -> None:
    serve_bundle(liar, trained)
    liar.said = {"artifact_uri": form.format(liar.files)}
    with pytest.raises(StoreError, match="no server chooses what is opened here"):
        fetch(liar, tmp_path)
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("description", "told"),
    [
        (GOOD.replace("data: data", "data: ../y"), "is no folder inside it"),
        (GOOD.replace("data: data", "data: /etc"), "is no folder inside it"),
        (GOOD.replace("data: data", "data: ."), "is no folder inside it"),
        (GOOD.replace("data: data", "x: data"), "is no folder inside it"),
        (GOOD.replace("data: data", "data: [1]"), "is no folder inside it"),
        (GOOD.replace("moclip.tracking.serving", "os"), "none of moclip's"),
        ("flavors: !!python/object/apply:os.system [touch ran]", "cannot be read as MLflow's description"),
        ("flavors: {python_function: 1}", "cannot be read as MLflow's description"),
        ("[1, 2]", "cannot be read as MLflow's description"),
        ("[" * 5000, "cannot be read as MLflow's description"),
        ("a: b: c", "cannot be read as MLflow's description"),
        ("", "cannot be read as MLflow's description"),
    ],
)
def test_description_leads_nowhere_else(
    description: str, told: str, liar: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work := tmp_path / "work").mkdir()
    monkeypatch.chdir(work)
    (liar.files / "MLmodel").write_text(description)
    with pytest.raises(StoreError, match=told):
        fetch(liar, tmp_path)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../report.md", "..", "", "a/b", 7])
def test_waiting_result_uploads_only_what_lies_beside_it(
    name: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(tmp_path, "http://127.0.0.1:9")
    (page := tmp_path / "report.md").write_text("# Report")
    place = keep(result(artifacts=[page]), tmp_path / "none", tmp_path / "pending", store)
    facts = json.loads((place / "result.json").read_text())
    (place / "result.json").write_text(json.dumps(facts | {"artifacts": [name]}))
    with caplog.at_level(logging.WARNING):
        assert deliver(tmp_path / "pending", store, lambda kept: pytest.fail(f"{kept} was taken")) == 0
    assert "is no plain name, so it is not uploaded" in caplog.text


@pytest.mark.parametrize("inside", [False, True])
def test_waiting_result_uploads_nothing_through_a_link(
    inside: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(tmp_path, "http://127.0.0.1:9")
    (figures := tmp_path / "figures").mkdir()
    (figures / "one.svg").write_text("<svg/>")
    place = keep(result(artifacts=[figures]), tmp_path / "none", tmp_path / "pending", store)
    link = place / "artifacts/figures" / ("one.svg" if inside else "")
    shutil.rmtree(link) if link.is_dir() else link.unlink()
    link.symlink_to("/etc")
    with caplog.at_level(logging.WARNING):
        assert deliver(tmp_path / "pending", store, lambda kept: pytest.fail(f"{kept} was taken")) == 0
    assert "is a link or no file" in caplog.text


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize("told", [True, False], ids=["by a word", "by the environment"])
def test_password_on_a_command_line_of_a_child_would_be_seen(told: bool) -> None:
    """The control of the next test: a grandchild with the address as a word, and one with it in its environment."""
    wait = "import sys, time; print(flush=True); time.sleep(60)"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {wait!r}, *sys.argv[1:]])"
    words = [f"postgresql://u:{SECRET}@h/db"] if told else []
    env = os.environ | {"MLFLOW_BACKEND_STORE_URI": f"postgresql://u:{SECRET}@h/db"}
    command = [sys.executable, "-c", start, *words]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        try:
            parent.stdout.readline()
            assert any(SECRET in line for line in command_lines(parent.pid)) == told
        finally:
            os.killpg(parent.pid, 9)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_password_stands_in_no_process_list(migrated: Path, tmp_path: Path) -> None:
    """The address of the database goes by the environment, which its owner alone can read."""
    shutil.copy(migrated, tmp_path / "ui.db")
    port = free_port()
    env = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/ui.db?password={SECRET}"}
    with (tmp_path / "log").open("wb") as log:
        ui = subprocess.Popen(
            [sys.executable, "-m", "stages.commands.ui", "--port", str(port)],
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    seen: set[str] = set()  # a process may become another program: each line that it ever had counts

    def look() -> bool:
        seen.update(command_lines(ui.pid))
        return ui.poll() is not None or any("uvicorn" in line for line in seen)

    try:
        until(look, "the server that the UI starts", wait_s=180)
        assert ui.poll() is None, (tmp_path / "log").read_text()[-2000:]
        assert [line for line in seen if SECRET in line] == []
        assert SECRET not in (tmp_path / "log").read_text()
    finally:
        os.killpg(ui.pid, 9)
        ui.wait()
