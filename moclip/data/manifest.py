"""The manifest: what each video is, by measurement, so that whoever opens one can check it."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from moclip.base.errors import DataError, StoreError
from moclip.base.tables import read_columns, read_csv, write_csv, write_rows
from moclip.store.table import Column, Paths, Table, Texts, Words, digests, numbers, reals
from moclip.video.file.shard import find

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


_COLUMNS: Mapping[str, Callable[[Any], Column[Any]]] = {
    **{"id": Texts, "path": Paths, "sha256": digests, "fps": reals},
    **dict.fromkeys(("class_name", "group", "codec", "damage", "note"), Words),
    **dict.fromkeys(("bytes", "width", "height", "frames"), numbers),
}


def write_manifest(path: Path, videos: Iterable[Video]) -> None:
    """Write the manifest as CSV, sorted by id."""
    write_rows(path, Video, sorted(videos, key=lambda video: video.id))


class Manifest(Mapping[str, Video]):
    """Videos by id, in the order of the file. A video is made when it is asked for; `videos` has all, as a sequence.

    Raises:
        StoreError: as `read_manifest`.
    """

    def __init__(self, path: Path) -> None:
        try:
            table = Table(Video, _COLUMNS, read_columns(path, Video, exactly=True, may_be_empty=True))
        except OverflowError as error:
            raise StoreError(f"{path}: a whole number has more than 64 bits") from error
        self.videos: Sequence[Video] = table.rows
        self._ids: Sequence[str] = table.column("id")
        self._in_order: Sequence[int] = range(len(self))
        if not all(one < other for one, other in pairwise(self)):
            self._in_order = array("q", sorted(self._in_order, key=self._ids.__getitem__))
        if repeated := [one for one, other in pairwise(map(self._ids.__getitem__, self._in_order)) if one == other]:
            raise StoreError(f"{path}: id {repeated[0]} stands twice")

    def __getitem__(self, video: str) -> Video:
        at = bisect_left(self._in_order, video, key=self._ids.__getitem__)
        if at == len(self) or self._ids[self._in_order[at]] != video:
            raise KeyError(video)
        return self.videos[self._in_order[at]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self.videos)

    def values(self) -> ValuesView[Video]:
        """As of a dict."""
        return _InOrder(self)

    def items(self) -> ItemsView[str, Video]:
        """As of a dict."""
        return _PairsInOrder(self)


class _InOrder(ValuesView[Video]):
    """The videos of a manifest without a search for each."""

    _mapping: Manifest

    def __iter__(self) -> Iterator[Video]:
        return iter(self._mapping.videos)


class _PairsInOrder(ItemsView[str, Video]):
    _mapping: Manifest

    def __iter__(self) -> Iterator[tuple[str, Video]]:
        return ((video.id, video) for video in self._mapping.videos)


def read_manifest(path: Path) -> Manifest:
    """Videos by id.

    Raises:
        StoreError: as `moclip.base.tables.read_rows`, or an id stands twice.
    """
    return Manifest(path)


def checked_path(root: Path, video: Video) -> Path:
    """The video's file, after its bytes were held against the manifest.

    Raises:
        DataError: the file is missing, or is not the one that the manifest describes.
    """
    path = root / video.path
    place = find(path)
    if place is None:
        raise DataError(f"video {video.id}: {path} is missing; bring it back or run `dvc repro -f download`")
    if place.sha256() != video.sha256:
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
