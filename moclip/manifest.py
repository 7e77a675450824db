"""The manifest: what each video is, by measurement, so that whoever opens one can check it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from moclip.errors import DataError
from moclip.files import sha256_file, write_text
from moclip.splits import PARTS, Member


@dataclass(frozen=True)
class Video:
    """A row of the manifest. `path` is relative to the data root, `frames` counts decoded frames."""

    id: str
    class_name: str
    group: str
    path: str
    bytes: int
    sha256: str
    codec: str
    fps: float
    width: int
    height: int
    frames: int


# `class` is a Python keyword, so the column and the field differ by name.
_TEXT = dict.fromkeys(["id", "class", "group", "path", "sha256", "codec", "part", "name"], str)
_COLUMNS = ["class" if field.name == "class_name" else field.name for field in fields(Video)]


def write_manifest(path: Path, videos: Iterable[Video]) -> None:
    """Write the manifest as CSV, sorted by id."""
    rows = [asdict(video) for video in sorted(videos, key=lambda video: video.id)]
    table = pd.DataFrame(rows).rename(columns={"class_name": "class"})
    write_text(path, table.to_csv(index=False, columns=_COLUMNS, lineterminator="\n"))


def read_manifest(path: Path) -> dict[str, Video]:
    """Videos by id.

    Raises:
        DataError: the file is missing, has other columns, or names an id twice.
    """
    table = _read_csv(path, _COLUMNS)
    if table["id"].duplicated().any():
        raise DataError(f"{path}: id {table['id'][table['id'].duplicated()].iloc[0]} stands twice")
    rows: list[dict[str, Any]] = table.rename(columns={"class": "class_name"}).to_dict("records")  # type: ignore[assignment]
    return {row["id"]: Video(**row) for row in rows}


def checked_path(root: Path, video: Video) -> Path:
    """The video's file, after its bytes were held against the manifest.

    Raises:
        DataError: the file is missing, or is not the one that the manifest describes.
    """
    path = root / video.path
    if not path.is_file():
        raise DataError(f"video {video.id}: {path} is missing; bring it back or run `dvc repro -f download`")
    if sha256_file(path) != video.sha256:
        raise DataError(
            f"video {video.id}: {path} has changed since the manifest was written (sha256 differs); "
            "restore the file, or run `dvc repro -f download` to accept it"
        )
    return path


def write_split(path: Path, members: Iterable[Member]) -> None:
    """Write one split as CSV (id, label, part), sorted by id."""
    rows = [asdict(member) for member in sorted(members, key=lambda member: member.id)]
    write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def read_split(path: Path) -> list[Member]:
    """Members of one split, sorted by id.

    Raises:
        DataError: the file is missing, has other columns, or a part other than train, val, test.
    """
    table = _read_csv(path, ["id", "label", "part"])
    if unknown := sorted(set(table["part"]) - set(PARTS)):
        raise DataError(f"{path}: part {unknown[0]!r} is none of {PARTS}")
    return [Member(str(i), int(label), str(part)) for i, label, part in table.itertuples(index=False)]


def write_classes(path: Path, classes: Sequence[str]) -> None:
    """Write class names in index order as CSV (index, name)."""
    table = pd.DataFrame({"index": range(len(classes)), "name": list(classes)})
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_classes(path: Path) -> list[str]:
    """Class names in index order."""
    return [str(name) for name in _read_csv(path, ["index", "name"])["name"]]


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        # An id, class or group may be spelt like a number or a missing value ("007", "NA"): nothing is guessed.
        table = pd.read_csv(path, keep_default_na=False, dtype=_TEXT)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error})") from error
    if list(table.columns) != list(columns):
        raise DataError(f"{path}: columns must be {list(columns)}, are {list(table.columns)}")
    return table
