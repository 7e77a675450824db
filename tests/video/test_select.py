"""Few frames of those that were looked at, by one score a frame."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from moclip.base.errors import DataError, ParamsError
from moclip.params.frames import FramesParams
from moclip.video.frames import segment_points
from moclip.video.select import (
    CHUNK_FRAMES,
    attention_received,
    best_likeness,
    choose,
    is_flat,
    motion_energy,
    places,
)

RULES = ("uniform", "attention", "attention_unit", "attention_lowest", "motion", "still", "prompt")
HIGHEST, LOWEST = ("motion", "prompt"), ("still",)
SCORED = [rule for rule in RULES if rule != "uniform"]


def tokens(frames: int, count: int, width: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).normal(size=(frames, count, width))).astype(np.float32)


def scores_of(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_rules_are_those_that_the_parameter_allows():
    assert set(FramesParams.model_fields["select"].annotation.__args__) == set(RULES)


@given(st.sampled_from(RULES), st.integers(1, 40), st.data())
def test_chosen_frames_are_as_many_as_asked_for_and_ascend(rule, frames, data):
    keep = data.draw(st.integers(1, frames))
    found = choose(rule, keep, data.draw(arrays.arrays(np.float32, frames, elements=st.integers(0, 5))), frames)
    assert len(found) == keep
    assert (np.diff(found) > 0).all()
    assert found[0] >= 0
    assert found[-1] < frames


@given(st.integers(1, 64), st.data())
def test_uniform_takes_the_centres_of_segments_and_reads_no_score(frames, data):
    keep = data.draw(st.integers(1, frames))
    np.testing.assert_array_equal(choose("uniform", keep, None, frames), segment_points(frames, keep))


@pytest.mark.parametrize("rule", RULES)
def test_all_frames_need_no_score(rule):
    assert choose(rule, 5, None, 5).tolist() == [0, 1, 2, 3, 4]


@given(
    st.sampled_from([*HIGHEST, *LOWEST]),
    arrays.arrays(np.float64, st.integers(1, 20), elements=st.floats(-9, 9)),
    st.data(),
)
def test_no_frame_left_out_is_better_than_one_taken_and_of_equals_the_earlier_is_taken(rule, scores, data):
    keep = data.draw(st.integers(1, len(scores)))
    found = set(choose(rule, keep, scores, len(scores)).tolist())
    sign = -1 if rule in LOWEST else 1
    for one in found:
        for other in set(range(len(scores))) - found:
            assert sign * scores[one] >= sign * scores[other]
            assert scores[one] != scores[other] or one < other


@pytest.mark.parametrize(
    ("rule", "found"),
    [("motion", [1, 3]), ("prompt", [1, 3]), ("attention", [1, 3]), ("still", [0, 4]), ("attention_lowest", [0, 4])],
)
def test_highest_or_lowest_and_of_equals_the_earlier(rule, found):
    assert choose(rule, 2, scores_of(0, 3, 1, 3, 0, 3), 6).tolist() == found


@given(st.integers(1, 64), st.data())
def test_each_chunk_of_attention_keeps_its_share(frames, data):
    keep = data.draw(st.integers(1, frames))
    found = choose("attention", keep, np.random.default_rng(frames).random(frames), frames)
    for start in range(0, frames, CHUNK_FRAMES):
        size = min(CHUNK_FRAMES, frames - start)
        share = ((start <= found) & (found < start + size)).sum()
        assert math.floor(size * keep / frames) <= share <= math.ceil(size * keep / frames)


def test_half_of_each_chunk_of_eight_is_kept_whatever_the_other_scores():
    """As Mobile-VideoGPT keeps four of eight."""
    rising = np.arange(16.0)
    assert choose("attention", 8, rising, 16).tolist() == [4, 5, 6, 7, 12, 13, 14, 15]
    assert choose("attention_lowest", 8, rising, 16).tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert choose("motion", 8, rising, 16).tolist() == list(range(8, 16))


@pytest.mark.parametrize("rule", RULES)
def test_more_than_there_are_cannot_be_kept(rule):
    with pytest.raises(ParamsError, match=r"frames\.keep: 5 of 4 frames; keep fewer"):
        choose(rule, 5, np.zeros(4), 4)


@pytest.mark.parametrize("rule", SCORED)
@pytest.mark.parametrize("scores", [None, np.zeros(3), scores_of(0, np.nan, 0, 0), scores_of(0, 0, np.inf, 0)])
def test_missing_score_or_one_that_is_not_finite_is_refused(rule, scores):
    with pytest.raises(DataError, match=rf"frames\.select: {rule} needs a finite score of each of 4 frames"):
        choose(rule, 2, scores, 4)


@given(st.integers(1, 20), st.integers(1, 9), st.booleans(), st.floats(0.01, 30), st.integers(0, 999))
def test_scores_of_a_chunk_sum_to_its_places(frames, count, unit, scale, seed):
    found = attention_received(tokens(frames, count, 8, seed, scale), unit)
    assert found.shape == (frames,)
    for start in range(0, frames, CHUNK_FRAMES):
        chunk = found[start : start + CHUNK_FRAMES]
        assert chunk.sum() == pytest.approx(len(chunk) * count, rel=1e-5)


@pytest.mark.parametrize("unit", [False, True])
def test_equal_frames_score_their_places_each(unit):
    x = tokens(1, 6, 8).repeat(11, axis=0)
    np.testing.assert_allclose(attention_received(x, unit), 6, rtol=1e-5)


@given(st.floats(0, 12), st.integers(2, 6))
def test_of_two_equal_frames_and_one_apart_the_one_apart_has_its_closed_form(c, width):
    """A, A, B of one token, A orthogonal to B, |A|^2 = |B|^2 = c sqrt(d): the pair attends to itself, B loses."""
    length = math.sqrt(c * math.sqrt(width))
    x = np.zeros((3, 1, width), dtype=np.float32)
    x[:2, 0, 0] = x[2, 0, 1] = length
    odd = 2 / (2 * math.exp(c) + 1) + math.exp(c) / (math.exp(c) + 2)
    rest = (3 - odd) / 2
    np.testing.assert_allclose(attention_received(x), [rest, rest, odd], rtol=1e-5)


def test_unit_tokens_have_the_closed_form_of_cosines_by_softness_whatever_their_length():
    x = np.zeros((3, 1, 4), dtype=np.float32)
    x[0, 0, 0], x[1, 0, 0], x[2, 0, 1] = 0.1, 7.0, 300.0
    e = math.exp(1 / 0.1)
    odd = 2 / (2 * e + 1) + e / (e + 2)
    np.testing.assert_allclose(attention_received(x, unit=True), [(3 - odd) / 2] * 2 + [odd], rtol=1e-5)


@given(st.permutations(range(CHUNK_FRAMES)), st.booleans(), st.integers(0, 99))
def test_permuted_frames_have_permuted_scores(order, unit, seed):
    x = tokens(CHUNK_FRAMES, 3, 8, seed)
    np.testing.assert_allclose(attention_received(x[order], unit), attention_received(x, unit)[order], rtol=1e-4)


def test_frames_of_one_chunk_do_not_see_those_of_another():
    x = tokens(11, 3, 8)
    apart = [attention_received(x[:8]), attention_received(x[8:])]
    np.testing.assert_array_equal(attention_received(x), np.concatenate(apart))


def test_long_tokens_of_one_length_attend_to_themselves_alone_and_their_scores_are_flat():
    """A choice by such scores is one by rounding; at unit length the same tokens differ."""
    x = 2 + tokens(8, 4, 64)  # a mean that all share, as CLIP's tokens do
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    assert is_flat(attention_received(300 * x))
    assert not is_flat(attention_received(300 * x, unit=True))
    assert not is_flat(attention_received(10 * x))


def test_a_token_longer_than_all_others_draws_their_attention():
    x = 2 + tokens(8, 4, 64)
    x[5, 2] *= 2
    np.testing.assert_allclose(attention_received(300 * x), [0, 0, 0, 0, 0, 32, 0, 0], atol=1e-4)


def test_many_places_of_a_large_network_in_half_precision_do_not_overflow():
    x = tokens(CHUNK_FRAMES, 196, 256, scale=200.0).astype(np.float16)
    found = attention_received(x)
    assert found.dtype == np.float32
    assert is_flat(found)
    np.testing.assert_allclose(found, 196, atol=1e-3)
    assert np.isfinite(attention_received(x, unit=True)).all()


@pytest.mark.parametrize("side", [1, 2, 4, 7, 14])
def test_places_leave_out_a_class_token_where_there_is_one(side):
    count = side * side
    x = np.arange(2.0 * (count + 1) * 3).reshape(2, count + 1, 3)
    np.testing.assert_array_equal(places(x), x[:, 1:])
    np.testing.assert_array_equal(places(x[:, 1:]), x[:, 1:])


def test_motion_of_the_camera_is_no_motion_of_what_it_shows():
    """A pan moves all cells alike; what differs from most of them moves by itself."""
    pan = np.zeros((3, 2, 6, 8), dtype=np.float32)
    pan[:, 0], pan[:, 1] = 3.5, -1.0
    assert motion_energy(pan).tolist() == [0.0, 0.0, 0.0]
    block = pan.copy()
    block[1, :, 2:4, 3:5] += np.array([3.0, 4.0], dtype=np.float32)[:, None, None]
    np.testing.assert_allclose(motion_energy(block), [0.0, 4 * 5.0 / 48, 0.0])


@given(st.integers(0, 999), st.floats(-20, 20), st.floats(-20, 20), st.floats(0, 4))
def test_energy_does_not_hang_on_the_pan_and_grows_with_the_motion(seed, dx, dy, factor):
    fields = np.random.default_rng(seed).normal(size=(2, 2, 3, 5))
    moved = fields + np.array([dx, dy]).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(motion_energy(moved), motion_energy(fields), atol=1e-9)
    np.testing.assert_allclose(motion_energy(factor * fields), factor * motion_energy(fields), atol=1e-9)


def test_likeness_is_the_cosine_with_the_nearest_class_whatever_the_length_of_a_frame():
    texts = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    frames = np.array([[0.0, 5.0, 0.0], [3.0, 0.0, 4.0], [0.0, -1.0, 1.0]])
    np.testing.assert_allclose(best_likeness(frames, texts), [1.0, 0.6, 0.0])
