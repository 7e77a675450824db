"""Processes that have ended, and some that end as a crash does."""

import os
import resource
import subprocess
import sys


def ended_process() -> int:
    """Number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def crash() -> None:
    """End this process as a fault in a C library does."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()
