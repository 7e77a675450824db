"""Records of what stages cost: found by what was written, never taken for another run's; and the table of them."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from moclip.base.meter import Cost
from moclip.report.cost import StageCost, cost_line, cost_page, cost_summary
from stages.dvc import cost as _cost
from stages.dvc.digest import md5
from tests.support.imports import ROOT

COST = Cost(wall_s=2.5, cpu_s=4.0, peak_mib=300.0, device="a processor", cores=2)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "train@1")
    monkeypatch.setattr(_cost, "dvc_command", lambda: "10-1")
    Path("in.csv").write_text("in")
    return tmp_path / "costs"


def run_stage(folder: Path, text: str, cost: Cost = COST) -> dict[str, str]:
    """As a stage does: stamps, work, record; returns what dvc.lock would say."""
    before = _cost.stamps(["--input", "in.csv", "--out", "out.csv", "--head", "fusion"])
    Path("out.csv").unlink(missing_ok=True)
    Path("out.csv").write_text(text)
    _cost.keep(folder, before, cost)
    return {"out.csv": md5(Path("out.csv"))}


def test_record_is_found_by_stage_and_content_alone(stage: Path) -> None:
    outs = run_stage(stage, "first")
    record = _cost.find(stage, "train@1", outs)
    assert record is not None
    assert record.cost == COST
    assert dict(record.outs) == outs, "what a stage reads is not what it wrote"
    assert _cost.find(stage, "train@2", outs) is None
    assert _cost.find(stage, "train@1", {"out.csv": "0" * 32}) is None


def test_variant_that_comes_back_shows_its_own_cost(stage: Path) -> None:
    first = run_stage(stage, "first", replace(COST, wall_s=1.0))
    second = run_stage(stage, "second", replace(COST, wall_s=9.0))
    for outs, wall_s in ((first, 1.0), (second, 9.0)):
        record = _cost.find(stage, "train@1", outs)
        assert record is not None
        assert record.cost.wall_s == wall_s


def test_two_commands_at_once_keep_their_own_records(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `dvc queue start -j 2` both may run the same stage; each shows what it took itself."""
    outs = run_stage(stage, "same", replace(COST, wall_s=1.0))
    monkeypatch.setattr(_cost, "dvc_command", lambda: "20-2")
    assert run_stage(stage, "same", replace(COST, wall_s=2.0)) == outs
    for command, wall_s in (("10-1", 1.0), ("20-2", 2.0), ("30-3", 2.0)):  # the third ran neither: the later one
        monkeypatch.setattr(_cost, "dvc_command", lambda command=command: command)
        record = _cost.find(stage, "train@1", outs)
        assert record is not None
        assert record.cost.wall_s == wall_s


def test_script_that_dvc_did_not_start_leaves_no_record(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_STAGE")
    run_stage(stage, "by hand")
    assert not stage.exists()


def test_address_of_a_stage_from_a_subfolder_is_its_name(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "../dvc.yaml:train@1")
    assert _cost.find(stage, "train@1", run_stage(stage, "x")) is not None


def test_stages_of_one_dvc_command_know_each_other(tmp_path: Path) -> None:
    """A process that is called dvc, its shell, and two stages below it."""
    program = "import os; from stages.dvc.cost import dvc_command; print(dvc_command())"
    child = f"sh -c '{sys.executable} -c \"{program}\"; true'"
    lines = ["import os, subprocess", "print(os.getpid(), flush=True)"]
    lines += [f"subprocess.run({child!r}, shell=True)"] * 2
    (tmp_path / "dvc").write_text("\n".join(lines))
    done = subprocess.run([sys.executable, str(tmp_path / "dvc")], cwd=ROOT, capture_output=True, text=True, check=True)
    pid, *found = done.stdout.split()
    assert len(found) == 2
    assert len(set(found)) == 1
    assert found[0].startswith(f"{pid}-")


def test_totals_count_what_is_known_and_say_what_is_not() -> None:
    stages = [StageCost("a", COST, now=True), StageCost("b|c", COST, now=False), StageCost("d", None, now=False)]
    summary = cost_summary(stages, "0" * 64)
    assert (summary["total_wall_s"], summary["now_wall_s"], summary["unknown"]) == (5.0, 2.5, ["d"])
    nothing = cost_summary([StageCost(name, None, now=False) for name in ("a", "b")], "0" * 64)
    assert cost_line(nothing) == "cost: not known; none of the 2 stages behind this result was run here"
    assert (
        cost_line(summary) == "cost: 5 s over 2 stages (at least: 1 more stage was not run here), 2 s in the last run"
    )
    page = cost_page(summary)
    assert "at least **5.0 s**" in page
    assert "| a | 2.5 | 4.0 | 300 | ran now |" in page
    assert "not run now; cost 2.5 s when it ran" in page
    assert page.count("not run here |") == 1
    assert "- a processor, 2 cores" in page


def test_nothing_known_is_no_zero() -> None:
    page = cost_page(cost_summary([StageCost("a", None, now=False)], "0" * 64))
    assert "0.0" not in page
    assert "None of the stages behind this result was run here" in page
