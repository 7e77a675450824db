"""The state of an unfinished training as one file, so that a killed training goes on where it was.

The file holds tensors, numbers and words alone: it is read without pickle's power to run code.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch

from moclip.base.files import atomic_path, remove
from moclip.base.work import alone_in

log = logging.getLogger(__name__)

SAVE_EVERY_S = 30.0  # an epoch that ends sooner after the last state is not worth writing
_FILE, _FORMAT = "state.pt", 1


class Checkpoint:
    """One training's state in one file; made by `checkpoint_in`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved_at = time.monotonic()

    @classmethod
    def of(cls, directory: Path) -> Self:
        """The checkpoint in a directory that another process holds for this one, as `checkpoint_in` does."""
        return cls(directory / _FILE)

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last; None where there is none, or none that can be used."""
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # torn archives and foreign pickles raise a dozen kinds
            log.warning("%s: cannot be read (%s); training starts over", self.path, str(error).split("\n")[0])
            return None
        if not isinstance(state, dict) or state.pop("format", None) != _FORMAT:
            log.warning("%s: not a state of such a training; training starts over", self.path)
            return None
        return state

    def save_if_due(self, capture: Callable[[], dict[str, Any]]) -> None:
        """Replace the file by the state, atomically, unless the last one is younger than `SAVE_EVERY_S`."""
        if time.monotonic() - self._saved_at < SAVE_EVERY_S:
            return
        with atomic_path(self.path) as temporary:
            torch.save({**capture(), "format": _FORMAT}, temporary)
        self._saved_at = time.monotonic()


@contextmanager
def checkpoint_in(directory: Path) -> Iterator[Checkpoint]:
    """The checkpoint in a directory that belongs to one training alone; removed at the end, kept after an error.

    Two processes that train the same take turns.
    """
    with alone_in(directory, "trains the same"):
        yield (checkpoint := Checkpoint.of(directory))
        remove(checkpoint.path)
