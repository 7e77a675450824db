"""Folders that several workers of a test run share: the first that needs one makes it, the others wait for it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is made once a test run, whatever the number of workers. Read only: who changes it copies it.

    Args:
        factory: Pytest's own.
        name: Of the folder.
        make: Fills the empty folder; where that fails, the next who asks tries again.
    """
    own = factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own  # workers have folders beside each other
    folder, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
