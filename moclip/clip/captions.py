"""Sentences about videos, brought as a table: a video may have several."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moclip.base.errors import DataError
from moclip.base.tables import read_rows, write_rows


@dataclass(frozen=True)
class Caption:
    """One sentence about a video."""

    id: str
    sentence: str


def write_captions(path: Path, captions: Iterable[Caption]) -> None:
    """Write sentences as CSV (id, sentence)."""
    write_rows(path, Caption, captions)


def read_captions(path: Path) -> dict[str, list[str]]:
    """Sentences by video id, each in the order of the file.

    Raises:
        StoreError: the file is missing or torn, lacks a column, or has no row.
        DataError: a sentence is empty; its video is named.
    """
    found: dict[str, list[str]] = {}
    for caption in read_rows(path, Caption):
        if not caption.sentence.strip():
            raise DataError(f"{path}: the sentence of video '{caption.id}' is empty; write one, or leave out the row")
        found.setdefault(caption.id, []).append(caption.sentence)
    return found


def sentences_of(captions: Mapping[str, Sequence[str]], ids: Sequence[str], file: str) -> list[Sequence[str]]:
    """The sentences of each of these videos.

    Raises:
        DataError: a video has none; the first is named, with the count.
    """
    if lacking := [video for video in ids if video not in captions]:
        raise DataError(
            f"{file}: no sentence for video '{lacking[0]}' ({len(lacking)} of {len(ids)} videos that train have none); "
            "add them, or set open_vclip.captions to null"
        )
    return [captions[video] for video in ids]
