"""Programs that commands start: one that is tied ends with who started it, and with it all that it started itself."""

import subprocess
import sys
import time

import psutil
import pytest

from moclip.base.errors import StoreError
from stages.dvc.program import run_tied
from tests.support.imports import ROOT

ENDS_S = 30
SLEEP = "import time; time.sleep(600)"
PROGRAM = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); {SLEEP}"
OWNER = f"import sys; from stages.dvc.program import run_tied; run_tied(sys.executable, '-c', {PROGRAM!r})"


def test_what_a_tied_program_started_ends_with_a_killed_owner():
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        process = psutil.Process(int(owner.stdout.readline()))
        program = process.parent()
        assert program is not None
        owner.kill()
        deadline = time.monotonic() + ENDS_S
        while not (_has_ended(process) and _has_ended(program)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _has_ended(process: psutil.Process) -> bool:
    """In some containers nobody collects what has ended."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_tied_program_is_as_another():
    words = ("import sys; print(sys.stdin.read() + 'said'); sys.exit(3)",)
    done = run_tied(sys.executable, "-c", *words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "said\n")


def test_a_tied_program_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StoreError, match="the program `dvc` is not found; `make setup` installs it"):
        run_tied("dvc", "version")
