"""The programs that commands start: Git and DVC, by their names; one that is not there is named, with its remedy."""

import shutil
import subprocess
from typing import Any

from moclip.base.errors import StoreError

_REMEDIES = {
    "git": "install Git",
    "dvc": "`make setup` installs it, and `source .venv/bin/activate` puts it on the path",
}


def run(*words: str, **options: Any) -> "subprocess.CompletedProcess[Any]":
    """Run a program, and return what came of it, whatever its status.

    Raises:
        StoreError: there is no such program.
    """
    if shutil.which(words[0]) is None:
        raise StoreError(f"the program `{words[0]}` is not found; {_REMEDIES[words[0]]}")
    return subprocess.run(words, check=False, **options)
