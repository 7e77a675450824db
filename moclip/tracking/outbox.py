"""Results that a tracking server could not take, kept with their artifacts until it is back."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from filelock import FileLock

from moclip.base.files import atomic_path, read_json, remove
from moclip.tracking.record import Child, Result

_RESULT = "result.json"
_ARTIFACTS = "artifacts"


def keep(result: Result, directory: Path) -> Path:
    """Keep a result under its key; one that is kept already is replaced."""
    place = directory / result.key
    with FileLock(_lock(directory)), atomic_path(place) as temporary:
        (temporary / _ARTIFACTS).mkdir(parents=True)
        for path in result.artifacts:
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, temporary / _ARTIFACTS / path.name)
        text = json.dumps(asdict(result) | {"artifacts": [path.name for path in result.artifacts]})
        (temporary / _RESULT).write_text(text, encoding="utf-8")
    return place


def deliver(directory: Path, record: Callable[[Result], object]) -> int:
    """Record what is kept and forget it; how many there were. What `record` raises ends it, nothing is lost."""
    if not directory.exists():
        return 0
    with FileLock(_lock(directory)):
        places = sorted(path.parent for path in directory.glob(f"[!.]*/{_RESULT}"))
        for place in places:
            record(_read(place))
            remove(place)
    return len(places)


def _read(place: Path) -> Result:
    values = read_json(place / _RESULT)
    values["children"] = [Child(**child) for child in values["children"]]
    result = Result(**values)
    return replace(result, artifacts=[place / _ARTIFACTS / name for name in values["artifacts"]])


def _lock(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory / "lock"
