"""What each stage cost, kept under .work in the main repository: no output, so that equal results stay equal.

A record names what the stage wrote, by content. So it is found again wherever these very outputs stand,
also when DVC restored them from its run cache, and it is never taken for another variant's.
"""

import functools
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from moclip.base.files import fingerprint, read_json, write_json
from moclip.base.meter import Cost
from stages.dvc.digest import md5

NO_COMMAND = "none"  # of a script that DVC did not start
FOLDER = "costs-1"  # records of another form belong under another number


@dataclass(frozen=True)
class Record:
    """One run of one stage: `command` is the `dvc` process that started it, `ended` seconds since 1970."""

    stage: str
    outs: Mapping[str, str]
    command: str
    ended: float
    cost: Cost


def stamps(words: list[str]) -> dict[Path, tuple[int, int] | None]:
    """The paths among a command's words, each with what tells whether it gets written."""
    return {Path(word): _stamp(Path(word)) for word in words if not word.startswith("--")}


def _stamp(path: Path) -> tuple[int, int] | None:
    if not path.exists():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def keep(folder: Path, before: Mapping[Path, tuple[int, int] | None], cost: Cost) -> None:
    """Write the record of a stage that has ended; what it wrote is what changed since `before`.

    Nothing is kept of a script that DVC did not start (it has no stage), or that wrote nothing.
    """
    stage = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
    outs = {path.as_posix(): md5(path) for path, stamp in before.items() if _stamp(path) not in (None, stamp)}
    if stage and outs:
        record = Record(stage, outs, dvc_command(), time.time(), cost)
        write_json(folder / f"{_key(stage, outs)}-{record.command}.json", asdict(record))


def find(folder: Path, stage: str, outs: Mapping[str, str]) -> Record | None:
    """The record of a stage that wrote exactly this: of this `dvc` command if there is one, or else the last."""
    records = [_read(path) for path in folder.glob(f"{_key(stage, outs)}-*.json")]
    here = dvc_command()
    return max(records, key=lambda record: (record.command == here, record.ended), default=None)


def _read(path: Path) -> Record:
    value: dict[str, Any] = read_json(path)
    return Record(**{**value, "cost": Cost(**value["cost"])})


def _key(stage: str, outs: Mapping[str, str]) -> str:
    return fingerprint(stage, dict(outs))


@functools.cache
def dvc_command() -> str:
    """The `dvc` process above this one, as a tag of `moclip.tracking.process`: what shares it ran in one go.

    It is that of one experiment, or of the workspace.
    """
    for parent in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in parent.cmdline()):
                return f"{parent.pid}-{int(parent.create_time())}"
        except psutil.Error:  # another user's process, or one that has ended
            continue
    return NO_COMMAND
