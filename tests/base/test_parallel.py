"""Tasks in several processes: each has its outcome, also where one of them crashes its process or Ctrl-C comes."""

import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from moclip.base import parallel
from moclip.base.parallel import cores, spread
from tests.support.imports import ROOT
from tests.support.processes import crash
from tests.support.terminal import on_terminal

CRASHED = -1


@pytest.mark.parametrize(
    ("text", "quota"), [("200000 100000\n", 2), ("250000 100000\n", 2), ("50000 100000\n", 0), ("max 100000\n", None)]
)
def test_a_container_gets_its_share_of_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, quota: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert parallel._quota(tmp_path / "cpu.max") == quota
    monkeypatch.setattr(parallel, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert cores() == (max(1, quota) if quota is not None else 16)
    assert parallel._quota(tmp_path / "absent") is None


def square(number: int) -> int:
    return number**2


def square_or_crash(number: int) -> int:
    if number % 10 == 7:
        crash()
    return number**2


def square_or_fail(number: int) -> int:
    if number == 7:
        raise ValueError("seven")
    return number**2


def process_of(number: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def crashed(number: int) -> int:
    return CRASHED


def test_each_task_has_its_outcome():
    expected = [(number, number**2) for number in range(50)]
    assert list(spread(square, range(50), 1, crashed)) == expected
    assert sorted(spread(square, range(50), 2, crashed)) == expected
    assert list(spread(square, [], 2, crashed)) == []


def test_one_job_is_this_process_and_none_is_one_a_core(monkeypatch):
    assert {found for _, found in spread(process_of, range(3), 1, crashed)} == {os.getpid()}
    monkeypatch.setattr(parallel, "cores", lambda: 3)
    found = {found for _, found in spread(process_of, range(30), None, crashed)}
    assert os.getpid() not in found
    assert 1 <= len(found) <= 3
    assert cores() >= 1


def test_tasks_that_crash_their_process_are_found_and_the_others_are_done():
    found = dict(spread(square_or_crash, range(20), 2, crashed))
    assert found == {number: CRASHED if number % 10 == 7 else number**2 for number in range(20)}


def test_a_pool_that_is_lost_before_it_gets_work_is_replaced(monkeypatch):
    pools = []
    make = parallel._pool

    def broken_first(jobs: int) -> ProcessPoolExecutor:
        pools.append(make(jobs))
        if len(pools) == 1:
            with pytest.raises(BrokenProcessPool):
                pools[0].submit(os._exit, 1).result()
        return pools[-1]

    monkeypatch.setattr(parallel, "_pool", broken_first)
    assert sorted(spread(square, range(12), 2, crashed)) == [(number, number**2) for number in range(12)]
    assert len(pools) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_comes_through_and_no_process_stays(jobs):
    before = multiprocessing.active_children()
    with pytest.raises(ValueError, match="seven"):
        list(spread(square_or_fail, range(500), jobs, crashed))
    assert multiprocessing.active_children() == before


def test_who_stops_early_leaves_no_process():
    before = multiprocessing.active_children()
    outcomes = spread(square, range(500), 2, crashed)
    next(outcomes)
    outcomes.close()
    assert multiprocessing.active_children() == before


def test_the_program_is_not_run_again_in_its_workers(tmp_path):
    """A script without `if __name__ == "__main__"`, which processes that import it would start without end."""
    script = tmp_path / "script.py"
    script.write_text(
        "from moclip.base.parallel import spread\n"
        "print(sorted(spread(abs, [-1, -2, -3], 2, abs)))\n"
        "import __main__; print(__main__.__file__)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[(-3, 3), (-2, 2), (-1, 1)]", str(script)], done.stderr


def test_ctrl_c_reaches_the_program_alone_and_no_further_task_begins(tmp_path):
    program = (
        "import pathlib, sys, time; from moclip.base import console; from moclip.base.parallel import spread\n"
        "from tests.base.test_parallel import leave_trace\n"
        "tasks = [pathlib.Path(sys.argv[1]) / str(number) for number in range(200)]\n"
        "work = lambda: [print('done', flush=True) for _ in spread(leave_trace, tasks, 2, str)]\n"
        "sys.exit(console.run(work, more='--verbose'))"
    )
    words = ["-c", program, str(tmp_path)]
    status, shown = on_terminal(words, type_at=lambda text: "\x03" if "done" in text else None)
    assert status == 130
    assert "Traceback" not in shown
    assert shown.replace("^C", " ").split()[-1] == "interrupted"
    assert 1 <= len(list(tmp_path.iterdir())) <= 20


def leave_trace(path: Path) -> None:
    path.touch()
    time.sleep(0.1)
