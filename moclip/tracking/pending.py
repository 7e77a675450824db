"""Pending results: a tracking server could not take them, so they are kept until it is back, as whole as they were.

    <target>/<key>/result.json   the result, and the address that it waits for
    <target>/<key>/artifacts/    its files
    <target>/<key>/model/        its model, a bundle, where it has one

A result waits for one address. Those that an earlier release kept lie without a target, and go to the next server.
"""

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from moclip.base.errors import StoreError
from moclip.base.files import atomic_path, read_json, remove
from moclip.heads.registry import MAIN
from moclip.predict.bundle import MANIFEST, Pipeline, check_clip, open_model, write_bundle
from moclip.tracking.result import Child, Result
from moclip.tracking.store import Store

_RESULT = "result.json"
_ARTIFACTS = "artifacts"
_MODEL = "model"
_LARGE_BYTES = 1 << 20  # smaller files are not worth a link

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """A result that waits, where it lies, and the bundle of its model: a folder that is not there where it has none."""

    result: Result
    place: Path

    @property
    def model(self) -> Path:
        """The bundle."""
        return self.place / _MODEL


def keep(result: Result, models: Pipeline | Path, directory: Path, store: Store) -> Path:
    """Keep a result and its model under its key, in place of an older one of that key; returns where."""
    place = directory / store.target / result.key
    with FileLock(_lock(place)), atomic_path(place) as temporary:
        (temporary / _ARTIFACTS).mkdir(parents=True)
        for path in result.artifacts:
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, temporary / _ARTIFACTS / path.name)
        _keep_model(result, models, place, temporary)
        values = asdict(result) | {"artifacts": [path.name for path in result.artifacts], "for": store.shown}
        (temporary / _RESULT).write_text(json.dumps(values), encoding="utf-8")
    return place


def is_empty(directory: Path, store: Store) -> bool:
    """Whether no result waits for this store."""
    return not _places(directory, store)


def elsewhere(directory: Path, store: Store) -> dict[str, int]:
    """How many results wait for other addresses, by address."""
    counts: dict[str, int] = {}
    for path in directory.glob(f"[!.]*/[!.]*/{_RESULT}"):
        if path.parents[1].name != store.target:
            address = str(read_json(path, may_hold_nan=True).get("for", "unknown"))
            counts[address] = counts.get(address, 0) + 1
    return counts


def waiting(directory: Path, store: Store) -> Iterator[Kept]:
    """Results that wait for this store, each while no other process delivers it."""
    for place in _places(directory, store):
        with suppress(Timeout), FileLock(_lock(place), timeout=0):
            if (place / _RESULT).is_file() and (result := _read(place)) is not None:
                yield Kept(result, place)


def deliver(directory: Path, store: Store, take: Callable[[Kept], bool]) -> int:
    """Hand over each kept result, by itself; those that were taken are removed.

    Args:
        directory: Where they are kept.
        store: For whom they wait.
        take: Whether it took one; an error of it leaves that one and the rest in place.

    Returns:
        How many were taken.
    """
    count = 0
    for kept in waiting(directory, store):
        if take(kept):
            remove(kept.place)
            count += 1
    return count


def _keep_model(result: Result, models: Pipeline | Path, place: Path, temporary: Path) -> None:
    splits = [child.split for child in result.children if child.head == MAIN]
    before = place / _MODEL
    if (before / MANIFEST).is_file():
        shutil.copytree(before, temporary / _MODEL, copy_function=_link)
    elif splits:
        try:
            files = open_model(models, splits[0])
            check_clip(files)
        except StoreError:  # no model that could answer; `log_model` says why
            return
        write_bundle(temporary / _MODEL, files)
        _share(temporary / _MODEL, place.parent)


def _share(model: Path, others: Path) -> None:
    """Let equal large files of kept models, such as CLIP's, be one file on the disk: none is ever written again."""
    known = {
        digest: path.parent / name
        for path in others.glob(f"[!.]*/{_MODEL}/{MANIFEST}")
        for name, digest in read_json(path)["files"].items()
    }
    for name, digest in read_json(model / MANIFEST)["files"].items():
        path, other = model / name, known.get(digest)
        if other is not None and path.stat().st_size >= _LARGE_BYTES:
            path.unlink()
            _link(str(other), str(path))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _places(directory: Path, store: Store) -> list[Path]:
    own = sorted(path.parent for path in directory.glob(f"{store.target}/[!.]*/{_RESULT}"))
    old = sorted(path.parent for path in directory.glob(f"[!.]*/{_RESULT}"))
    return own if store.is_file else [*old, *own]


def _read(place: Path) -> Result | None:
    try:
        values = read_json(place / _RESULT, may_hold_nan=True)  # of a curve, what was undefined
        values.pop("for", None)
        values["children"] = [Child(**child) for child in values["children"]]
        result = Result(**values)
        return replace(result, artifacts=[_artifact(place / _ARTIFACTS, name) for name in values["artifacts"]])
    except (StoreError, KeyError, TypeError, AttributeError, OSError) as error:
        log.warning("%s: cannot be read as a result that waits (%s); it stays there", place, error)
        return None


def _artifact(folder: Path, name: object) -> Path:
    """A file or folder of a result; what is uploaded lies beside the result, and no link leads out of it.

    Raises:
        StoreError: it is elsewhere.
    """
    if not isinstance(name, str) or Path(name).name != name or name in ("", ".."):
        raise StoreError(f"artifact {name!r:.80} is no plain name, so it is not uploaded")
    path = folder / name
    for one in (path, *path.rglob("*")):
        if one.is_symlink() or not (one.is_file() or one.is_dir()):
            raise StoreError(f"artifact {one} is a link or no file, so it is not uploaded")
    return path


def _lock(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.parent / f".{place.name}.lock"
