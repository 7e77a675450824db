"""The manifest: what each video is, by measurement, so that whoever opens one can check it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from moclip.base.errors import DataError, StoreError
from moclip.base.files import sha256_file
from moclip.base.tables import read_csv, write_csv
from moclip.data.splits import PARTS, Member


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
_COLUMNS = ["class" if field.name == "class_name" else field.name for field in fields(Video)]


def write_manifest(path: Path, videos: Iterable[Video]) -> None:
    """Write the manifest as CSV, sorted by id."""
    write_csv(path, _COLUMNS, [astuple(video) for video in sorted(videos, key=lambda video: video.id)])


def read_manifest(path: Path) -> dict[str, Video]:
    """Videos by id.

    Raises:
        DataError: the file is missing, has other columns or no number where one belongs, or names an id twice.
    """
    videos: dict[str, Video] = {}
    for row in _read_csv(path, _COLUMNS):
        if row["id"] in videos:
            raise DataError(f"{path}: id {row['id']} stands twice")
        try:
            videos[row["id"]] = _video(row)
        except ValueError as error:
            raise DataError(f"{path}: video {row['id']} has no number where one belongs ({error})") from error
    return videos


def _video(row: Mapping[str, str]) -> Video:
    texts = {name: row[name] for name in ("id", "group", "path", "sha256", "codec")}
    counts = {name: int(row[name]) for name in ("bytes", "width", "height", "frames")}
    return Video(class_name=row["class"], fps=float(row["fps"]), **texts, **counts)  # type: ignore[arg-type]


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
    ordered = sorted(members, key=lambda member: member.id)
    write_csv(path, ("id", "label", "part"), [astuple(member) for member in ordered])


def read_split(path: Path) -> list[Member]:
    """Members of one split, sorted by id.

    Raises:
        DataError: the file is missing, has other columns, or a part other than train, val, test.
    """
    rows = _read_csv(path, ["id", "label", "part"])
    if unknown := sorted({row["part"] for row in rows} - set(PARTS)):
        raise DataError(f"{path}: part {unknown[0]!r} is none of {PARTS}")
    try:
        return [Member(row["id"], int(row["label"]), row["part"]) for row in rows]
    except ValueError as error:
        raise DataError(f"{path}: label must be a whole number ({error})") from error


def write_classes(path: Path, classes: Sequence[str]) -> None:
    """Write class names in index order as CSV (index, name)."""
    write_csv(path, ("index", "name"), list(enumerate(classes)))


def read_classes(path: Path) -> list[str]:
    """Class names in index order."""
    return [row["name"] for row in _read_csv(path, ["index", "name"])]


def _read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        return read_csv(path, columns, exactly=True, may_be_empty=True)
    except StoreError as error:
        raise DataError(str(error)) from error
