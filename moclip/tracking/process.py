"""Processes of trainings: a live run stays as long as its training's process lives."""

import psutil

# psutil computes the start of a process from the clock, so it moves a little when the clock is set.
TOLERANCE_S = 10.0


def process_tag(pid: int) -> str:
    """The id of a process and when it started, which no later process shares.

    Raises:
        psutil.NoSuchProcess: it is gone.
    """
    return f"{pid} {psutil.Process(pid).create_time():.0f}"


def is_alive(tag: str) -> bool:
    """Whether the process of a tag still runs."""
    pid, started = tag.split()
    try:
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(started)) < TOLERANCE_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
