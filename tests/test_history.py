import math
from pathlib import Path

import pytest

from moclip.errors import StoreError
from moclip.history import Epoch, read_history, write_history

HEADER = "epoch,lr,train_loss,val_loss,val_top1_pct\n"


def test_round_trip_keeps_gaps_as_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    write_history(path, [Epoch(0, 0.01, 2.5, math.nan, math.nan), Epoch(1, 0.005, 1.25, 1.5, 40.0)])
    assert path.read_text() == HEADER + "0,0.01,2.5,,\n1,0.005,1.25,1.5,40\n"
    first, second = read_history(path)
    assert math.isnan(first.val_loss)
    assert math.isnan(first.val_top1_pct)
    assert second == Epoch(1, 0.005, 1.25, 1.5, 40.0)


def test_head_that_is_not_trained_has_no_epochs(tmp_path: Path) -> None:
    write_history(tmp_path / "h.csv", [])
    assert (tmp_path / "h.csv").read_text() == HEADER
    assert read_history(tmp_path / "h.csv") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "0,0.1,much,2,3\n", "holds a value that is no number"),
        (HEADER + "0.5,0.1,1,2,3\n", "holds a value that is no number"),
        ("epoch,train_loss\n0,1\n", "lacks the column 'lr'"),
        (HEADER + "0,0.1\n", "line 2: no value for column 'train_loss'"),
    ],
)
def test_torn_history_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "h.csv"
    path.write_text(text)
    with pytest.raises(StoreError, match=message):
        read_history(path)
