import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from moclip.base.errors import DataError, StoreError
from moclip.base.files import write_json
from moclip.data.splits import Member
from moclip.heads.fitted import Cost, Videos
from moclip.heads.score_average import ScoreAverage, average, fit, load, try_weights
from moclip.heads.selection import best, most_right
from moclip.params.heads.score_average import ScoreAverageParams
from moclip.store.features import Features
from tests.support.streams import split_of

SEED = (0, "score_average", 1)
LABELS = np.arange(300) % 3


def logits(seed: int, *, skill: float, labels: np.ndarray = LABELS) -> np.ndarray:
    """Logits (n, 3) whose true class stands out by `skill` standard deviations of the noise."""
    found = np.random.default_rng(seed).normal(size=(len(labels), 3))
    found[np.arange(len(labels)), labels] += skill
    return found.astype(np.float32)


def chosen(clip: np.ndarray, motion: np.ndarray) -> float:
    return most_right(try_weights(clip, motion, LABELS, 20)).setting


def test_noise_gets_little_weight():
    assert chosen(logits(0, skill=1.5), logits(1, skill=0)) < 0.3
    assert chosen(logits(0, skill=0), logits(1, skill=1.5)) > 0.7


def test_a_sure_head_that_cannot_be_right_alone_does_not_drown_the_other():
    """Labels are pairs; one head knows the first half of each for certain, the other guesses the second half."""
    random = np.random.default_rng(0)
    labels = np.arange(400) % 4
    scene, movement = (np.arange(4) // 2), (np.arange(4) % 2)
    clip = np.where(scene == scene[labels][:, None], 0.0, -9.0)
    guess = np.where(random.random(400) < 0.8, movement[labels], 1 - movement[labels])
    motion = np.where(movement == guess[:, None], 0.0, -6.0) + random.normal(scale=0.1, size=(400, 4))
    trials = try_weights(clip, motion, labels, 20)
    assert best(trials).setting == 0.0
    found = most_right(trials)
    assert found.setting > 0
    assert found.val_top1_pct > trials[0].val_top1_pct + 20


def test_two_equal_and_independent_heads_are_mixed_and_beat_either():
    clip, motion = logits(0, skill=1.5), logits(1, skill=1.5)
    weight = chosen(clip, motion)
    assert 0.2 < weight < 0.8
    trials = {trial.setting: trial.val_top1_pct for trial in try_weights(clip, motion, LABELS, 20)}
    assert trials[weight] > max(trials[0.0], trials[1.0]) + 3


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0.1, 300))
def test_average_is_its_formula_and_always_finite(seed, weight, scale):
    random = np.random.default_rng(seed)
    clip, motion = (scale * random.normal(size=(4, 3)) for _ in range(2))
    logs = average(clip, motion, weight)
    assert np.isfinite(logs).all()
    expected = (1 - weight) * np.exp(log_softmax(clip, axis=1)) + weight * np.exp(log_softmax(motion, axis=1))
    np.testing.assert_allclose(np.exp(logs), expected, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1)


def test_ends_are_the_heads_themselves():
    clip, motion = (logits(seed, skill=1).astype(np.float64) for seed in (0, 1))
    np.testing.assert_allclose(average(clip, motion, 0.0), log_softmax(clip, axis=1))
    np.testing.assert_allclose(average(clip, motion, 1.0), log_softmax(motion, axis=1))


def test_scores_that_softmax_cannot_hold_stay_finite():
    far = np.array([[1e4, 0.0, -1e4]], np.float32)
    assert np.isfinite(average(far, -far, 0.5)).all()
    assert np.isfinite(average(far, far, 0.0).astype(np.float32)).all()


def videos(clip: Features, motion: Features, part: str = "val") -> Videos:
    """Half of the videos in `part`, the other half tests."""
    members = [Member(f"v{i}", int(label), part if i < 150 else "test", f"g{i}") for i, label in enumerate(LABELS)]
    return Videos(split_of(members, 3), {"clip": clip, "motion": motion})


def stream(name: str, values: np.ndarray) -> Features:
    return Features(name, np.array([f"v{i}" for i in range(len(values))]), values)


def fitted(weight: float | None, part: str = "val") -> ScoreAverage:
    given = videos(stream("clip", logits(0, skill=1.5)), stream("motion", logits(1, skill=1.5)), part)
    return fit(given, ScoreAverageParams(clip_head="clip_probe", motion_weight=weight, weight_steps=20), SEED)


def test_weight_is_chosen_on_the_val_part_unless_it_is_given():
    both = logits(0, skill=1.5)[:150], logits(1, skill=1.5)[:150]
    found = fitted(None)
    assert found.motion_weight == most_right(try_weights(*both, LABELS[:150], 20)).setting
    assert found.choice is not None
    assert [tried["setting"] for tried in found.choice["tried"]] == [step / 20 for step in range(21)]
    given = fitted(0.3, part="train")
    assert (given.motion_weight, given.choice) == (0.3, {"motion_weight": 0.3, "tried": []})
    assert [one.cost() for one in (found, given)] == [Cost(1, 0), Cost(0, 0)], "a weight that was given is no parameter"


def test_nothing_held_out_and_missing_videos_are_refused():
    message = r"score_average.motion_weight: null .* raise data.val_groups, .*give a number"
    with pytest.raises(DataError, match=message):
        fitted(None, part="train")
    clip, motion = stream("clip", logits(0, skill=1)), stream("motion", logits(1, skill=1))
    short = Features("logits of motion", motion.ids[2:], motion.values[2:])
    with pytest.raises(StoreError, match="logits of motion: lacks 2 of 150 videos, first v0"):
        fit(videos(clip, short), ScoreAverageParams(clip_head="clip_probe", motion_weight=None, weight_steps=4), SEED)


@pytest.mark.parametrize("config", [{}, {"motion_weight": "much", "is_chosen": True}, {"motion_weight": 0.5}])
def test_file_that_holds_no_weight_is_refused(tmp_path, config):
    write_json(tmp_path / "config.json", config)
    with pytest.raises(StoreError, match=r"config\.json: holds no weight .* run the stage score_average again"):
        load(tmp_path)
