"""moclip.results.metrics against scikit-learn and against sums by hand."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, log_loss, recall_score, top_k_accuracy_score

from moclip.results.intervals import Level
from moclip.results.metrics import (
    binned_gap_pct,
    calibration,
    calibration_error_pct,
    class_rows,
    label_ranks,
    mean_class_pct,
    measure,
    negative_log_likelihood,
    outcomes_of,
    scores_of,
    top_k_pct,
)
from moclip.results.predictions import Outcomes, Predictions, Scores

LEVEL = Level(confidence_pct=95.0, fdr_pct=5.0)


def make(logits: np.ndarray, labels: np.ndarray) -> Predictions:
    n, c = logits.shape
    return Predictions(
        ids=np.array([f"v_{i:04}" for i in range(n)]),
        labels=labels,
        logits=logits.astype(np.float32),
        classes=np.array([f"Class{i:02}" for i in range(c)]),
        groups=np.array([f"g{i // 3}" for i in range(n)]),
    )


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    """Distinct logits in each row, so that scikit-learn's own rule for ties does not matter."""
    n, c = draw(st.integers(1, 40)), draw(st.integers(2, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = np.argsort(rng.random((n, c)), axis=1) * draw(st.sampled_from([0.125, 1.0, -3.0]))
    return make(logits, rng.integers(c, size=n))


@given(predictions())
def test_figures_agree_with_scikit_learn(p: Predictions) -> None:
    c = len(p.classes)
    for k in range(1, c):
        # scikit-learn refuses two classes with 2-D scores, so a class that never wins is added.
        padded = np.pad(p.logits, ((0, 0), (0, 1)), constant_values=-100.0)
        expected = top_k_accuracy_score(p.labels, padded, k=k, labels=range(c + 1))
        assert top_k_pct(p.logits, p.labels, k) == pytest.approx(100 * expected)
    assert top_k_pct(p.logits, p.labels, c) == 100.0
    rows, outcomes = class_rows(p), outcomes_of(p)
    truth = np.unique(outcomes.actual)
    table = confusion_matrix(outcomes.actual, outcomes.predicted, labels=p.classes)
    assert [(row.n, row.correct) for row in rows] == [
        (int(total), int(hit)) for total, hit in zip(table.sum(1), table.diagonal(), strict=True)
    ]
    expected = recall_score(outcomes.actual, outcomes.predicted, labels=truth, average="macro")
    assert mean_class_pct(rows) == pytest.approx(100 * expected)


@given(st.integers(0, 2**32), st.integers(2, 7))
def test_of_equal_logits_the_lower_class_index_ranks_first(seed: int, c: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.integers(0, 3, size=(20, c)).astype(np.float32)
    order = np.argsort(-logits, axis=1, kind="stable")
    for label in range(c):
        expected = np.argmax(order == label, axis=1)
        assert label_ranks(logits, np.full(20, label)).tolist() == expected.tolist()


def test_top1_and_the_predicted_class_follow_the_same_rule() -> None:
    p = make(np.zeros((4, 3)), np.array([0, 0, 1, 2]))
    assert outcomes_of(p).predicted.tolist() == ["Class00"] * 4
    m = measure("fusion", 2, p, LEVEL)
    assert (m.correct, m.top1_pct, m.n_test, m.n_groups, m.n_classes) == (2, 50.0, 4, 2, 3)
    assert m.mean_class_pct == pytest.approx(100 / 3, abs=1e-4)
    assert m.top5_pct == 100.0


def test_mean_class_leaves_out_classes_without_test_videos() -> None:
    p = make(np.eye(3)[[0, 0, 1, 1]], np.array([0, 0, 1, 0]))
    assert mean_class_pct(class_rows(p)) == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_a_single_group_has_no_interval() -> None:
    p = make(np.eye(2)[[0, 1, 0]], np.array([0, 1, 1]))
    m = measure("fusion", 1, p, LEVEL)
    assert (m.top1_low_pct, m.top1_high_pct) == (None, None)


def test_the_interval_does_not_depend_on_the_order_of_videos() -> None:
    rng = np.random.default_rng(5)
    p = make(rng.random((60, 4)), rng.integers(4, size=60))
    turned = Predictions(p.ids[::-1], p.labels[::-1], p.logits[::-1], p.classes, p.groups[::-1])
    assert measure("fusion", 1, p, LEVEL) == measure("fusion", 1, turned, LEVEL)


@given(predictions())
def test_likelihood_agrees_with_scikit_learn(p: Predictions) -> None:
    probabilities = np.exp(p.logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = log_loss(p.labels, probabilities, labels=range(len(p.classes)))
    assert negative_log_likelihood(p.logits, p.labels) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(predictions(), st.integers(1, 20))
def test_calibration_error_is_the_sum_over_bins(p: Predictions, bins: int) -> None:
    exponentials = np.exp(p.logits.astype(np.float64) - p.logits.max(axis=1, keepdims=True))
    confidence = 1.0 / exponentials.sum(axis=1)
    hits = label_ranks(p.logits, p.labels) == 0
    expected = 0.0
    for m in range(bins):
        inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
        if inside.any():
            expected += 100 * inside.mean() * abs(hits[inside].mean() - confidence[inside].mean())
    assert calibration_error_pct(p.logits, p.labels, bins) == pytest.approx(expected, abs=1e-6)
    assert 0.0 <= expected <= 100.0


def test_a_head_that_is_as_sure_as_it_is_right_is_calibrated() -> None:
    """Two classes at odds of 3 to 1, of which three in four come true; then the same head, sure of itself."""
    labels = np.array([0, 0, 0, 1] * 50)
    logits = np.tile([np.log(3.0), 0.0], (200, 1))
    assert calibration_error_pct(logits, labels) == pytest.approx(0.0, abs=1e-9)
    assert negative_log_likelihood(logits, labels) == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert calibration_error_pct(100 * logits, labels) == pytest.approx(25.0)
    assert negative_log_likelihood(np.zeros((5, 7)), np.arange(5)) == pytest.approx(np.log(7))


def test_evaluate_needs_neither_torch_nor_scikit_learn() -> None:
    heavy = {"torch", "sklearn", "pandas", "scipy.stats"}
    code = f"import sys, stages.evaluate; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]"


def test_scores_by_video_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(6)
    p = make(rng.normal(size=(80, 6)) * 2, rng.integers(6, size=80))
    scores = scores_of(p)
    probabilities = np.exp(p.logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    one_hot = np.eye(6)[p.labels]
    assert scores.brier == pytest.approx(((probabilities - one_hot) ** 2).sum(axis=1))
    assert scores.nll_nats.mean() == pytest.approx(negative_log_likelihood(p.logits, p.labels))
    assert scores.confidence == pytest.approx(probabilities.max(axis=1))
    assert (scores.rank == label_ranks(p.logits, p.labels) + 1).all()


def drawn(rng: np.random.Generator, hits_of: str, n: int = 400) -> Outcomes:
    """Clips of groups of four, whose confidences are true, or all too high."""
    confidence = rng.uniform(0.3, 0.99, n)
    chance = confidence if hits_of == "true" else confidence - 0.25
    right = rng.random(n) < chance
    scores = Scores(np.where(right, 1, 2), confidence, -np.log(confidence), (1 - confidence) ** 2)
    actual = np.full(n, "a")
    return Outcomes(
        np.arange(n).astype(str), (np.arange(n) // 4).astype(str), actual, np.where(right, "a", "b"), scores
    )


def test_a_calibrated_head_shows_an_error_of_calibration_that_is_no_sign_of_any() -> None:
    """Of 40 heads whose confidences are true, about 5 % pass the limit that one in twenty passes; of others all do."""
    rng = np.random.default_rng(7)
    true = [calibration([drawn(rng, "true")]) for _ in range(40)]
    assert sum(one["ece_pct"] > one["calibrated_high_pct"] for one in true if one) <= 4
    found = np.mean([one["ece_pct"] for one in true if one])
    assert 2.0 < found <= np.mean([one["calibrated_pct"] for one in true if one])  # never 0, though nothing is wrong
    wrong = calibration([drawn(rng, "too high")])
    assert wrong is not None
    assert wrong["ece_pct"] > wrong["calibrated_high_pct"]


def test_calibration_pools_the_videos_of_all_splits() -> None:
    rng = np.random.default_rng(8)
    both = [drawn(rng, "true", 80), drawn(rng, "true", 80)]
    pooled = calibration(both)
    assert pooled is not None
    confidence = np.concatenate([own.scores.confidence for own in both if own.scores])
    hits = np.concatenate([own.correct for own in both])
    assert pooled["ece_pct"] == pytest.approx(binned_gap_pct(confidence, hits), abs=1e-4)
    assert calibration([replace(both[0], scores=None)]) is None
