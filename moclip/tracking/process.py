"""Processes as tags: a live run stays as long as the command lives that started its training."""

import psutil

# psutil computes the start of a process from the clock, so it moves a little when the clock is set.
TOLERANCE_S = 10.0


def process_tag(pid: int) -> str:
    """The id of a process and when it started, in seconds since 1970; no later process shares both.

    Raises:
        psutil.NoSuchProcess: it is gone.
    """
    return f"{pid}-{int(psutil.Process(pid).create_time())}"


def is_same(tag: str, other: str) -> bool:
    """Whether two tags name the same process."""
    (pid, _, start), (other_pid, _, other_start) = tag.partition("-"), other.partition("-")
    return pid == other_pid and abs(int(start) - int(other_start)) < TOLERANCE_S


def is_alive(tag: str) -> bool:
    """Whether the process of a tag still runs."""
    pid = int(tag.partition("-")[0])
    try:
        return is_same(tag, process_tag(pid)) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
