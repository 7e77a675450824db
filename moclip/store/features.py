"""Features keyed by video id; a gap is an error, never a row of zeros."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.files import read_npz, write_npz


@dataclass(frozen=True)
class Features:
    """Feature vectors of videos: `ids` (n,) and `values` (n, d) float32."""

    name: str
    ids: np.ndarray
    values: np.ndarray
    _row: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.ids) != len(self.values):
            raise StoreError(f"{self.name}: {len(self.ids)} ids for values of {self.values.shape}")
        if not np.isfinite(self.values).all():
            bad = self.ids[~np.isfinite(self.values).all(axis=1)][0]
            raise StoreError(f"{self.name}: the feature of {bad} is not finite")
        row = {str(video): index for index, video in enumerate(self.ids)}
        if len(row) != len(self.ids):
            raise StoreError(f"{self.name}: an id stands twice")
        object.__setattr__(self, "_row", row)

    def of(self, ids: Sequence[str]) -> np.ndarray:
        """Features of these videos in this order, (len(ids), d).

        Raises:
            StoreError: names the first video that has no feature, and how many have none.
        """
        if missing := [video for video in ids if video not in self._row]:
            raise StoreError(
                f"{self.name}: lacks {len(missing)} of {len(ids)} videos, first {missing[0]}; "
                "run the stage that makes these features again"
            )
        return self.values[[self._row[video] for video in ids]]


def write_features(path: Path, ids: Sequence[str], values: np.ndarray) -> None:
    """Write features of videos, checked as they are when read."""
    checked = Features(path.name, np.asarray(ids, dtype=np.str_), values.astype(np.float32))
    write_npz(path, ids=checked.ids, values=checked.values)


def read_features(path: Path) -> Features:
    """Read features of videos.

    Raises:
        StoreError: the file is torn or foreign, an id stands twice, or a value is not finite.
    """
    arrays = read_npz(path, "ids", "values")
    return Features(str(path), arrays["ids"], arrays["values"])
