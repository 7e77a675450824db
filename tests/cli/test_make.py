"""What `make` removes: nothing but its own, whatever VENV names, and no result that waits for a server."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moclip.cli import doctor
from tests.support.imports import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    return tmp_path


def make(place: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", "-s", *words], cwd=place, capture_output=True, text=True, check=False)


def test_help_names_the_port(place: Path) -> None:
    assert "127.0.0.1:7777" in make(place, "help", "PORT=7777").stdout


@pytest.mark.parametrize("kind", ["a folder", "a hidden file in a folder", "a link to an environment", "a file"])
def test_an_environment_is_made_only_where_nothing_of_a_person_lies(place: Path, kind: str) -> None:
    target = place / "mine"
    match kind:
        case "a file":
            target.write_text("mine")
        case "a link to an environment":
            (place / "other").mkdir()
            (place / "other/pyvenv.cfg").write_text("mine")
            target.symlink_to("other")
        case _:
            target.mkdir()
            (target / ("note" if kind == "a folder" else ".note")).write_text("mine")
    before = sorted(path.read_text() for path in place.rglob("*") if path.is_file())
    done = make(place, "state", "VENV=mine")
    assert done.returncode != 0
    assert "error: mine is a link or no virtual environment, and would be emptied; remove it yourself" in done.stderr
    assert sorted(path.read_text() for path in place.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("kind", ["nothing", "an empty folder", "an older environment"])
def test_an_environment_is_made_where_there_is_none_or_an_older_one(place: Path, kind: str) -> None:
    if kind != "nothing":
        (place / "mine").mkdir()
    if kind == "an older environment":
        (place / "mine/pyvenv.cfg").touch()
    done = make(place, "state", "VENV=mine", "PYTHON=echo asked for; false")
    assert "asked for" in done.stdout, done.stderr


def test_an_environment_of_the_same_python_is_kept_and_brought_up_to_the_lock(place: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "mine"], check=True)
    (place / "mine/kept").touch()
    for name, is_kept in (("mine", True), ("moved", False)):
        if name == "moved":  # its programs name the place at which it was made
            (place / "mine").rename(place / "moved")
            os.utime(place / "pyproject.toml", (time.time() + 60,) * 2)
        done = make(place, "setup", f"VENV={name}", f"PYTHON={sys.executable}", "PIP=echo installed; true")
        assert "installed" in done.stdout, done.stderr
        assert (place / name / "kept").exists() == is_kept


def test_clean_keeps_what_waits_for_a_server(place: Path) -> None:
    for name in ("unrecorded/k/result.json", "extract_motion-1/chunk", "lock"):
        path = place / ".work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert make(place, "clean").returncode == 0
    assert [path.name for path in (place / ".work").iterdir()] == ["unrecorded"]
    assert (place / ".work/unrecorded/k/result.json").is_file()
    shutil.rmtree(place / ".work")
    assert make(place, "clean").returncode == 0


def test_state_of_dvc_is_shut_as_doctor_advises(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_SITE_CACHE_DIR", raising=False)
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    for words in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(words, cwd=place, check=True)
    config = place / ".dvc/config"
    subprocess.run(["dvc", "config", "--local", "core.site_cache_dir", str(place / "open/dvc")], cwd=place, check=True)
    found = doctor._state(config)
    assert (found.state, found.remedy) == ("missing", "make state")
    (place / "mine").mkdir()
    (place / "mine/.installed").touch()
    done = make(place, *found.remedy.split()[1:], "VENV=mine")
    assert done.returncode == 0, done.stderr
    assert doctor._state(config).state == "ok"
    assert (place / ".dvc/tmp/site/repo").stat().st_mode & 0o777 == 0o700
