import os
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from moclip.base.files import temporary_name
from moclip.training import checkpoint as module
from moclip.training.checkpoint import checkpoint_in
from tests.support.imports import ROOT
from tests.support.processes import ended_process

STATE: dict[str, Any] = {"weights": {"a": torch.arange(3.0)}, "history": [(0, 0.1, float("inf"))], "best": None}


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)


def killed(directory: Path, state: dict[str, Any] = STATE) -> Path:
    """A directory as a killed training leaves it."""
    with suppress(KeyboardInterrupt), checkpoint_in(directory) as checkpoint:
        checkpoint.save_if_due(lambda: state)
        raise KeyboardInterrupt
    return directory / "state.pt"


def test_state_comes_back_after_an_error_and_goes_with_the_end(tmp_path: Path) -> None:
    path = killed(tmp_path)
    left_over = tmp_path / temporary_name("state", ".pt").replace(f".{os.getpid()}.", f".{ended_process()}.")
    left_over.write_bytes(b"torn")
    with checkpoint_in(tmp_path) as checkpoint:
        found = checkpoint.load()
        assert not left_over.exists(), "what a killed process was writing is cleared away"
        assert found is not None
        assert torch.equal(found["weights"]["a"], STATE["weights"]["a"])
        assert {name: found[name] for name in ("history", "best")} == {
            name: STATE[name] for name in ("history", "best")
        }
        assert path.exists()
    assert not path.exists()


def test_nothing_was_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with checkpoint_in(tmp_path / "new") as checkpoint:
        assert checkpoint.load() is None
    assert not caplog.records


class Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("harm"),))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["torn", "empty", "code", "foreign", "list"])
def test_state_that_cannot_be_used_is_left_aside_with_a_word(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    path = killed(tmp_path)
    if kind == "torn":
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "code":
        path.write_bytes(pickle.dumps(Harmful()))
    else:
        torch.save({"weights": 1} if kind == "foreign" else [1], path)
    with checkpoint_in(tmp_path) as checkpoint:
        assert checkpoint.load() is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "state.pt: " in record.message
    assert "training starts over" in record.message
    assert not (tmp_path / "harm").exists(), "pickle was run"


def test_short_epochs_share_a_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAVE_EVERY_S", 30.0)
    seconds = iter([0.0, 10.0, 29.0, 31.0, 31.0, 60.0, 62.0, 62.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    saved = []
    with checkpoint_in(tmp_path) as checkpoint:
        for number in range(5):
            checkpoint.save_if_due(lambda number=number: saved.append(number) or {})
    assert saved == [2, 4]


def test_second_process_waits_for_the_first(tmp_path: Path) -> None:
    program = (
        "import sys, logging, pathlib; logging.basicConfig(level='INFO', format='%(message)s', stream=sys.stdout)\n"
        "from moclip.training.checkpoint import checkpoint_in\n"
        "with checkpoint_in(pathlib.Path(sys.argv[1])): print('in', flush=True)"
    )
    words = [sys.executable, "-u", "-c", program, str(tmp_path)]
    with checkpoint_in(tmp_path):
        other = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline().startswith("another process trains the same in")
        assert other.poll() is None
    out, _ = other.communicate(timeout=300)
    assert (out, other.returncode) == ("in\n", 0)
