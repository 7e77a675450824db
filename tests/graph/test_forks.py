"""What runs a test's stages as forks gives what a process of their own gives: words, files, status, parents."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.forks import programs
from tests.support.processes import has_ended
from tests.support.tracking import until

STAGE = """
import os, pathlib, sys, time
import psutil
here = pathlib.Path.cwd().name
print(here, os.environ["GIVEN"], *sys.argv[1:], __name__, os.getppid() == psutil.Process().parents()[0].pid)
print("on stderr", file=sys.stderr)
if "raise" in sys.argv:
    raise KeyError("a bug")
if "wait" in sys.argv:
    pathlib.Path("pid").write_text(str(os.getpid()))
    time.sleep(600)
sys.exit(3)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/own.py").write_text(STAGE)
    (tmp_path / "params.yaml").write_text("compute: {kernels: portable}\n")
    return tmp_path


@pytest.fixture
def environment() -> Mapping[str, str]:
    folder = programs("psutil")
    if folder is None:
        pytest.skip("needs pidfd_open of Linux")
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "GIVEN": "a value"}


def run(place: Path, environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, check=False)


def test_fork_is_what_was_asked_for_where_it_was_asked(place: Path, environment: Mapping[str, str]) -> None:
    done = run(place, environment, "python", "-m", "stages.own", "--out", "a b")
    assert done.stdout == f"{place.name} a value --out a b __main__ False\n", "its parents are those of the client"
    assert done.stderr == "on stderr\n"
    assert done.returncode == 3
    done = run(place, environment, "python", "-m", "stages.own", "raise")
    assert done.stderr.splitlines()[-1] == "KeyError: 'a bug'"
    assert done.returncode == 1


def test_all_else_is_a_process_of_its_own(place: Path, environment: Mapping[str, str]) -> None:
    kernels = environment | {"MKL_CBWR": "AUTO"}
    assert run(place, kernels, "python", "-m", "stages.own").stdout.endswith("__main__ True\n")
    (place / "params.yaml").write_text("compute: {kernels: native}\n")
    assert run(place, environment, "python", "-m", "stages.own").stdout.endswith("__main__ True\n")
    assert run(place, environment, "python", "-c", "print(3)").stdout == "3\n"


def test_fork_ends_with_its_client(place: Path, environment: Mapping[str, str]) -> None:
    with subprocess.Popen(["python", "-m", "stages.own", "wait"], cwd=place, env=environment) as client:
        until(lambda: (place / "pid").exists() and (place / "pid").read_text(), "the fork to begin")
        client.kill()
    until(lambda: has_ended(int((place / "pid").read_text())), "the fork to end")
    assert run(place, environment, "python", "-m", "stages.own").returncode == 3, "the server goes on"
