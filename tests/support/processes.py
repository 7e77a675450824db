"""Processes that have ended, and some that end as a crash does."""

import os
import resource
import subprocess
import sys
from pathlib import Path

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


def command_lines(group: int) -> set[str]:
    """What `ps` shows of the processes of a group."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.getpgid(int(path.parent.name)) == group:
                found.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return found


def crash() -> None:
    """End this process as a fault in a C library does."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()
