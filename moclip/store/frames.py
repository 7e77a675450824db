"""Streams of frames: what was kept of each chosen frame of a video, in the order in which a head sees them.

Axes: n video, t frame.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.files import atomic_path, read_json, read_npz, write_json, write_npz

SHUFFLED = "shuffled"


@dataclass(frozen=True)
class Chosen:
    """Which frames of a store a head sees.

    Attributes:
        rows: Positions in the store (t,), ascending, by video id.
        shuffled: Another order of these positions for each video, for the control that takes time away.
        facts: How the frames were chosen; a head keeps it, and refuses others.
    """

    rows: Mapping[str, np.ndarray]
    shuffled: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]

    @property
    def frames(self) -> int:
        """Frames of a video that a head sees."""
        return len(next(iter(self.rows.values())))


def write_chosen(directory: Path, chosen: Chosen) -> None:
    """Write a choice as one directory, atomically."""
    ids = list(chosen.rows)
    orders = {"rows": chosen.rows, "shuffled": chosen.shuffled}
    stacked = {name: np.stack([of[video] for video in ids]).astype(np.int32) for name, of in orders.items()}
    with atomic_path(directory) as temporary:
        write_npz(temporary / "frames.npz", ids=np.array(ids), **stacked)
        write_json(temporary / "frames.json", dict(chosen.facts))


def read_chosen(directory: Path) -> Chosen:
    """Read what `write_chosen` wrote.

    Raises:
        StoreError: a file is missing or torn.
    """
    arrays = read_npz(directory / "frames.npz", "ids", "rows", "shuffled")
    ids = [str(video) for video in arrays["ids"]]
    rows, shuffled = (dict(zip(ids, arrays[name], strict=True)) for name in ("rows", "shuffled"))
    return Chosen(rows, shuffled, read_json(directory / "frames.json"))


class Rows(Protocol):
    """What gives rows (t, ...) by video: a `BlockStore`, or what is computed of one."""

    @property
    def path(self) -> Path:
        """For messages."""

    def rows(self, name: str, ids: Sequence[str]) -> Iterator[np.ndarray]:
        """Rows of an array, video by video."""


@dataclass(frozen=True)
class FrameStream:
    """An array of a store, of the chosen frames.

    Attributes:
        store: Its rows are all frames that were looked at.
        name: The array.
        chosen: Which of them a head sees.
        out_of_order: Videos whose frames come shuffled.
    """

    store: Rows
    name: str
    chosen: Chosen
    out_of_order: Collection[str] = ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """How the frames were chosen."""
        return self.chosen.facts

    def of(self, ids: Sequence[str]) -> np.ndarray:
        """Values (n, t, ...) of these videos, in the store's own type.

        Raises:
            StoreError: a video is missing in the store or in the choice, or has fewer frames than were chosen.
        """
        if missing := [video for video in ids if video not in self.chosen.rows]:
            raise StoreError(
                f"the choice of frames lacks {len(missing)} of {len(ids)} videos, first {missing[0]}; run the stage "
                "choose_frames again"
            )
        found = [self._of(video, rows) for video, rows in zip(ids, self.store.rows(self.name, ids), strict=True)]
        return np.stack(found) if found else self.of([next(iter(self.chosen.rows))])[:0]

    def _of(self, video: str, rows: np.ndarray) -> np.ndarray:
        order = self.chosen.shuffled if video in self.out_of_order else self.chosen.rows
        if order[video].max() >= len(rows):
            raise StoreError(
                f"{self.store.path}: {video} has {len(rows)} frames, frame {order[video].max()} was chosen; run the "
                "stage choose_frames again"
            )
        found: np.ndarray = rows[order[video]]
        return found
