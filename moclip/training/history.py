"""Histories of trainings: one row an epoch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moclip.base.errors import StoreError
from moclip.base.tables import read_csv, write_csv

FIRST_COLUMNS = ("epoch", "lr")
CLASSIFIER_COLUMNS = (*FIRST_COLUMNS, "train_loss", "val_loss", "val_top1_pct")


@dataclass(frozen=True)
class Epoch:
    """One epoch, counted from 0: the learning rate at its start, and its figures by name."""

    epoch: int
    lr: float
    values: Mapping[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        """A figure; NaN where the epoch has none of this name."""
        return self.values.get(name, math.nan)


def columns(history: Iterable[Epoch]) -> tuple[str, ...]:
    """Columns of a history's file; a head that was not trained has those of a classifier, and no row."""
    names = dict.fromkeys(name for epoch in history for name in epoch.values)
    return (*FIRST_COLUMNS, *names) if names else CLASSIFIER_COLUMNS


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write a history as CSV; an empty cell is NaN."""
    names = columns(history)
    rows = [(epoch.epoch, _cell(epoch.lr), *(_cell(epoch[name]) for name in names[2:])) for epoch in history]
    write_csv(path, names, rows)


def read_history(path: Path) -> list[Epoch]:
    """Read a history; an empty cell is NaN, and a head that was not trained has no epochs.

    Raises:
        StoreError: the file is missing, lacks a column, or holds a value that is no number.
    """
    rows = read_csv(path, FIRST_COLUMNS, may_be_empty=True)
    try:
        return [
            Epoch(
                int(row["epoch"]),
                _number(row["lr"]),
                {name: _number(cell) for name, cell in row.items() if name not in FIRST_COLUMNS},
            )
            for row in rows
        ]
    except ValueError as error:
        raise StoreError(f"{path}: holds a value that is no number ({error})") from error


def stored(epoch: Epoch) -> Epoch:
    """The epoch with the digits that a history file keeps."""
    values = {name: _number(_cell(value)) for name, value in epoch.values.items()}
    return Epoch(epoch.epoch, _number(_cell(epoch.lr)), values)


def optimism_points(history: Sequence[Epoch]) -> float | None:
    """What choosing the epoch on the test part adds to test top-1, in percentage points; zero or more.

    The test top-1 of the epoch that is best on the test part, less that of the epoch that validation chooses. None
    where the test part was not looked at, or nothing is held out for validation.
    """
    if not history or any(math.isnan(epoch["test_top1_pct"] + epoch["val_top1_pct"]) for epoch in history):
        return None
    chosen = max(history, key=_on_validation)
    return max(epoch["test_top1_pct"] for epoch in history) - chosen["test_top1_pct"]


def kept_epoch(history: Sequence[Epoch], select: str) -> int | None:
    """Number of the epoch that a rule keeps: `val`, `test` or `last`; None where the history does not tell."""
    if not history or select not in ("val", "test", "last"):
        return None
    if select == "last":
        return history[-1].epoch
    needed = ("val_loss", "val_top1_pct") if select == "val" else ("test_top1_pct",)
    if any(math.isnan(epoch[name]) for epoch in history for name in needed):
        return None
    return max(history, key=_on_validation if select == "val" else lambda epoch: epoch["test_top1_pct"]).epoch


def _on_validation(epoch: Epoch) -> tuple[float, float]:
    """By this the best epoch is chosen: the lowest loss, then the highest top-1; of equals, `max` takes the first."""
    return -epoch["val_loss"], epoch["val_top1_pct"]


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
