"""moclip.gains: which classes gain, and how seldom chance is called a gain."""

from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import DataError, StoreError
from moclip.base.tables import columns_of
from moclip.results.gains import ClassGain, class_gains, omnibus, read_class_gains, write_class_gains
from moclip.results.intervals import Level
from moclip.results.predictions import Outcomes

LEVEL = Level(confidence_pct=95.0, fdr_pct=5.0)
CLASSES = [f"Class{i:02}" for i in range(20)]


def outcomes(hits: np.ndarray) -> Outcomes:
    """From hits (classes, groups, clips): a miss is taken for a class of its own."""
    names = [(c, g, k) for c in range(hits.shape[0]) for g in range(hits.shape[1]) for k in range(hits.shape[2])]
    actual = np.array([CLASSES[c] for c, _, _ in names])
    return Outcomes(
        ids=np.array([f"v_{c}_{g}_{k}" for c, g, k in names]),
        groups=np.array([f"{c}_{g}" for c, g, _ in names]),
        actual=actual,
        predicted=np.where(hits.ravel(), actual, "Wrong"),
    )


def simulated(rng: np.random.Generator, accuracy: np.ndarray, groups: int = 21) -> Outcomes:
    """Hits of a head with an accuracy by class, on groups that hang together."""
    of_group = rng.beta(2 * accuracy, 2 - 2 * accuracy, size=(groups, len(accuracy))).T
    return outcomes(rng.random((len(accuracy), groups, 4)) < of_group[:, :, None])


def test_gains_are_sorted_and_counted() -> None:
    hits = np.zeros((3, 6, 2), dtype=bool)
    first, second = hits.copy(), hits.copy()
    first[1], second[2, :2] = True, True  # Class01 gains all, Class02 loses a third
    rows = class_gains({1: outcomes(first)}, {1: outcomes(second)}, LEVEL)
    assert [(row.name, row.n, row.groups, row.first_correct, row.second_correct) for row in rows] == [
        ("Class01", 12, 6, 12, 0),
        ("Class00", 12, 6, 0, 0),
        ("Class02", 12, 6, 0, 4),
    ]
    assert [row.gain_points for row in rows] == pytest.approx([100.0, 0.0, -100 / 3], abs=1e-3)
    assert (rows[1].low_points, rows[1].high_points, rows[1].different) == (None, None, None)
    assert (rows[0].q, rows[0].different) == (None, None)  # 6 groups: the least p is 1/32, too much for three at once
    assert rows[0].p == pytest.approx(1 / 32)
    assert rows[0].low_points is not None
    assert rows[0].low_points <= 0.0  # what is not called reaches to 0


def test_one_group_tells_nothing() -> None:
    hits = np.ones((2, 1, 3), dtype=bool)
    (row, _) = class_gains({1: outcomes(hits)}, {1: outcomes(~hits)}, LEVEL)
    assert (row.gain_points, row.low_points, row.high_points, row.different) == (100.0, None, None, None)


def test_splits_are_pooled() -> None:
    hits = np.ones((2, 3, 1), dtype=bool)
    by_split = {k: outcomes(hits) for k in (1, 2)}
    moved = {k: Outcomes(o.ids, np.char.add(o.groups, f"_{k}"), o.actual, o.predicted) for k, o in by_split.items()}
    assert [(row.n, row.groups) for row in class_gains(moved, moved, LEVEL)] == [(6, 6), (6, 6)]


def test_true_gains_are_found_and_of_equal_heads_nearly_none() -> None:
    """20 classes of 21 groups, 8 times: of 160 classes without a gain, hardly any is called different."""
    rng = np.random.default_rng(0)
    weak, strong = np.full(20, 0.5), np.r_[np.full(5, 0.9), np.full(15, 0.5)]
    false = 0
    for _ in range(8):
        alike = class_gains({1: simulated(rng, weak)}, {1: simulated(rng, weak)}, LEVEL)
        false += sum(bool(row.different) for row in alike)
    rows = class_gains({1: simulated(rng, strong)}, {1: simulated(rng, weak)}, LEVEL)
    found = sum(bool(row.different) for row in rows if row.name in CLASSES[:5])
    assert false <= 3
    assert found >= 4


@pytest.mark.parametrize(("gaining", "called"), [(1, None), (31, None), (32, None)])
def test_one_split_of_ucf101_cannot_single_out_a_class(gaining: int, called: None) -> None:
    """101 classes of 7 recordings: from 32 that go from nothing to all the test could call, fewer it never can."""
    first, second = many(gaining), many(0)
    rows = class_gains({1: first}, {1: second}, LEVEL)
    found = omnibus({1: first}, {1: second}, LEVEL)
    assert {row.different for row in rows} == {called}
    assert (found.up, found.down, found.fewest, found.groups_of_class) == (gaining, 0, 32, 7)
    assert all(row.low_points is None or row.low_points <= 0.0 <= row.high_points for row in rows if row.high_points)


def many(gaining: int) -> Outcomes:
    """101 classes of 7 recordings of 2 clips, of which the first ones are all right."""
    names = [(c, g, k) for c in range(101) for g in range(7) for k in range(2)]
    actual = np.array([f"Class{c:03}" for c, _, _ in names])
    right = np.array([c < gaining for c, _, _ in names])
    groups = np.array([f"{c}_{g}" for c, g, _ in names])
    return Outcomes(np.array([f"v_{c}_{g}_{k}" for c, g, k in names]), groups, actual, np.where(right, actual, "Wrong"))


def test_over_all_classes_a_gain_is_found_that_no_class_shows_by_itself() -> None:
    """Demo, one split: 12 of 12 classes gain in 3 recordings each."""
    none = np.zeros((12, 3, 4), dtype=bool)
    some = none.copy()
    some[:, :, 0] = True
    some[:6, 0, 1] = True
    rows = class_gains({1: outcomes(some)}, {1: outcomes(none)}, LEVEL)
    found = omnibus({1: outcomes(some)}, {1: outcomes(none)}, LEVEL)
    assert {row.different for row in rows} == {None}
    assert (found.up, found.down, found.fewest) == (12, 0, None)
    assert found.sign_p == pytest.approx(2 / 2**12, abs=1e-6)
    assert found.unlike_p is not None
    assert found.unlike_p > 0.05


def test_classes_that_gain_unlike_amounts_are_told_so() -> None:
    none = np.zeros((12, 6, 4), dtype=bool)
    some = none.copy()
    some[:6] = True
    some[0, 0, 0] = False
    found = omnibus({1: outcomes(some)}, {1: outcomes(none)}, LEVEL)
    assert found.unlike_p is not None
    assert found.unlike_p < 0.001


def test_no_row_has_a_word_that_contradicts_its_interval() -> None:
    rng = np.random.default_rng(1)
    for strength in (0.5, 0.75, 0.95):
        first = simulated(rng, np.linspace(0.5, strength, 20))
        for row in class_gains({1: first}, {1: simulated(rng, np.full(20, 0.5))}, LEVEL):
            if row.low_points is not None and row.high_points is not None:
                assert (not row.low_points <= 0.0 <= row.high_points) == bool(row.different)


def test_the_table_comes_back_as_it_was(tmp_path: Path) -> None:
    rows = [
        ClassGain("Run", 12, 3, 12, 6, 50.0, 25.0, 75.0, 0.0313, 0.0469, True),
        ClassGain("Jump", 4, 1, 1, 2, -25.0, None, None, None, None, None),
    ]
    write_class_gains(tmp_path / "gains.csv", rows)
    assert read_class_gains(tmp_path / "gains.csv") == rows
    write_class_gains(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text().strip() == ",".join(columns_of(ClassGain))
    assert read_class_gains(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ("Run,many,3,12,6,50,,,,,true", "column 'n' must be a whole number, is 'many'"),
        ("Run,12,3,12,6,50,,,,,perhaps", "column 'different' must be true or false, is 'perhaps'"),
    ],
)
def test_a_foreign_value_is_refused(tmp_path: Path, broken: str, rule: str) -> None:
    (tmp_path / "gains.csv").write_text(",".join(columns_of(ClassGain)) + f"\n{broken}\n")
    with pytest.raises(StoreError, match=rf"gains\.csv, line 2: {rule}"):
        read_class_gains(tmp_path / "gains.csv")


def test_other_videos_are_refused() -> None:
    one, two = outcomes(np.ones((2, 3, 1), dtype=bool)), outcomes(np.ones((2, 4, 1), dtype=bool))
    with pytest.raises(DataError, match="is in the second head alone"):
        class_gains({1: one}, {1: two}, LEVEL)
