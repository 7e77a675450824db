"""Not a stage: print as JSON which stages DVC would run and why, in words; for `moclip doctor`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moclip.base.errors import StoreError
from stages._entry import PARAMS_FILE, command
from stages.dvc.lock import CODE


def main() -> None:
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StoreError(" ".join(done.stderr.split()) or f"`dvc status` ended with {done.returncode}")
    sys.stdout.write(json.dumps(reasons(json.loads(done.stdout))) + "\n")


def reasons(status: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Why each stage would run; what always runs is no news."""
    found = {name: list(dict.fromkeys(_why(changes))) for name, changes in status.items()}
    return {name: why for name, why in found.items() if why}


def _why(changes: list[Any]) -> Iterator[str]:
    for change in changes:
        if change == "changed command":
            yield "its command changed"
        elif isinstance(change, dict):
            yield from map(_input, change.get("changed deps", {}).items())
            yield from (_output(path, state) for path, state in change.get("changed outs", {}).items())


def _input(item: tuple[str, Any]) -> str:
    path, state = item
    if path == PARAMS_FILE.name and isinstance(state, dict):
        return f"{', '.join(state)} changed"
    if Path(path).parts[0] in (CODE, "moclip", "stages"):
        return "its code changed"
    return f"{path} is not there yet" if state == "deleted" else f"{path} changed"


def _output(path: str, state: str) -> str:
    return f"{path} changed" if state in ("modified", "new") else f"{path} is not there"


if __name__ == "__main__":
    command(main)
