from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import DataError
from moclip.heads.score_average import average, log_softmax, try_weights
from moclip.heads.selection import best
from moclip.results.predictions import Predictions

CLASSES = np.array(["Run", "Jump", "Still"])
LABELS = np.arange(300) % 3


def predictions(seed: int, *, skill: float, labels: np.ndarray = LABELS) -> Predictions:
    """Logits whose true class stands out by `skill` standard deviations of the noise."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), 3))
    logits[np.arange(len(labels)), labels] += skill
    ids = np.array([f"v{i}" for i in range(len(labels))], dtype=np.str_)
    return Predictions(ids, labels, logits.astype(np.float32), CLASSES, ids)


def chosen(clip: Predictions, motion: Predictions) -> float:
    return best(try_weights(clip, motion, 20)).setting


def test_noise_gets_no_weight():
    assert chosen(predictions(0, skill=6), predictions(1, skill=0)) == 0.0
    assert chosen(predictions(0, skill=0), predictions(1, skill=6)) == 1.0


def test_two_equal_and_independent_heads_are_mixed_and_beat_either():
    clip, motion = predictions(0, skill=1.5), predictions(1, skill=1.5)
    weight = chosen(clip, motion)
    assert 0.2 < weight < 0.8
    trials = {trial.setting: trial.val_top1_pct for trial in try_weights(clip, motion, 20)}
    assert trials[weight] > max(trials[0.0], trials[1.0]) + 3


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0.1, 300))
def test_average_is_its_formula_and_always_finite(seed, weight, scale):
    random = np.random.default_rng(seed)
    clip, motion = (scale * random.normal(size=(4, 3)) for _ in range(2))
    logs = average(clip, motion, weight)
    assert np.isfinite(logs).all()
    expected = (1 - weight) * np.exp(log_softmax(clip)) + weight * np.exp(log_softmax(motion))
    np.testing.assert_allclose(np.exp(logs), expected, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1)


def test_ends_are_the_heads_themselves():
    clip, motion = predictions(0, skill=1).logits, predictions(1, skill=1).logits
    np.testing.assert_allclose(average(clip, motion, 0.0), log_softmax(clip))
    np.testing.assert_allclose(average(clip, motion, 1.0), log_softmax(motion))


def test_scores_that_softmax_cannot_hold_stay_finite():
    far = np.array([[1e4, 0.0, -1e4]], np.float32)
    assert np.isfinite(average(far, -far, 0.5)).all()
    assert np.isfinite(average(far, far, 0.0).astype(np.float32)).all()


def test_nothing_held_out_and_foreign_rows_are_refused():
    clip, motion = predictions(0, skill=1), predictions(1, skill=1)
    none = predictions(0, skill=1, labels=np.zeros(0, np.int64))
    with pytest.raises(DataError, match=r"score_average.motion_weight: null .* raise data.val_groups, .*give a number"):
        try_weights(none, none, 10)
    with pytest.raises(DataError, match="differ in videos or labels, first at v1;"):
        try_weights(clip, replace(motion, labels=np.where(np.arange(300) == 1, 0, LABELS)), 10)
    with pytest.raises(DataError, match="differ in videos or labels"):
        try_weights(clip, none, 10)
    with pytest.raises(DataError, match="different classes"):
        try_weights(clip, replace(motion, classes=CLASSES[::-1]), 10)
