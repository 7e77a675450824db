"""What a driver knows of files that are finished: their digests, so that its successor reads none of them again.

A line is written as a task's files come. One that a kill tore is no line; a file whose size or time of change is not
that of its line is not known, and whoever has to know reads it, or makes it anew.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class Journal:
    """The lines of one file, which one process writes at a time; without a path nothing is known, and nothing kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines = dict(_read(path)) if path and path.is_file() else {}

    def digests(self, key: str, files: Sequence[Path]) -> tuple[str, ...] | None:
        """SHA-256 of the files that were finished under this key, if they are still those; else None."""
        if (kept := self._lines.get(key)) is None:
            return None
        try:
            same = [entry[:-1] for entry in kept] == list(map(_state, files))
        except OSError:  # one is gone
            return None
        return tuple(entry[-1] for entry in kept) if same else None

    def add(self, key: str, files: Sequence[Path], sha256: Sequence[str]) -> None:
        """Keep the digests of finished files, unless they are not seen here yet; the key stands for what made them.

        Raises:
            OSError: the line cannot be written.
        """
        if self._path is None:
            return
        try:
            entries = [[*_state(file), digest] for file, digest in zip(files, sha256, strict=True)]
        except OSError:
            return
        with self._path.open("a", encoding="utf-8") as lines:
            lines.write("\n" + json.dumps([key, entries]))  # the line's end comes first, so that it ends a torn one


def _read(path: Path) -> Iterator[tuple[str, list[list[Any]]]]:
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            key, entries = json.loads(line)
        except (ValueError, TypeError):  # torn, or the first, which is empty
            continue
        yield key, entries


def _state(file: Path) -> list[Any]:
    """What tells a file from another that takes its place, without reading it."""
    status = file.stat()
    return [file.name, status.st_size, status.st_mtime_ns]
