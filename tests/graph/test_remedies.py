"""The remedy that a command names helps: each thing is broken, told, mended by the words told, and whole again."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.graph.test_pipeline import Repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def cut(path: Path) -> None:
    """Keep the first half of a file; DVC may have made it read-only."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def cut_motion(root: Path) -> None:
    cut(next((root / "data/motion").rglob("*.block")))


@dataclass(frozen=True)
class Fault:
    """What breaks, in which command it shows, by which status, the remedy that it names, and the status after it."""

    breaks: Callable[[Path], None]
    shows_in: str
    status: int
    remedy: str
    afterwards: int = 0


FAULTS = {
    "no manifest": Fault(lambda root: (root / "data/manifest.csv").unlink(), "data verify", 1, "dvc repro download"),
    "no splits": Fault(lambda root: shutil.rmtree(root / "data/splits"), "data audit", 1, "dvc repro download"),
    "no motion": Fault(lambda root: shutil.rmtree(root / "data/motion"), "data audit", 0, "dvc repro extract_motion"),
    "torn motion": Fault(cut_motion, "data audit", 1, "dvc repro extract_motion"),
    "no picture": Fault(
        lambda root: next((root / "reports/figures").iterdir()).unlink(),
        "report --html page.html",
        1,
        "dvc repro",
    ),
    "telemetry": Fault(
        lambda root: (root / ".dvc/config").unlink(),
        "doctor",
        1,
        "dvc config core.analytics false",
        afterwards=1,  # the doctor finds more to mend in a repository that no `make setup` made
    ),
}


@pytest.fixture(scope="module")
def own(finished: Repository) -> Repository:
    repository = Repository(finished.path, forks=True)
    repository.run("dvc", "config", "core.analytics", "false")
    return repository


def said(repository: Repository, words: str) -> tuple[int, str]:
    """Status of a command of moclip, and all that it prints, without breaks."""
    command = ["moclip", *words.split()]
    env = {name: value for name, value in repository.env.items() if name != "DVC_NO_ANALYTICS"}
    done = subprocess.run(command, check=False, cwd=repository.path, env=env, capture_output=True, text=True)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("name", FAULTS)
def test_remedy_that_is_named_helps(own: Repository, name: str) -> None:
    fault = FAULTS[name]
    fault.breaks(own.path)
    status, text = said(own, fault.shows_in)
    assert status == fault.status, text
    assert fault.remedy in text
    assert "Traceback" not in text
    own.run(*fault.remedy.split())
    status, text = said(own, fault.shows_in)
    assert status == fault.afterwards, text
    assert fault.remedy not in text


def test_shallow_clone_is_deepened_as_it_says(own: Repository, tmp_path: Path) -> None:
    own.run("git", "add", "-A")
    own.run("git", "commit", "-qm", "result")
    old = own.run("git", "rev-parse", "HEAD").strip()
    own.run("git", "commit", "-qm", "more", "--allow-empty")
    clone = Repository(tmp_path / "clone", forks=True)
    own.run("git", "clone", "-q", "--depth", "1", own.path.as_uri(), str(clone.path))
    status, text = said(clone, f"verify --against {old}")
    assert (status, "`git fetch --unshallow`" in text) == (1, True), text
    clone.run("git", "fetch", "-q", "--unshallow")
    status, text = said(clone, f"verify --against {old}")
    assert (status, "verdict: identical" in text) == (0, True), text
