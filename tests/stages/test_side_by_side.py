"""Long tasks in processes of their own: whichever way one ends badly, none goes on, and a message says why."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from moclip.base.errors import DataError, MoclipError
from stages._side_by_side import side_by_side
from tests.support.imports import ROOT
from tests.support.processes import has_ended
from tests.support.terminal import on_terminal
from tests.support.tracking import until

ENDLESS_S = 600


@dataclass(frozen=True)
class Task:
    """Leaves the number of its process in a file, and does what it is asked to."""

    file: Path
    then: str = "end"

    def __str__(self) -> str:
        return f"task {self.file.name}"


def work(task: Task) -> None:
    task.file.write_text(str(os.getpid()))
    if task.then == "fail":
        until(lambda: len(list(task.file.parent.iterdir())) > 1, "the other task")
        raise DataError(f"{task} cannot be done; do another one")
    if task.then == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.then == "last":
        time.sleep(ENDLESS_S)


def process_of(file: Path) -> int:
    until(lambda: file.exists() and file.read_text(), f"{file.name} to begin")
    return int(file.read_text())


def test_each_task_is_done_in_a_process_of_its_own_and_with_one_job_here(tmp_path: Path) -> None:
    tasks = [Task(tmp_path / str(number)) for number in range(3)]
    side_by_side(work, tasks, 2)
    processes = {process_of(task.file) for task in tasks}
    assert len(processes) == 3
    assert os.getpid() not in processes
    side_by_side(work, tasks, 1)
    assert {process_of(task.file) for task in tasks} == {os.getpid()}


def test_failing_task_says_why_and_ends_the_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = multiprocessing.active_children()
    tasks = [Task(tmp_path / "a", "last"), Task(tmp_path / "b", "fail"), Task(tmp_path / "c")]
    with pytest.raises(SystemExit) as ended:
        side_by_side(work, tasks, 2)
    assert ended.value.code == 1
    assert capfd.readouterr().err == "error: task b cannot be done; do another one\n"
    until(lambda: has_ended(process_of(tasks[0].file)), "the other task to end")
    assert not tasks[2].file.exists(), "what was not begun is not begun"
    until(lambda: multiprocessing.active_children() == before, "all processes to end")


def test_killed_task_is_named_with_what_ended_it(tmp_path: Path) -> None:
    tasks = [Task(tmp_path / "a", "last"), Task(tmp_path / "b", "die")]
    with pytest.raises(MoclipError, match=r"task b: its process was ended by SIGKILL \(.* memory\); run the stage ag"):
        side_by_side(work, tasks, 2)
    if tasks[0].file.exists():
        until(lambda: has_ended(process_of(tasks[0].file)), "the other task to end")


PROGRAM = """
import pathlib, sys
from moclip.base import console
from stages._side_by_side import side_by_side
from tests.stages.test_side_by_side import Task, work
tasks = [Task(pathlib.Path(sys.argv[1]) / name, "last") for name in "ab"]
sys.exit(console.run(lambda: side_by_side(work, tasks, 2), more="MOCLIP_VERBOSE=1"))
"""


def both_run(folder: Path) -> bool:
    return all((folder / name).exists() and (folder / name).read_text() for name in "ab")


def test_ctrl_c_ends_all_with_one_word(tmp_path: Path) -> None:
    keys: Callable[[str], str | None] = lambda shown: "\x03" if both_run(tmp_path) else None  # noqa: E731
    # The terminal is asked when something is shown: the tasks show nothing, so a clock does.
    ticking = "import threading, time\n" + (
        "def tick():\n    while True: print('.', end='', flush=True); time.sleep(0.2)\n"
        "threading.Thread(target=tick, daemon=True).start()\n"
    )
    status, shown = on_terminal(["-c", ticking + PROGRAM, str(tmp_path)], type_at=keys)
    assert status == 130
    assert "Traceback" not in shown
    assert shown.count("interrupted") == 1
    for name in "ab":
        until(lambda name=name: has_ended(process_of(tmp_path / name)), f"task {name} to end")


def test_tasks_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, env=env) as parent:
        until(lambda: both_run(tmp_path), "both tasks to begin")
        parent.kill()
    for name in "ab":
        until(lambda name=name: has_ended(process_of(tmp_path / name)), f"task {name} to end")
