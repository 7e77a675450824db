"""Arrays of a film that grow with its length: in memory while they are small, in a file beyond, with one face.

What lies in a file is mapped, so that pages come in as they are touched; who reads all of it does so in `pieces`, and a
process's memory does not depend on a film's length.
"""

import math
import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

MEMORY_BYTES = 8 << 20  # of one array; the longest clip of UCF101 has 1.1 MB
PIECE_BYTES = 4 << 20


class Spool:
    """Takes the parts (t, ...) of one array, one after the other, in a `with` block that ends by `array`.

    Args:
        folder: Where a file may lie; default is the system's place. It has no name, and goes with the array.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._parts: list[np.ndarray] = []
        self._bytes = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()  # what is mapped stays

    def append(self, part: np.ndarray) -> None:
        """Take the next frames, all of one kind and size.

        Raises:
            OSError: there is no space for them.
        """
        self._parts.append(part)
        self._bytes += part.nbytes
        if self._bytes > MEMORY_BYTES:
            self._file = self._file or tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed at the end
            for kept in self._parts:
                self._file.write(np.ascontiguousarray(kept).data)
            self._parts = [part[:0]]

    def array(self) -> np.ndarray:
        """All frames; read-only where they lie in a file."""
        if self._file is None:
            return np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        (like,) = self._parts
        self._file.flush()
        frame_bytes = like.dtype.itemsize * math.prod(like.shape[1:])
        return np.memmap(self._file, like.dtype, "r", shape=(self._bytes // frame_bytes, *like.shape[1:]))


def pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """The array in runs of frames of about `PIECE_BYTES`, each let go when the next is asked for."""
    frames = max(1, PIECE_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), frames):
        yield array[start : start + frames]
        let_go(array)


def let_go(array: np.ndarray) -> None:
    """Give back the memory of what was read of a mapped array; it comes in again when it is touched."""
    if isinstance(array, np.memmap) and array.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
