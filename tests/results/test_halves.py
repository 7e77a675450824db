"""Seen and unseen classes: each video among the classes of its half, tables of them, and their intervals."""

from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import DataError, StoreError
from moclip.results.estimate import Design
from moclip.results.halves import (
    HARMONIC_MEAN,
    SEEN,
    UNSEEN,
    Halves,
    half_rows,
    half_table,
    harmonic_mean,
    read_half_rows,
    read_halves,
    write_half_rows,
    write_halves,
)
from moclip.results.intervals import Level
from moclip.results.predictions import Predictions

LEVEL = Level(confidence_pct=95.0, fdr_pct=5.0)
CLASSES = ("A", "B", "C", "D")


def predictions(split: int = 1, groups: int = 6, each: int = 3) -> Predictions:
    """Four classes, groups of their own in each split, several clips of each."""
    rows = [(label, group, clip) for label in range(4) for group in range(groups) for clip in range(each)]
    return Predictions(
        ids=np.array([f"v{split}_{CLASSES[k]}_{g}_{c}" for k, g, c in rows]),
        labels=np.array([k for k, _, _ in rows]),
        logits=np.zeros((len(rows), 4), np.float32),
        classes=np.array(CLASSES),
        groups=np.array([f"{split}_{CLASSES[k]}_{g}" for k, g, _ in rows]),
    )


def logits(p: Predictions, right: dict[str, float], seed: int = 0) -> np.ndarray:
    """Right in a share of the videos of each class; else the other class of the same half is first."""
    rng = np.random.default_rng(seed)
    found = np.zeros((len(p.ids), 4), np.float32)
    for row, label in enumerate(p.labels):
        other = {0: 1, 1: 0, 2: 3, 3: 2}[int(label)]
        hit = rng.random() < right[CLASSES[label]]
        found[row, label if hit else other] = 1.0
    return found


def test_a_video_is_judged_among_the_classes_of_its_half():
    p = predictions(groups=2, each=1)
    found = np.tile(np.array([3.0, 1.0, 9.0, 2.0], np.float32), (len(p.ids), 1))  # over all classes always C
    rows = half_rows(p, Halves(["A", "B"], {"m": found}))
    assert {(row.half, row.actual, row.predicted) for row in rows} == {
        (SEEN, "A", "A"),
        (SEEN, "B", "A"),
        (UNSEEN, "C", "C"),
        (UNSEEN, "D", "C"),
    }
    tied = half_rows(p, Halves(["B", "D"], {"m": np.zeros_like(found)}))
    assert {(row.half, row.predicted) for row in tied} == {(SEEN, "B"), (UNSEEN, "A")}  # of equals, the lower index


def test_rows_and_logits_are_read_as_they_were_written(tmp_path: Path):
    p = predictions()
    halves = Halves(
        ["A", "B"], {"first": logits(p, dict.fromkeys(CLASSES, 0.5)), "head": logits(p, dict.fromkeys(CLASSES, 1.0))}
    )
    write_halves(tmp_path / "h.npz", halves)
    again = read_halves(tmp_path / "h.npz")
    assert again.seen == halves.seen
    assert list(again.logits) == ["first", "head"]
    assert all(np.array_equal(again.logits[name], values) for name, values in halves.logits.items())
    rows = half_rows(p, again)
    write_half_rows(tmp_path / "h.csv", rows[::-1][len(p.ids) :] + rows[len(p.ids) :])  # first, of any order; then head
    assert read_half_rows(tmp_path / "h.csv") == sorted(rows, key=lambda row: (row.model != "first", row.id))


def test_table_has_each_half_their_harmonic_mean_and_the_difference_to_the_first():
    by_split = {}
    for split in (1, 2):
        p = predictions(split)
        first = logits(p, {"A": 0.5, "B": 0.5, "C": 0.5, "D": 0.5}, split)
        own = logits(p, {"A": 1.0, "B": 1.0, "C": 0.3, "D": 0.3}, split)
        by_split[split] = half_rows(p, Halves(["A", "B"], {"CLIP": first, "head": own}))
    clip, head = half_table(by_split, LEVEL)
    for row, model in ((clip, "CLIP"), (head, "head")):
        for half in (SEEN, UNSEEN):
            for split, rows in by_split.items():
                hits = [r.actual == r.predicted for r in rows if (r.model, r.half) == (model, half)]
                assert row[half]["per_split"][str(split)] == pytest.approx(100 * np.mean(hits), abs=1e-3)
            assert row[half]["n_test"] == 72
            assert row[half]["interval"]["low"] <= row[half]["mean"] <= row[half]["interval"]["high"]
        means = [harmonic_mean(row[SEEN]["per_split"][split], row[UNSEEN]["per_split"][split]) for split in ("1", "2")]
        assert row[HARMONIC_MEAN]["mean"] == pytest.approx(np.mean(means), abs=1e-3)
        assert (
            row[HARMONIC_MEAN]["interval"]["low"] < row[HARMONIC_MEAN]["mean"] < row[HARMONIC_MEAN]["interval"]["high"]
        )
    assert clip["minus_first"] is None
    assert head["minus_first"][SEEN]["mean"] == pytest.approx(head[SEEN]["mean"] - clip[SEEN]["mean"], abs=1e-3)
    assert head["minus_first"][SEEN]["word"] == "different"
    assert head["minus_first"][SEEN]["interval"]["low"] > 0
    assert head["minus_first"][UNSEEN]["mean"] < 0


@pytest.mark.parametrize(
    ("first", "second", "mean"), [(94.8, 77.5, 85.3), (92.9, 67.7, 78.3), (78.5, 63.6, 70.3), (0, 9, 0)]
)
def test_harmonic_means_are_the_published_ones(first, second, mean):
    assert round(harmonic_mean(first, second), 1) == mean


def one_class(groups: np.ndarray, name: str) -> Design:
    return Design({1: np.full(len(groups), name)}, {1: np.array([f"{name}_{group}" for group in groups])})


def test_interval_of_a_harmonic_mean_covers_as_often_as_it_says():
    """100 draws of data of a known truth: of 95 % intervals between 88 and 100 hold it."""
    truth, held = harmonic_mean(80.0, 40.0), 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        parts = []
        for right in (0.8, 0.4):
            groups = np.repeat(np.arange(25), 4)
            chance = rng.beta(4 * right, 4 * (1 - right), 25)[groups]
            parts.append(({1: (rng.random(100) < chance).astype(float)}, one_class(groups, str(right))))
        interval = LEVEL.harmonic_interval(parts)
        assert interval is not None
        held += interval["low"] <= truth <= interval["high"]
    assert 88 <= held <= 100


def test_a_half_without_a_hit_or_of_one_group_gives_a_harmonic_mean_no_interval():
    three, one = np.array(["a", "b", "c"]), np.array(["a"] * 3)
    none, some = {1: np.zeros(3)}, {1: np.array([1.0, 1.0, 0.0])}
    assert LEVEL.harmonic_interval([(none, one_class(three, "A")), (some, one_class(three, "B"))]) is None
    pair = [(some, one_class(three, "A")), (some, one_class(three, "B"))]
    assert LEVEL.harmonic_interval(pair) is not None
    alone = one_class(one, "A")
    assert LEVEL.harmonic_interval([(some, alone), (some, Design(alone.classes, alone.groups))]) is None


@pytest.mark.parametrize("seen", [["A", "B", "C", "D"], ["A", "Z"]])
def test_halves_without_videos_or_classes_are_refused(seen):
    p = predictions()
    with pytest.raises((DataError, StoreError), match=r"no test video is of a class that was unseen|none of the pred"):
        half_rows(p, Halves(seen, {"m": p.logits}))


def test_logits_of_other_videos_and_tables_of_other_models_are_refused():
    p = predictions()
    with pytest.raises(StoreError, match="logits of m are"):
        half_rows(p, Halves(["A"], {"m": p.logits[1:]}))
    with pytest.raises(StoreError, match="logits of m are"):
        half_rows(p, Halves(["A"], {"m": np.full_like(p.logits, np.nan)}))
    one, other = (half_rows(p, Halves(["A"], {name: p.logits})) for name in "mn")
    with pytest.raises(StoreError, match="splits have other models"):
        half_table({1: one, 2: other}, LEVEL)
