"""Histories of trainings: one row an epoch."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from moclip.base.errors import StoreError
from moclip.base.tables import read_csv, write_csv


@dataclass(frozen=True)
class Epoch:
    """A row of the history; NaN where nothing is held out, and for the test part unless epochs are chosen on it."""

    epoch: int
    lr: float
    train_loss: float
    val_loss: float
    val_top1_pct: float
    test_top1_pct: float = math.nan


COLUMNS = ("epoch", "lr", "train_loss", "val_loss", "val_top1_pct")
TEST_COLUMN = "test_top1_pct"


def columns(history: Sequence[Epoch]) -> tuple[str, ...]:
    """The columns that a history fills: that of the test part stands only where epochs were chosen on it."""
    return (*COLUMNS, TEST_COLUMN) if any(not math.isnan(epoch.test_top1_pct) for epoch in history) else COLUMNS


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write a history as CSV, an empty cell for NaN; a head that is not trained has the header alone."""
    names = columns(history)
    write_csv(path, names, [tuple(_cell(getattr(epoch, name)) for name in names) for epoch in history])


def read_history(path: Path) -> list[Epoch]:
    """Read a history; an empty cell is NaN, and a head that is not trained has no epochs.

    Raises:
        StoreError: the file is missing, lacks a column, or holds a value that is no number.
    """
    rows = read_csv(path, COLUMNS, may_be_empty=True)
    names = (*COLUMNS[1:], TEST_COLUMN)
    try:
        return [Epoch(int(row["epoch"]), *(_number(row.get(name)) for name in names)) for row in rows]
    except ValueError as error:
        raise StoreError(f"{path}: holds a value that is no number ({error})") from error


def stored(epoch: Epoch) -> Epoch:
    """The epoch with the digits that a history file keeps."""
    return Epoch(epoch.epoch, *(_number(_cell(value)) for value in astuple(epoch)[1:]))


def optimism_points(history: Sequence[Epoch]) -> float | None:
    """What choosing the epoch on the test part adds to test top-1, in percentage points; zero or more.

    The test top-1 of the epoch that is best on the test part, less that of the epoch that validation chooses. None
    where the test part was not looked at, or nothing is held out for validation.
    """
    if not history or any(math.isnan(epoch.test_top1_pct + epoch.val_top1_pct) for epoch in history):
        return None
    chosen = max(history, key=lambda epoch: (epoch.val_top1_pct, -epoch.val_loss))  # of equal ones, max takes the first
    return max(epoch.test_top1_pct for epoch in history) - chosen.test_top1_pct


def _number(cell: str | None) -> float:
    return float(cell) if cell else math.nan


def _cell(value: float) -> str:
    return "" if value != value else f"{value:.6g}"
