"""moclip.predictions: what is stored comes back, and what breaks a rule is refused by name."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import StoreError
from moclip.base.tables import write_csv
from moclip.results.predictions import (
    ClassRow,
    Kept,
    Outcomes,
    Predictions,
    Scores,
    as_kept,
    keep,
    read_class_rows,
    read_kept,
    read_outcomes,
    read_predictions,
    with_repeats,
    write_class_rows,
    write_kept,
    write_outcomes,
    write_predictions,
)

GOOD = Predictions(
    ids=np.array(["v_b", "v_a"]),
    labels=np.array([1, 0]),
    logits=np.array([[0.5, 2.0, -1.0], [1.0, 0.0, 3.0]], np.float32),
    classes=np.array(["Run", "Jump", "Still"]),
    groups=np.array(["Jump_g1", "Run_g1"]),
)


def test_round_trip_keeps_values_types_and_bytes(tmp_path: Path) -> None:
    write_predictions(tmp_path / "one.npz", GOOD)
    write_predictions(tmp_path / "two.npz", read_predictions(tmp_path / "one.npz"))
    back = read_predictions(tmp_path / "two.npz")
    for name in ("ids", "labels", "logits", "classes", "groups"):
        assert getattr(back, name).tolist() == getattr(GOOD, name).tolist()
        assert getattr(back, name).dtype == getattr(GOOD, name).dtype
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_nothing_held_out_is_a_file_without_rows_only_where_that_may_be(tmp_path: Path) -> None:
    none = replace(GOOD, **{name: getattr(GOOD, name)[:0] for name in ("ids", "labels", "logits", "groups")})
    write_predictions(tmp_path / "val.npz", none, may_be_empty=True)
    assert read_predictions(tmp_path / "val.npz", may_be_empty=True).logits.shape == (0, 3)
    with pytest.raises(StoreError, match="at least one video"):
        read_predictions(tmp_path / "val.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": np.array(["v_a", "v_a"])}, "video 'v_a' stands there twice"),
        ({"classes": np.array(["Run", "Run", "Still"])}, "class 'Run' stands there twice"),
        ({"labels": np.array([1, 3])}, r"video 'v_a' has a label outside 0\.\.2"),
        ({"labels": np.array([-1, 0])}, r"video 'v_b' has a label outside 0\.\.2"),
        ({"labels": np.array([1.0, 0.0])}, "'labels' must be signed integers, is float64"),
        ({"labels": np.array([1])}, r"'labels' must have shape \(2,\), has \(1,\)"),
        ({"logits": GOOD.logits[:, :2]}, r"'logits' must have shape \(2, 3\), has \(2, 2\)"),
        ({"logits": GOOD.logits * np.float32("nan")}, r"'v_b' has a logit that is not finite \(2 of"),
        ({"groups": np.array([b"a", b"b"])}, "'groups' must be text"),
        (
            {"ids": np.array([], str), "labels": np.array([], int), "groups": np.array([], str)},
            "at least one video",
        ),
    ],
)
def test_a_broken_rule_is_refused_on_writing_and_reading(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    path, bad = tmp_path / "preds.npz", replace(GOOD, **change)
    with pytest.raises(StoreError, match=message) as refusal:
        write_predictions(path, bad)
    assert str(path) in str(refusal.value)
    assert not path.exists()
    np.savez(path, **vars(bad))
    with pytest.raises(StoreError, match=message):
        read_predictions(path)


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "preds.npz", ids=GOOD.ids)
    with pytest.raises(StoreError, match="lacks the array 'labels'"):
        read_predictions(tmp_path / "preds.npz")


def test_outcomes_are_sorted_by_id_and_survive_odd_names(tmp_path: Path) -> None:
    outcomes = Outcomes(
        ids=np.array(["v_2", "v_1"]),
        groups=np.array(["g", "h"]),
        actual=np.array(['Jump, "high"', "NA"]),
        predicted=np.array(["NA", "NA"]),
    )
    write_outcomes(tmp_path / "o.csv", outcomes)
    back = read_outcomes(tmp_path / "o.csv")
    assert back.ids.tolist() == ["v_1", "v_2"]
    assert back.actual.tolist() == ["NA", 'Jump, "high"']
    assert back.correct.tolist() == [True, False]


SCORED = Outcomes(
    *(np.array(["v_2", "v_1"]), np.array(["g", "h"]), np.array(["A", "B"]), np.array(["A", "A"])),
    Scores(np.array([1, 2]), np.array([0.75, 0.5]), np.array([0.2876821, 0.6931472]), np.array([0.1, 0.5])),
)


def test_scores_come_back_with_their_videos_and_older_files_have_none(tmp_path: Path) -> None:
    write_outcomes(tmp_path / "o.csv", SCORED)
    back = read_outcomes(tmp_path / "o.csv").scores
    assert back is not None
    assert (back.rank.tolist(), back.confidence.tolist()) == ([2, 1], [0.5, 0.75])
    assert (back.nll_nats.tolist(), back.brier.tolist()) == ([0.6931472, 0.2876821], [0.5, 0.1])
    write_outcomes(tmp_path / "old.csv", replace(SCORED, scores=None))
    assert read_outcomes(tmp_path / "old.csv").scores is None


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [("brier", "briar", "has column 'rank', but no column 'brier'"), ("0.75", "much", "a score is no number")],
)
def test_torn_scores_are_refused(tmp_path: Path, old: str, new: str, rule: str) -> None:
    write_outcomes(tmp_path / "o.csv", SCORED)
    (tmp_path / "o.csv").write_text((tmp_path / "o.csv").read_text().replace(old, new))
    with pytest.raises(StoreError, match=f"{rule}.*run the stage evaluate again"):
        read_outcomes(tmp_path / "o.csv")


def test_class_rows_round_trip_with_an_untested_class(tmp_path: Path) -> None:
    rows = [ClassRow("Run", 3, 2), ClassRow("Jump", 0, 0)]
    write_class_rows(tmp_path / "c.csv", rows)
    text = (tmp_path / "c.csv").read_text()
    assert text == "class,n,correct,recall_pct\nRun,3,2,66.6667\nJump,0,0,\n"
    assert read_class_rows(tmp_path / "c.csv") == rows


def test_class_rows_must_hold_whole_numbers(tmp_path: Path) -> None:
    write_csv(tmp_path / "c.csv", ("class", "n", "correct", "recall_pct"), [("Run", "3.5", 1, "")])
    with pytest.raises(StoreError, match=r"line 2: column 'n' must be a whole number, is '3\.5'"):
        read_class_rows(tmp_path / "c.csv")


def of(logits: list[list[float]], ids: list[str]) -> Predictions:
    n, classes = len(ids), np.array([f"c{i}" for i in range(len(logits[0]))])
    texts = np.array(ids)
    return Predictions(texts, np.zeros(n, np.int64), np.array(logits, np.float32), classes, texts)


def test_what_is_kept_says_first_what_was_said() -> None:
    """Half precision cannot tell these two apart, and the tie rule would take the other class."""
    near = as_kept(of([[4.0, 4.00001, 0.0], [1.0, 0.0, -9e4]], ["b", "a"]))
    assert near.ids.tolist() == ["a", "b"]
    assert near.logits.argmax(axis=1).tolist() == [0, 1]
    assert np.isfinite(near.logits).all()
    exact = [math.log(1 / (1 + math.exp(-1))), math.log(1 / (2 + math.exp(-4)))]
    np.testing.assert_allclose(near.logits[[0, 1], [0, 1]], exact, rtol=1e-3)
    assert (as_kept(near).logits.argmax(axis=1) == near.logits.argmax(axis=1)).all()


def test_kept_answers_give_outcomes_their_repeats(tmp_path: Path) -> None:
    first = as_kept(of([[1.0, 0.0], [0.0, 1.0]], ["a", "b"]))
    kept = keep(first, [of([[5.0, 0.0], [0.0, 2.0]], ["b", "a"])])
    write_kept(tmp_path / "l.npz", kept)
    found = read_kept(tmp_path / "l.npz")
    assert found.repeats.tolist() == [[1, 0]]
    outcomes = Outcomes(first.ids, first.ids, np.array(["c0", "c0"]), np.array(["c0", "c1"]))
    assert with_repeats(outcomes, found, tmp_path).repeats.tolist() == [["c1", "c0"]]
    assert with_repeats(outcomes, keep(first, []), tmp_path).repeats is None
    other = Outcomes(first.ids, first.ids, outcomes.actual, np.array(["c1", "c1"]))
    with pytest.raises(StoreError, match="says other than the outcomes beside it"):
        with_repeats(other, found, tmp_path)


def test_repeats_of_other_videos_are_refused() -> None:
    first = as_kept(of([[1.0, 0.0], [0.0, 1.0]], ["a", "b"]))
    with pytest.raises(StoreError, match="repeat 1 of the training has other videos or classes"):
        keep(first, [of([[1.0, 0.0], [0.0, 1.0]], ["a", "c"])])


def test_kept_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    first = as_kept(of([[1.0, 0.0], [0.0, 1.0]], ["a", "b"]))
    for bad in (np.array([[0, 9]], np.uint16), np.array([[0]], np.uint16), np.array([0, 1], np.uint16)):
        write_kept(tmp_path / "l.npz", Kept(first.classes, first.logits.astype(np.float16), bad))
        with pytest.raises(StoreError, match="arrays do not fit each other"):
            read_kept(tmp_path / "l.npz")
