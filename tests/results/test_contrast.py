"""One word, one rule: the exact test and the interval of a paired difference never contradict each other."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from moclip.results.contrast import (
    DIFFERENT,
    FLIPS,
    NONE_DIFFERS,
    NOT_KNOWN,
    NOT_SHOWN,
    Contrast,
    among,
    contrast,
    equality,
    fewest_that_stand_out,
    least_p,
    q_values,
    sign_flip_p,
    sign_test_p,
)
from moclip.results.estimate import Design
from tests.results.test_estimate import design


def moved(groups: list[int], of: Design, by: float = 1.0) -> Contrast:
    """One clip of each of these recordings of four is right in the first head alone."""
    values = np.zeros(len(of.groups[1]))
    values[np.array(groups, dtype=int) * 4] = by
    return contrast({1: values}, of, 95.0)


@pytest.mark.parametrize("seed", range(5))
def test_p_is_that_of_all_sign_flips(seed: int) -> None:
    parts = np.random.default_rng(seed).integers(-3, 4, 9).astype(float)
    sums = [abs(np.dot(signs, parts)) for signs in itertools.product((-1, 1), repeat=9)]
    assert sign_flip_p(parts) == pytest.approx(np.mean(np.array(sums) >= abs(parts.sum()) - 1e-9))


def test_p_of_many_recordings_is_scipys_but_for_chance_and_never_zero() -> None:
    parts = np.random.default_rng(0).normal(0.25, 1.0, 60)
    theirs = permutation_test((parts, np.zeros(60)), lambda x, y, axis: (x - y).sum(axis=axis), vectorized=True,
                              permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1))  # fmt: skip
    assert sign_flip_p(parts) == pytest.approx(theirs.pvalue, abs=0.01)
    assert sign_flip_p(np.ones(40)) == pytest.approx(1 / (FLIPS + 1))
    assert sign_flip_p(np.zeros(7)) == 1.0


@pytest.mark.parametrize(("count", "word"), [(4, NOT_SHOWN), (5, NOT_SHOWN), (6, DIFFERENT)])
def test_few_discordances_one_way_are_different_only_from_six_on(count: int, word: str) -> None:
    """p of 4 is .125, of 5 .0625, of 6 .03125, whatever the interval says."""
    found = moved(list(range(0, 36, 6))[:count], design(12, 3, 4))
    assert found.p == pytest.approx(2 / 2**count)
    assert found.word == word


def test_where_the_test_allows_0_the_interval_reaches_to_it() -> None:
    found = moved([0, 6, 12, 18, 24], design(12, 3, 4))
    assert found.raw_interval is not None
    assert found.raw_interval["low"] > 0.0  # Student alone would have called it
    assert found.interval is not None
    assert found.interval["low"] == 0.0


@settings(max_examples=80)
@given(st.integers(0, 2**32 - 1))
def test_word_and_interval_never_contradict_each_other(seed: int) -> None:
    rng, of = np.random.default_rng(seed), design(int(rng_classes(seed)), 3, 4)
    n = len(of.groups[1])
    values = rng.choice([-1.0, 0.0, 1.0], n, p=rng.dirichlet([1, 6, 2]))
    found = contrast({1: values}, of, 95.0)
    for one in (found, *among([found, moved([0], of), moved([1], of)])):
        if one.word == NONE_DIFFERS:
            assert one.interval is None
            assert one.at_most_pct is not None
        else:
            assert one.interval is not None
            leaves_out = not one.interval["low"] <= 0.0 <= one.interval["high"]
            assert leaves_out == (one.word == DIFFERENT)


def rng_classes(seed: int) -> int:
    return 2 + seed % 11


def test_no_discordant_recording_says_how_many_there_may_be() -> None:
    found = contrast({1: np.zeros(432)}, design(36, 3, 4), 95.0)
    assert (found.word, found.interval, found.p) == (NONE_DIFFERS, None, 1.0)
    assert found.at_most_pct == pytest.approx(3.36, abs=0.01)
    assert found.values()["detectable_points"] is None


def test_recordings_that_all_move_alike_have_no_interval_without_a_width() -> None:
    found = contrast({1: np.ones(144)}, design(12, 3, 4), 95.0)
    assert found.word == DIFFERENT
    assert found.interval is not None
    assert found.interval["high"] == 100.0
    assert 75.0 < found.interval["low"] < 85.0


def test_a_single_recording_tells_nothing() -> None:
    of = Design({1: np.zeros(3)}, {1: np.zeros(3)})
    found = contrast({1: np.array([1.0, 0.0, 0.0])}, of, 95.0)
    assert (found.word, found.interval, found.p) == (NOT_KNOWN, None, None)


def test_sameness_needs_both_one_sided_tests_and_enough_recordings() -> None:
    large, small = design(100, 7, 4), design(12, 3, 4)
    assert equality(moved([0], large), 1.0) == "equal"
    assert equality(moved([0], small), 1.0) == "undecided"
    assert equality(moved(list(range(0, 36, 3)), small), 1.0) == DIFFERENT
    still = contrast({1: np.zeros(144)}, small, 95.0)
    assert equality(still, 1.0) == NONE_DIFFERS
    assert not still.equal_within(1.0)  # 36 recordings leave up to 8 % of them
    assert contrast({1: np.zeros(2800)}, large, 95.0).equal_within(1.0)


def test_q_values_are_benjamini_and_hochbergs_and_pass_over_what_has_no_p() -> None:
    p = [0.01, 0.04, 0.03, None, 0.5]
    assert q_values(p) == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, None, 0.5])
    assert q_values([None]) == [None]


def test_31_classes_cannot_stand_out_of_101_with_seven_recordings_each_and_32_can() -> None:
    assert fewest_that_stand_out([7] * 101, 0.05) == 32
    assert fewest_that_stand_out([21] * 101, 0.05) == 1
    assert fewest_that_stand_out([3] * 12, 0.05) is None
    assert (least_p(1), least_p(3), least_p(7)) == (1.0, 0.25, 2 / 2**7)


def test_the_sign_test_is_exact() -> None:
    assert sign_test_p(12, 0) == pytest.approx(2 / 2**12)
    assert (sign_test_p(6, 6), sign_test_p(0, 0)) == (1.0, 1.0)
