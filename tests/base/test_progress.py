"""Progress on a real pseudo-terminal, through a pipe, and where nobody asked for it."""

import logging
import re
import subprocess
import sys

import pytest

from moclip.base import progress
from moclip.base.progress import Progress
from tests.support.imports import ROOT
from tests.support.terminal import on_terminal

PROGRAM = """
import time
from moclip.base import console
from moclip.base import progress
console.set_up_logging("%(message)s")
progress.LINE_SECONDS = 0.05
with progress.Progress(total=30, desc="motion", unit="video") as bar:
    for n in range(30):
        time.sleep(0.01)
        bar.set_postfix_str(f"{n} bad", False)
        bar.update()
        if n == 20:
            console.logging.getLogger("moclip.x").warning("a word in between")
"""


def test_a_terminal_shows_a_bar_with_counts_rate_and_time_left():
    status, shown = on_terminal(["-c", PROGRAM])
    assert status == 0
    assert re.search(r"motion: +\d+%\|\S+ +\| \d+/30 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+ video/s, \d+ bad\]", shown)
    assert "30/30" in shown
    assert "\r\na word in between" in shown or "\ra word in between\r\n" in shown  # on a line of its own


def piped(**env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True, env={"PATH": "", **env}
    )
    assert done.stdout == ""
    return done.stderr


def test_a_pipe_gets_plain_lines_and_a_last_one():
    lines = [line for line in piped().splitlines() if line != "a word in between"]
    assert len(lines) > 2
    shape = r"motion: \d+/30 video \(\d+ %\), +[\d.]+ video/s, 00:0\d left, \d+ bad"
    assert all(re.fullmatch(shape, line) for line in lines[:-1]), lines
    assert re.fullmatch(r"motion: 30/30 video in 00:0\d, +[\d.]+ video/s, 29 bad", lines[-1])


def test_a_stage_is_named_in_its_lines():
    assert piped(DVC_STAGE="heads/dvc.yaml:fusion").splitlines()[-1].startswith("fusion: motion: 30/30 video in ")


def test_one_of_several_says_which_and_one_alone_does_not():
    def last(count: int) -> str:
        block = f"with progress.one_of('training', 3, {count}), progress.Progress("
        program = PROGRAM.replace("with progress.Progress(", block)
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stderr.splitlines()[-1]

    assert last(15).startswith("motion (training 3 of 15): 30/30 video in ")
    assert last(1).startswith("motion: 30/30 video in ")


def test_quiet_leaves_warnings_alone_on_a_terminal_and_in_a_pipe():
    assert piped(MOCLIP_QUIET="1") == "a word in between\n"
    assert on_terminal(["-c", PROGRAM], MOCLIP_QUIET="1") == (0, "a word in between\r\n")


def test_without_logging_set_up_nothing_is_shown(capfd):
    assert sum(Progress(range(5), desc="silent")) == 10
    assert capfd.readouterr() == ("", "")


def test_work_that_breaks_off_says_how_far_it_came(caplog):
    def work() -> None:
        with Progress(total=7, initial=2, desc="store") as bar:
            bar.update(3)
            raise ZeroDivisionError

    with caplog.at_level(logging.INFO), pytest.raises(ZeroDivisionError):
        work()
    (line,) = caplog.messages
    assert line.startswith("store: 5/7 it in 00:00")


def test_bytes_are_counted_in_their_units_also_before_the_size_is_known(caplog, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    with (
        caplog.at_level(logging.INFO),
        Progress(desc="a.zip", unit="B", unit_scale=True, unit_divisor=1024) as bar,
    ):
        bar.update(1 << 20)
        bar.total = 4 << 20
        bar.update(1 << 20)
    assert caplog.messages[0].startswith("a.zip: 1.00M/?B")
    assert "2.00M/4.00MB (50 %)" in caplog.messages[1]
