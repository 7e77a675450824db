"""Histories of trainings: one row an epoch."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from moclip.errors import StoreError
from moclip.tables import read_csv, write_csv


@dataclass(frozen=True)
class Epoch:
    """A row of the history; validation figures are NaN where nothing is held out."""

    epoch: int
    lr: float
    train_loss: float
    val_loss: float
    val_top1_pct: float


COLUMNS = tuple(field.name for field in fields(Epoch))


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write a history as CSV, an empty cell for NaN; a head that is not trained has the header alone."""
    write_csv(path, COLUMNS, [tuple(map(_cell, astuple(epoch))) for epoch in history])


def read_history(path: Path) -> list[Epoch]:
    """Read a history; an empty cell is NaN, and a head that is not trained has no epochs.

    Raises:
        StoreError: the file is missing, lacks a column, or holds a value that is no number.
    """
    rows = read_csv(path, COLUMNS, may_be_empty=True)
    try:
        return [Epoch(int(row["epoch"]), *(float(row[name] or "nan") for name in COLUMNS[1:])) for row in rows]
    except ValueError as error:
        raise StoreError(f"{path}: holds a value that is no number ({error})") from error


def stored(epoch: Epoch) -> Epoch:
    """The epoch with the digits that a history file keeps."""
    return Epoch(epoch.epoch, *(float(_cell(value) or "nan") for value in astuple(epoch)[1:]))


def _cell(value: float) -> str:
    return "" if value != value else f"{value:.6g}"
