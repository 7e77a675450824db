"""The manifest: what each video is, by measurement, so that whoever opens one can check it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from moclip.base.errors import DataError, StoreError
from moclip.base.files import sha256_file
from moclip.base.tables import read_csv, read_rows, write_csv, write_rows

_CLASSES = ("index", "name")


@dataclass(frozen=True)
class Video:
    """A row of the manifest. `path` is relative to the data root, `frames` counts decoded frames.

    `damage` says what ends a video before its end, with data.damaged: keep; `note` how it was read, where that is worth
    saying. Their columns are there where a video has one of them.
    """

    id: str
    class_name: Annotated[str, "class"]
    group: str
    path: str
    bytes: int
    sha256: str
    codec: str
    fps: float
    width: int
    height: int
    frames: int
    damage: str = ""
    note: str = ""

    @property
    def is_damaged(self) -> bool:
        """Whether what decodes before the damage is taken."""
        return bool(self.damage)


def write_manifest(path: Path, videos: Iterable[Video]) -> None:
    """Write the manifest as CSV, sorted by id."""
    write_rows(path, Video, sorted(videos, key=lambda video: video.id))


def read_manifest(path: Path) -> dict[str, Video]:
    """Videos by id.

    Raises:
        StoreError: as `moclip.base.tables.read_rows`, or an id stands twice.
    """
    rows = read_rows(path, Video, exactly=True, may_be_empty=True)
    if repeated := [stem for stem, count in Counter(video.id for video in rows).items() if count > 1]:
        raise StoreError(f"{path}: id {repeated[0]} stands twice")
    return {video.id: video for video in rows}


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


def write_classes(path: Path, classes: Sequence[str]) -> None:
    """Write class names in index order as CSV (index, name)."""
    write_csv(path, _CLASSES, enumerate(classes))


def read_classes(path: Path) -> list[str]:
    """Class names in index order; raises as `moclip.base.tables.read_csv`."""
    return [row["name"] for row in read_csv(path, _CLASSES, exactly=True, may_be_empty=True)]
