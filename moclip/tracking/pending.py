"""Pending results: a tracking server could not take them, so they are kept with their artifacts until it is back."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from filelock import FileLock

from moclip.base.files import atomic_path, read_json, remove
from moclip.tracking.result import Child, Result

_RESULT = "result.json"
_ARTIFACTS = "artifacts"


def keep(result: Result, directory: Path) -> Path:
    """Keep a result under its key, in place of an older one of that key; returns where."""
    place = directory / result.key
    with FileLock(_lock(directory)), atomic_path(place) as temporary:
        (temporary / _ARTIFACTS).mkdir(parents=True)
        for path in result.artifacts:
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, temporary / _ARTIFACTS / path.name)
        text = json.dumps(asdict(result) | {"artifacts": [path.name for path in result.artifacts]})
        (temporary / _RESULT).write_text(text, encoding="utf-8")
    return place


def is_empty(directory: Path) -> bool:
    """Whether no result is kept."""
    return not _places(directory)


def deliver(directory: Path, record: Callable[[Result], object]) -> int:
    """Record each kept result, then remove it; returns how many. An error of `record` leaves the rest in place."""
    if is_empty(directory):
        return 0
    with FileLock(_lock(directory)):
        places = _places(directory)
        for place in places:
            record(_read(place))
            remove(place)
    return len(places)


def _places(directory: Path) -> list[Path]:
    return sorted(path.parent for path in directory.glob(f"[!.]*/{_RESULT}"))


def _read(place: Path) -> Result:
    values = read_json(place / _RESULT)
    values["children"] = [Child(**child) for child in values["children"]]
    result = Result(**values)
    return replace(result, artifacts=[place / _ARTIFACTS / name for name in values["artifacts"]])


def _lock(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory / "lock"
