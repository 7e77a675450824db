"""Curves to moments: closed forms against literal loops, exact spans, ties, refusals; and the library without torch."""

import subprocess
import sys

import numpy as np
import pytest

from moclip.base.errors import ParamsError
from moclip.search import moments
from moclip.search.moments import RULES, boundaries, centres, chunk_scores, chunks, iou, maxima, otsu, peaks, retrieve

CURVES = 1000


def curves(seed: int = 0) -> list[np.ndarray]:
    """Random curves of 1 to 40 steps, two in three of few values, so that ties are everywhere."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 41, CURVES)
    return [rng.random(t) if i % 3 == 0 else rng.integers(0, 5, t) / 4 for i, t in enumerate(lengths)]


def walked(curve: np.ndarray, i: int) -> float:
    """The published peak score, step by step."""
    left = right = i
    while left > 0 and curve[left - 1] <= curve[left]:
        left -= 1
    while right < len(curve) - 1 and curve[right + 1] <= curve[right]:
        right += 1
    return 2 * curve[i] - curve[left] - curve[right]


def looped(curve: np.ndarray, a: int, b: int) -> int:
    """The published boundary: of all steps between, the one with the greatest drops from both centres down to it."""
    best, found = -np.inf, a
    if b == a + 1:
        return a
    for j in range(a + 1, b + 1):
        drops = sum(curve[i] - curve[i + 1] for i in range(a, j)) + sum(curve[i + 1] - curve[i] for i in range(j, b))
        if drops > best + 1e-12:
            best, found = drops, j
    return found


def test_peaks_and_boundaries_equal_the_literal_loops_also_with_ties() -> None:
    rng = np.random.default_rng(1)
    for curve in curves():
        np.testing.assert_allclose(peaks(curve), [walked(curve, i) for i in range(len(curve))], atol=1e-12)
        at = np.sort(rng.choice(len(curve), rng.integers(1, len(curve) + 1), replace=False))
        pairs = zip(at[:-1].tolist(), at[1:].tolist(), strict=True)
        assert boundaries(curve, at).tolist() == [looped(curve, a, b) for a, b in pairs]


def test_of_equal_peaks_the_earlier_steps_are_centres_and_none_is_asked_for_twice() -> None:
    assert centres(np.zeros(5), 3).tolist() == [0, 1, 2]
    assert centres(np.array([0.0, 1.0, 0.0, 1.0]), 9).tolist() == [0, 1, 2, 3]
    assert maxima(np.array([1.0, 1.0]), 4).tolist() == [0]


def test_maxima_are_distinct_where_peaks_crowd_on_one_slope() -> None:
    curve = np.array([0.0, 8.0, 9.0, 8.0, 0.0, 2.0, 0.0])
    assert centres(curve, 2).tolist() == [1, 2]
    assert maxima(curve, 2).tolist() == [2, 5]


@pytest.mark.parametrize("rule", RULES)
def test_chunks_cover_every_step_once_whatever_the_curve(rule: moments.Rule) -> None:
    rng = np.random.default_rng(2)
    for curve in curves(3)[:200]:
        spans = chunks(curve, int(rng.integers(1, 50)), rule, rng.random((len(curve), 4)))
        assert spans[0, 0] == 0
        assert spans[-1, 1] == len(curve)
        assert (spans[1:, 0] == spans[:-1, 1]).all()
        assert (spans[:, 0] < spans[:, 1]).all()


@pytest.mark.parametrize("rule", RULES)
def test_a_constant_added_to_a_curve_changes_no_moment(rule: moments.Rule) -> None:
    rng = np.random.default_rng(4)
    for rough in curves(5)[:200]:
        curve, features = np.round(rough * 64) / 64, rng.random((len(rough), 4))  # sums that are exact
        for shift in (0.5, -2.0, 16.0):
            one, other = (chunks(each, 4, rule, features) for each in (curve, curve + shift))
            np.testing.assert_array_equal(one, other)
            scores = [chunk_scores(each, one, rule) for each in (curve, curve + shift)]
            np.testing.assert_array_equal(retrieve(one, scores[0], 2)[0], retrieve(one, scores[1], 2)[0])


@pytest.mark.parametrize("rule", ["threshold", "shots"])
def test_of_piecewise_constant_curves_the_highest_piece_is_found_exactly(rule: moments.Rule) -> None:
    rng = np.random.default_rng(6)
    for _ in range(300):
        lengths = rng.integers(2, 9, rng.integers(2, 8))
        levels = np.where(np.arange(len(lengths)) == (best := rng.integers(len(lengths))), 1.0, 0.1)
        ends = np.cumsum(lengths)
        curve = np.repeat(levels, lengths)
        features = np.repeat(np.eye(len(lengths)), lengths, axis=0)
        spans = chunks(curve, 3, rule, features)
        found, _ = retrieve(spans, chunk_scores(curve, spans, rule))
        assert iou(found[0], (ends[best] - lengths[best], ends[best])) == 1.0


def test_peaks_of_piecewise_constant_curves_recover_a_plateau_once_its_chunks_are_merged() -> None:
    """Every step of a plateau is a peak as high, so that the clips between them touch."""
    curve = np.array([0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1])
    spans = chunks(curve, 4)
    found, _ = retrieve(spans, chunk_scores(curve, spans, "query"), merge=4)
    assert iou(found[0], (0, 10)) == 1.0
    assert [step for step, height in enumerate(peaks(curve)) if height > 0] == [3, 4, 5, 6]


def test_uniform_chunks_have_the_iou_that_one_can_work_out() -> None:
    curve = np.zeros(12)
    curve[3:7] = 1.0
    spans = chunks(curve, 3, "uniform")
    assert spans.tolist() == [[0, 4], [4, 8], [8, 12]]
    found, scores = retrieve(spans, chunk_scores(curve, spans, "uniform"))
    assert found[0].tolist() == [4, 8]
    assert scores.tolist() == [0.75, 0.25, 0.0]
    assert iou(found[0], (3, 7)) == pytest.approx(3 / 5)


def test_the_published_softmax_cuts_a_plateau_into_single_steps() -> None:
    curve = np.full(20, 0.2)
    curve[8:12] = [0.30, 0.31, 0.30, 0.29]
    spans = chunks(curve, 4, "published")
    found, _ = retrieve(spans, chunk_scores(moments.softmax_over_time(curve), spans, "published"))
    assert found[0, 1] - found[0, 0] == 1


def test_the_best_chunks_that_touch_become_one_and_stay_ahead() -> None:
    spans = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]])
    found, scores = retrieve(spans, np.array([0.9, 0.2, 0.5, 0.5, 0.4]), merge=3)
    assert found.tolist() == [[0, 1], [2, 4], [4, 5], [1, 2]]
    assert scores.tolist() == [0.9, 0.5, 0.4, 0.2]
    assert retrieve(spans, np.zeros(5), merge=99)[0].tolist() == [[0, 5]]


def test_otsu_parts_two_classes_and_none_where_there_is_one() -> None:
    values = np.concatenate([np.random.default_rng(7).normal(0, 0.1, 50), np.random.default_rng(8).normal(5, 0.1, 9)])
    level = otsu(values)
    assert level is not None
    assert 0.5 < level < 4.5
    assert otsu(np.full(4, 0.3)) is None
    assert otsu(np.array([0.0, 1.0])) is not None


def test_overlap_of_spans() -> None:
    assert iou((0, 2), (2, 4)) == 0.0
    assert iou((1, 3), (1, 3)) == 1.0
    assert iou((0, 10), (2, 4)) == 0.2
    assert iou((3, 3), (3, 3)) == 0.0


def test_a_sliding_mean_is_that_of_a_loop() -> None:
    values = np.random.default_rng(9).random((13, 3))
    for width in (1, 2, 5, 13, 40):
        span = min(width, 13)
        expected = [values[max(0, i - (span - 1) // 2) : i + span // 2 + 1].mean(axis=0) for i in range(13)]
        np.testing.assert_allclose(moments.sliding_mean(values, width), expected, rtol=1e-12)


def test_cosine_of_nothing_is_zero() -> None:
    assert moments.cosine(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([3.0, 4.0])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((np.array([]), 2), "one finite score"),
        ((np.array([0.0, np.nan]), 2), "one finite score"),
        ((np.zeros(3), 0), "ask for 1 or more"),
        ((np.zeros(3), 2, "scenes"), "is none of query, maxima"),
        ((np.zeros(3), 2, "shots"), "feature of every step"),
    ],
)
def test_refusals(arguments: tuple, rule: str) -> None:
    with pytest.raises(ParamsError, match=rule):
        chunks(*arguments)
    with pytest.raises(ParamsError, match="merge 1 or more"):
        retrieve(np.zeros((1, 2)), np.zeros(1), merge=0)


def test_the_library_needs_no_torch() -> None:
    program = "import sys, moclip.search.moments; assert not {'torch', 'av', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
