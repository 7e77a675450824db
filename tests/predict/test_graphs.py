"""ONNX graphs that a stranger made: no other file is opened, and what they may take is bounded."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.attacks.graphs import COLUMNS, GRAPHS, OUTSIDE, ROWS, external, model
from moclip.base.errors import StoreError
from moclip.predict import runtime
from moclip.predict.runtime import Network, session_of
from tests.support.imports import ROOT

ONES = np.ones((1, ROWS), np.float32)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    np.arange(ROWS * COLUMNS, dtype=np.float32).tofile("mine.bin")
    Path("link.bin").symlink_to("mine.bin")


def answer(graph: bytes) -> np.ndarray:
    return Network(session_of(graph, Path("motion.onnx")))(ONES)


@pytest.mark.parametrize("place", OUTSIDE.values(), ids=list(OUTSIDE))
def test_weights_outside_the_graph_are_not_read(place: str) -> None:
    with pytest.raises(StoreError, match=r"motion\.onnx: onnxruntime cannot read it"):
        answer(external(place)())


def test_onnxruntime_itself_would_read_them() -> None:
    """The control of the test above."""
    import onnxruntime

    session = onnxruntime.InferenceSession(external("mine.bin")(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": ONES})[0].shape == (1, COLUMNS)


@pytest.mark.parametrize("tried", GRAPHS)
def test_graphs_that_ask_for_too_much_are_refused(
    tried: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "MOST_S", 1.0)
    with pytest.raises(StoreError, match=r"onnxruntime (cannot read it|fails) \("):
        answer(GRAPHS[tried]())
    assert capfd.readouterr() == ("", "")


def test_a_graph_that_holds_all_it_needs_answers() -> None:
    from onnx import helper

    np.testing.assert_array_equal(answer(model([helper.make_node("Add", ["x", "x"], ["y"])], [])), 2 * ONES)


def test_onnxruntime_is_told_to_report_nothing_before_it_is_loaded() -> None:
    program = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            sys.exit(os.environ.get("ORT_DISABLE_TELEMETRY") != "1")
sys.meta_path.insert(0, Watch())
from moclip.predict.runtime import library
library()
"""
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", program], env=env, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_but_its_door_imports_onnxruntime() -> None:
    files = [path for name in ("moclip", "stages", "tools") for path in (ROOT / name).rglob("*.py")]
    found = [path for path in files if re.search(r"^\s*(import|from) onnxruntime", path.read_text(), re.MULTILINE)]
    assert [path.name for path in found] == ["runtime.py"]
