"""Processes that have ended, and some that end as a crash does."""

import os
import resource
import subprocess
import sys

import psutil


def ended_process() -> int:
    """Number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def has_ended(pid: int) -> bool:
    """Whether a process is no more, or only its parent has yet to notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def crash() -> None:
    """End this process as a fault in a C library does."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()
