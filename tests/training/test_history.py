import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import StoreError
from moclip.training.history import Epoch, kept_epoch, optimism_points, read_history, write_history

NAMES = ("train_loss", "val_loss", "val_top1_pct", "test_top1_pct")
HEADER = "epoch,lr,train_loss,val_loss,val_top1_pct\n"


def epoch(number: int, lr: float, *values: float) -> Epoch:
    return Epoch(number, lr, dict(zip(NAMES, values, strict=False)))


def test_round_trip_keeps_gaps_as_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    write_history(path, [epoch(0, 0.01, 2.5, math.nan, math.nan), epoch(1, 0.005, 1.25, 1.5, 40.0)])
    assert path.read_text() == HEADER + "0,0.01,2.5,,\n1,0.005,1.25,1.5,40\n"
    first, second = read_history(path)
    assert math.isnan(first["val_loss"])
    assert math.isnan(first["val_top1_pct"])
    assert second == epoch(1, 0.005, 1.25, 1.5, 40.0)


def test_test_part_has_a_column_only_where_epochs_were_chosen_on_it(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    chosen_on_test = [epoch(0, 0.01, 2.5, 1.0, 50.0, 40.0), epoch(1, 0.005, 1.25, 1.5, 40.0, 62.5)]
    write_history(path, chosen_on_test)
    assert (
        path.read_text() == HEADER.replace("\n", ",test_top1_pct\n") + "0,0.01,2.5,1,50,40\n1,0.005,1.25,1.5,40,62.5\n"
    )
    assert read_history(path) == chosen_on_test
    assert optimism_points(read_history(path)) == 22.5


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 5), st.integers(0, 4)), min_size=1, max_size=12))
def test_optimism_is_what_the_test_parts_choice_gains_over_validations(rows: list[tuple[int, float, int]]) -> None:
    """Second formula: sort by validation loss, then hits, then epoch."""
    history = [epoch(i, 0.1, 1.0, loss, 25.0 * val, 25.0 * test) for i, (val, loss, test) in enumerate(rows)]
    honest = sorted(history, key=lambda e: (e["val_loss"], -e["val_top1_pct"], e.epoch))[0]
    best = sorted(history, key=lambda e: -e["test_top1_pct"])[0]
    points = optimism_points(history)
    assert points is not None
    assert points == best["test_top1_pct"] - honest["test_top1_pct"]
    assert points >= 0


def test_optimism_needs_both_parts() -> None:
    assert optimism_points([]) is None
    assert optimism_points([epoch(0, 0.1, 1.0, 1.0, 50.0)]) is None
    assert optimism_points([epoch(0, 0.1, 1.0, math.nan, math.nan, 50.0)]) is None


def test_epoch_that_is_kept_follows_the_rule() -> None:
    history = [
        epoch(0, 0.1, 1.0, 1.5, 40.0, 30.0),
        epoch(1, 0.1, 0.8, 1.2, 50.0, 60.0),
        epoch(2, 0.1, 0.5, 1.2, 60.0, 50.0),
    ]
    assert [kept_epoch(history, select) for select in ("val", "test", "last")] == [2, 1, 2]
    nothing_held_out = [epoch(0, 0.1, 1.0, math.nan, math.nan)]
    assert [kept_epoch(nothing_held_out, select) for select in ("val", "test", "last", "")] == [None, None, 0, None]
    assert kept_epoch([], "last") is None


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
