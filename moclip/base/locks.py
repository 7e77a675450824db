"""One process at a time in a working directory."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)


@contextmanager
def alone_in(directory: Path, meanwhile: str) -> Iterator[None]:
    """Hold the directory's lock; while another process has it, log `meanwhile` (with %s for the directory) and wait."""
    lock = FileLock(directory / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info(meanwhile, directory)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
