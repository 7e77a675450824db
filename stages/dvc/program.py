"""The programs that commands start: Git and DVC, by their names; one that is not there is named, with its remedy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from moclip.base.errors import StoreError

_LEASH = Path(__file__).with_name("leash.py")
_REMEDIES = {
    "git": "install Git",
    "dvc": "`make setup` installs it, and `source .venv/bin/activate` puts it on the path",
}


def run(*words: str, **options: Any) -> "subprocess.CompletedProcess[Any]":
    """Run a program, and return what came of it, whatever its status.

    Raises:
        StoreError: there is no such program.
    """
    _require(words[0])
    return subprocess.run(words, check=False, **options)


def run_tied(*words: str, **options: Any) -> "subprocess.CompletedProcess[Any]":
    """As `run`, of a program that gets no input and ends with this process, as does all that it started; even a process
    that is killed leaves nothing running.
    """
    _require(words[0])
    theirs, ours = os.pipe()
    try:
        return run(sys.executable, "-I", "-S", str(_LEASH), *words, stdin=theirs, **options)
    finally:
        os.close(theirs)
        os.close(ours)


def _require(name: str) -> None:
    if shutil.which(name) is None:
        raise StoreError(f"the program `{name}` is not found; {_REMEDIES[name]}")
