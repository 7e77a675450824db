"""How commands and stages end: refusals, bugs, Ctrl-C and closed pipes, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import ROOT
from tests.support.terminal import on_terminal

IMPORTS = "import errno, sys, time; from moclip.base import console; from moclip.base.errors import DataError\n"


def ends(work: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command whose work is the function body `work`."""
    program = f"{IMPORTS}def work():\n    {work}\nsys.exit(console.run(work, more='--verbose'))"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MOCLIP_")}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean | env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("work", "status", "message"),
    [
        ("raise DataError('videos: three are missing; bring them back')", 1,
         "error: videos: three are missing; bring them back\n"),
        ("raise OSError(errno.ENOSPC, 'No space left on device', 'out.npz')", 1,
         "error: out.npz: No space left on device; free some space, then run it again\n"),
        ("import no_such_package", 1,
         "error: No module named 'no_such_package'; `make setup` installs everything, "
         "`moclip doctor` lists what is missing\n"),
        ("import moclip.no_such_module", 70,
         "internal error: ModuleNotFoundError: No module named 'moclip.no_such_module'; this is a bug in moclip: "
         "run it again with --verbose and report the traceback\n"),
        ("1 / 0", 70,
         "internal error: ZeroDivisionError: division by zero; this is a bug in moclip: "
         "run it again with --verbose and report the traceback\n"),
        ("open('no such file')", 70,
         "internal error: FileNotFoundError: [Errno 2] No such file or directory: 'no such file'; "
         "this is a bug in moclip: run it again with --verbose and report the traceback\n"),
        ("raise KeyboardInterrupt", 130, "interrupted\n"),
        ("raise BrokenPipeError('a worker is gone')", 70,
         "internal error: BrokenPipeError: a worker is gone; this is a bug in moclip: "
         "run it again with --verbose and report the traceback\n"),
        ("return 3", 3, ""),
        ("pass", 0, ""),
    ],
)  # fmt: skip
def test_every_end_is_one_message_and_a_status(work, status, message):
    done = ends(work)
    assert (done.returncode, done.stderr) == (status, message)


@pytest.mark.parametrize("work", ["raise DataError('why')", "1 / 0", "raise KeyboardInterrupt"])
def test_verbose_shows_the_trace_before_the_message(work):
    done = ends(work, MOCLIP_VERBOSE="1", MOCLIP_QUIET="1")
    assert done.returncode == ends(work).returncode
    assert done.stderr.startswith("Traceback")
    assert ", in work\n" in done.stderr
    assert done.stderr.splitlines()[-1].startswith(("error: why", "internal error: Zero", "interrupted"))


def test_zero_means_unset():
    assert "Traceback" not in ends("1 / 0", MOCLIP_VERBOSE="0").stderr


def test_libraries_stay_silent_unless_asked():
    say = (
        "import logging; console.set_up_logging('%(message)s'); "
        "[logging.getLogger(n).log(l, f'{n} {l}') for n in ('moclip.a', 'stages.b', 'alembic') for l in (10, 20, 30)]"
    )
    assert ends(say).stderr.split("\n") == [
        *["moclip.a 20", "moclip.a 30", "stages.b 20", "stages.b 30", "alembic 30"], "",
    ]  # fmt: skip
    assert ends(say, MOCLIP_QUIET="1").stderr.split("\n") == ["moclip.a 30", "stages.b 30", "alembic 30", ""]
    assert "alembic 10" not in (loud := ends(say, MOCLIP_VERBOSE="1").stderr)
    assert {"moclip.a 10", "alembic 20"} <= set(loud.split("\n"))


def test_ctrl_c_gives_one_line_and_status_130():
    program = f"{IMPORTS}\ndef work():\n    print('ready', flush=True)\n    time.sleep(60)\n"
    program += "sys.exit(console.run(work, more='--verbose'))"
    status, shown = on_terminal(["-c", program], type_at=lambda shown: "\x03" if "ready" in shown else None)
    assert status == 130
    assert shown.replace("^C", " ").split() == ["ready", "interrupted"]


PRESETS = ["preset", "--directory", str(ROOT / "presets")]


@pytest.mark.parametrize(
    ("unbuffered", "command"), [("", PRESETS), ("1", PRESETS), ("", ["--help"]), ("", ["data", "verify", "--help"])]
)
def test_a_reader_that_leaves_early_is_no_fault(unbuffered, command):
    """As `| head`, whose end of the pipe is closed before the first line comes."""
    read, write = os.pipe()
    os.close(read)
    call = [sys.executable, "-c", "import sys; from moclip.cli.main import main; sys.exit(main())", *command]
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(call, cwd=ROOT, env=env, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def moclip(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", "import sys; from moclip.cli.main import main; sys.exit(main())", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words",
    [
        ("-v", "data", "verify", "--manifest", "absent.csv"),
        ("data", "--verbose", "verify", "--manifest", "absent.csv"),
        ("data", "verify", "--manifest", "absent.csv", "-v"),
        ("-q", "data", "verify", "--manifest", "absent.csv", "--verbose"),
    ],
)
def test_verbosity_goes_before_and_after_the_command(tmp_path, words):
    done = moclip(tmp_path, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    quiet = moclip(tmp_path, *(word for word in words if word not in ("-v", "--verbose")))
    assert quiet.stderr.count("\n") == 1
    assert quiet.stderr.startswith("error: absent.csv: there is no such file")
