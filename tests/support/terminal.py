"""Run a Python program as a person does: on a pseudo-terminal, whose screen text comes back."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.imports import ROOT

LONGEST_SECONDS = 60.0


def on_terminal(
    words: Sequence[str], cwd: Path = ROOT, type_at: Callable[[str], str | None] = lambda shown: None, **env: str
) -> tuple[int, str]:
    """Exit status, and all that was shown. `type_at` sees that after each piece and may answer with keys, once."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        # A terminal of its own, so that Ctrl-C reaches this program and those that it starts.
        start_new_session=True,
        preexec_fn=_take_terminal,  # noqa: PLW1509
    ) as process:
        os.close(slave)
        shown, typed = "", False
        end = time.monotonic() + LONGEST_SECONDS
        with suppress(OSError):  # what reading says when the program has ended
            while time.monotonic() < end and (piece := os.read(master, 4096)):
                shown += piece.decode(errors="replace")
                if not typed and (keys := type_at(shown)):
                    os.write(master, keys.encode())
                    typed = True
        os.close(master)
        return process.wait(LONGEST_SECONDS), shown


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it is ignored below `make test &`, and that is inherited
