"""moclip.metrics against scikit-learn, against enumeration, and against simulated truth."""

import subprocess
import sys
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score, top_k_accuracy_score

from moclip.errors import DataError
from moclip.metrics import (
    bootstrap_means_pct,
    class_rows,
    label_ranks,
    mean_class_pct,
    measure,
    outcomes_of,
    paired_hits,
    percentile_interval,
    top_k_pct,
)
from moclip.predictions import Outcomes, Predictions

FIXED: dict[str, Any] = {"resamples": 500, "confidence_pct": 95.0, "seed": 0}


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
@settings(deadline=None)
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
    m = measure("fusion", 2, p, **FIXED)
    assert (m.correct, m.top1_pct, m.n_test, m.n_groups, m.n_classes) == (2, 50.0, 4, 2, 3)
    assert m.mean_class_pct == pytest.approx(100 / 3, abs=1e-4)
    assert m.top5_pct == 100.0


def test_mean_class_leaves_out_classes_without_test_videos() -> None:
    p = make(np.eye(3)[[0, 0, 1, 1]], np.array([0, 0, 1, 0]))
    assert mean_class_pct(class_rows(p)) == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_a_single_group_has_no_interval() -> None:
    p = make(np.eye(2)[[0, 1, 0]], np.array([0, 1, 1]))
    m = measure("fusion", 1, p, **FIXED)
    assert (m.top1_low_pct, m.top1_high_pct) == (None, None)


def test_the_interval_depends_on_seed_and_split_alone_not_on_the_order_of_videos() -> None:
    rng = np.random.default_rng(5)
    p = make(rng.random((60, 4)), rng.integers(4, size=60))
    turned = Predictions(p.ids[::-1], p.labels[::-1], p.logits[::-1], p.classes, p.groups[::-1])
    assert measure("fusion", 1, p, **FIXED) == measure("fusion", 1, turned, **FIXED)
    other = measure("fusion", 1, p, **{**FIXED, "seed": 1})
    assert other != measure("fusion", 1, p, **FIXED)


def test_bootstrap_draws_have_the_distribution_of_all_resamples() -> None:
    values, groups = np.array([1, 1, 0, 1, 0, 0]), np.array(list("aabccc"))
    sums, sizes = {"a": 2, "b": 0, "c": 1}, {"a": 2, "b": 1, "c": 3}
    every = [100 * sum(sums[g] for g in draw) / sum(sizes[g] for g in draw) for draw in product("abc", repeat=3)]
    draws = bootstrap_means_pct(values, groups, 40_000, [1])
    assert set(np.round(draws, 6)) == set(np.round(every, 6))
    assert draws.mean() == pytest.approx(np.mean(every), abs=0.5)
    assert draws.std() == pytest.approx(np.std(every), abs=0.5)


def test_percentile_interval_takes_the_central_share() -> None:
    interval = percentile_interval(np.arange(101.0), 90.0)
    assert (interval.low_pct, interval.high_pct) == pytest.approx((5.0, 95.0))


def simulated_hits(rng: np.random.Generator, accuracy: np.ndarray, clips: int) -> np.ndarray:
    """Hits of clips that share the accuracy of their group: what makes a draw of clips too sure."""
    return rng.random((len(accuracy), clips)) < accuracy[:, None]


def test_the_interval_covers_a_known_truth_where_one_over_clips_would_not() -> None:
    rng = np.random.default_rng(11)
    groups = np.repeat(np.arange(40), 6)
    covered = {"groups": 0, "clips": 0}
    for trial in range(300):
        # Each group is right with probability 0.1 or 0.9, by half: the truth is 50 %.
        hits = simulated_hits(rng, rng.choice([0.1, 0.9], size=40), 6).ravel()
        for name, clusters in (("groups", groups), ("clips", np.arange(240))):
            ends = percentile_interval(bootstrap_means_pct(hits, clusters, 300, [trial]), 95.0)
            covered[name] += ends.low_pct <= 50.0 <= ends.high_pct
    assert covered["groups"] / 300 == pytest.approx(0.95, abs=0.04)
    assert covered["clips"] / 300 < 0.85


def test_a_paired_difference_of_equal_heads_is_rarely_significant() -> None:
    rng = np.random.default_rng(12)
    groups = np.repeat(np.arange(40), 6)
    false_alarms = 0
    for trial in range(300):
        accuracy = rng.choice([0.2, 0.8], size=40)
        first, second = (simulated_hits(rng, accuracy, 6).ravel().astype(int) for _ in range(2))
        draws = bootstrap_means_pct(first - second, groups, 300, [trial])
        ends = percentile_interval(draws, 95.0)
        false_alarms += not ends.low_pct <= 0 <= ends.high_pct
    assert false_alarms / 300 == pytest.approx(0.05, abs=0.04)


def outcomes(ids: str, actual: str, predicted: str) -> Outcomes:
    return Outcomes(*(np.array(list(text)) for text in (ids, ids, actual, predicted)))


def test_paired_hits_goes_by_id_not_by_position() -> None:
    first, second = outcomes("abc", "xyz", "xyx"), outcomes("cab", "zxy", "zxx")
    ordered, difference = paired_hits(first, second)
    assert ordered.ids.tolist() == ["a", "b", "c"]
    assert difference.tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (outcomes("abd", "xyz", "xyz"), "video 'c' is in the first head alone"),
        (outcomes("ab", "xy", "xy"), "video 'c' is in the first head alone"),
        (outcomes("aabc", "xxyz", "xxyz"), "video 'a' stands twice in the second head"),
        (outcomes("abc", "xxx", "xyz"), "video 'b' is labelled y in one head and x in the other"),
    ],
)
def test_heads_on_other_videos_or_labels_are_not_paired(second: Outcomes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        paired_hits(outcomes("abc", "xyz", "xyz"), second)


def test_evaluate_needs_neither_torch_nor_scikit_learn() -> None:
    code = "import sys, stages.evaluate; print(sorted({'torch', 'sklearn', 'pandas', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
