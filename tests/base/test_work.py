"""Long work: every failure listed, every finished file kept, one process at a time."""

import logging
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from moclip.base import progress
from moclip.base.errors import DataError, MoclipError, StoreError
from moclip.base.files import atomic_path, temporary_name
from moclip.base.work import Finished, Work, alone_in, finish, gather
from tests.support.imports import ROOT
from tests.support.processes import crash
from tests.support.terminal import on_terminal


def half(number: int) -> int:
    """Of an even number; 13 crashes, and what cannot be divided is refused."""
    if number == 13:
        crash()
    if number % 2:
        raise StoreError(f"{number} is odd")
    return number // 2


def keep_half(number: int, file: Path) -> int:
    found = half(number)
    with atomic_path(file) as temporary:
        temporary.write_text(str(found))
    return found


def refuse(messages: list[str]) -> DataError:
    return DataError(f"{len(messages)} bad: " + ", ".join(messages))


PLAIN = Work("test", "number")
LISTED = Work("test", "number", refuse=refuse, crashed="{} crashes".format)
name = "{:02d}.txt".format


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_are_in_the_order_of_the_items(jobs):
    items = [8, 2, 6, 2, *range(10, 60, 2)]
    assert gather(items, half, PLAIN, jobs=jobs) == [number // 2 for number in items]
    assert gather([], half, PLAIN, jobs=jobs) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_failures_are_listed_in_order_and_the_others_are_done(jobs, tmp_path):
    with pytest.raises(DataError, match=r"^3 bad: 7 is odd, 3 is odd, 5 is odd$"):
        gather([7, 2, 3, 4, 5], half, LISTED, jobs=jobs)
    with pytest.raises(DataError, match=r"^2 bad: 7 is odd, 3 is odd$"):
        finish([7, 2, 3, 4], name, keep_half, tmp_path, LISTED, jobs=jobs)
    assert contents(tmp_path) == {"02.txt": "1", "04.txt": "2"}


def contents(shelf: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(shelf.glob("[!.]*"))}


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_failure_ends_work_that_lists_none(jobs):
    with pytest.raises(StoreError, match=r"^3 is odd$"):
        gather([2, 3, 4], half, PLAIN, jobs=jobs)


def test_what_crashes_its_process_is_named_among_the_failures(tmp_path):
    items = [2, 13, 7, *range(20, 40, 2)]
    with pytest.raises(DataError, match=r"^2 bad: 13 crashes, 7 is odd$"):
        finish(items, name, keep_half, tmp_path, LISTED, jobs=2)
    assert len(contents(tmp_path)) == 11
    with pytest.raises(MoclipError, match=r"^13: the process that worked on it crashed$"):
        gather([2, 13, 4], half, PLAIN, jobs=2)


def test_finished_files_are_not_made_again(tmp_path):
    made = []

    def keep(number: int, file: Path) -> None:
        made.append(number)
        keep_half(number, file)

    do = partial(finish, key=name, do=keep, shelf=tmp_path, work=PLAIN)
    assert do([4, 2]) == Finished([tmp_path / "04.txt", tmp_path / "02.txt"], 2)
    assert do([2, 6, 4]) == Finished([tmp_path / "02.txt", tmp_path / "06.txt", tmp_path / "04.txt"], 1)
    assert made == [4, 2, 6]
    (tmp_path / "02.txt").write_text("")
    assert do([2, 6, 4], is_finished=lambda _, file: file.exists() and file.stat().st_size > 0).made == 1
    assert contents(tmp_path) == {"02.txt": "1", "04.txt": "2", "06.txt": "3"}


def test_an_interruption_keeps_what_is_finished(tmp_path):
    def keep(number: int, file: Path) -> None:
        if number == 6:
            raise KeyboardInterrupt
        keep_half(number, file)

    with pytest.raises(KeyboardInterrupt):
        finish([2, 4, 6, 8], name, keep, tmp_path, PLAIN)
    assert list(contents(tmp_path)) == ["02.txt", "04.txt"]


def test_progress_shows_units_their_rate_and_what_was_finished_before(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "moclip")
    (tmp_path / "04.txt").touch()
    work = Work("test", "number", size=lambda number: number, counts="halves", refuse=refuse)
    with pytest.raises(DataError):
        finish([4, 6, 7], name, keep_half, tmp_path, work)
    first, *_, last = [record.getMessage() for record in caplog.records]
    assert first == "4 of 17 numbers were finished before"
    assert last.startswith("test: 13/13 number in ")
    assert last.endswith(" halves/s, 1 bad")


def test_ctrl_c_ends_all_with_one_line_and_the_next_call_goes_on(tmp_path):
    program = (
        "import sys; from pathlib import Path; from moclip.base import console\n"
        "from moclip.base.work import alone_in, finish; from tests.base.test_work import PLAIN, keep_slowly, name\n"
        "console.set_up_logging('%(message)s')\n"
        "def work():\n"
        "    with alone_in(Path(sys.argv[1]), 'tests') as shelf:\n"
        "        finish(range(0, 400, 2), name, keep_slowly, shelf, PLAIN, jobs=2)\n"
        "sys.exit(console.run(work, more='--verbose'))"
    )
    status, shown = on_terminal(
        ["-c", program, str(tmp_path)], type_at=lambda text: "\x03" if list(tmp_path.glob("*.txt")) else None
    )
    assert (status, "Traceback" in shown) == (130, False)
    assert shown.replace("^C", " ").split()[-1] == "interrupted"
    kept = list(tmp_path.glob("*.txt"))
    assert 1 <= len(kept) < 100
    with alone_in(tmp_path, "tests") as shelf:
        assert finish(range(0, 400, 2), name, keep_half, shelf, PLAIN).made == 200 - len(kept)
        assert not list(shelf.glob(".*"))


def keep_slowly(number: int, file: Path) -> int:
    subprocess.run(["sleep", "0.05"], check=True)
    return keep_half(number, file)


def test_processes_work_in_a_directory_one_after_the_other(tmp_path):
    program = (
        "import sys, logging, pathlib; logging.basicConfig(level='INFO', format='%(message)s', stream=sys.stdout)\n"
        "from moclip.base.work import alone_in\n"
        "with alone_in(pathlib.Path(sys.argv[1]), 'tests'): print('in', flush=True)"
    )
    words = [sys.executable, "-u", "-c", program, str(tmp_path / "new")]
    with alone_in(tmp_path / "new", "tests") as shelf:
        mine = shelf / temporary_name("mine")
        mine.touch()
        other = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == f"another process tests in {shelf}; waiting for it\n"
        assert other.poll() is None
    out, _ = other.communicate(timeout=300)
    assert (out, other.returncode) == ("in\n", 0)
    assert mine.exists(), "it is no left-over while its process lives"
