"""moclip.results.estimate against formulas written out, and against simulated truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moclip.base.errors import DataError
from moclip.results.estimate import Design, Estimate, estimate, influence, of_influence


def design(classes: int, groups: int, clips: int, splits: int = 1) -> Design:
    """So many recordings of each class, and so many clips of each; every split has recordings of its own."""
    names = np.arange(classes * groups)
    return Design(
        {k: np.repeat([f"class{c:03d}" for c in range(classes)], groups * clips) for k in range(1, splits + 1)},
        {k: np.repeat([f"s{k}g{name:04d}" for name in names], clips) for k in range(1, splits + 1)},
    )


def found(values: dict[int, np.ndarray], of: Design) -> Estimate:
    result = estimate(values, of)
    assert result is not None
    return result


def test_the_variance_is_the_formula_written_out_class_by_class() -> None:
    rng, of = np.random.default_rng(0), design(4, 3, 5)
    hits = rng.integers(0, 2, 60).astype(float)
    table = (hits - hits.mean()).reshape(4, 3, 5).sum(axis=2) / 60
    by_hand = sum(3 / 2 * ((row - row.mean()) ** 2).sum() for row in table)
    own = found({1: hits}, of)
    assert own.variance == pytest.approx(by_hand)
    assert (own.df, own.n, own.groups, own.lone) == (8, 60, 12, 0)


def test_a_mean_over_splits_of_other_recordings_adds_their_variances() -> None:
    rng, of = np.random.default_rng(1), design(3, 4, 2, splits=2)
    hits = {k: rng.integers(0, 2, 24).astype(float) for k in (1, 2)}
    alone = [found({k: hits[k]}, Design({k: of.classes[k]}, {k: of.groups[k]})) for k in (1, 2)]
    both = found(hits, of)
    assert both.value == pytest.approx((alone[0].value + alone[1].value) / 2)
    assert both.variance == pytest.approx((alone[0].variance + alone[1].variance) / 4)
    assert (both.df, both.n) == (18, 48)


def test_a_recording_that_tests_in_two_splits_is_one_unit() -> None:
    """The same list twice is worth as much as once: nothing was drawn anew."""
    rng, of = np.random.default_rng(2), design(3, 4, 2)
    hits = rng.integers(0, 2, 24).astype(float)
    once = found({1: hits}, of)
    twice = found({1: hits, 2: hits}, Design({1: of.classes[1], 2: of.classes[1]}, {1: of.groups[1], 2: of.groups[1]}))
    assert (twice.value, twice.df, twice.groups) == (once.value, once.df, once.groups)
    assert twice.variance == pytest.approx(once.variance)


def test_a_class_with_one_recording_joins_its_neighbour_and_is_counted() -> None:
    of = Design({1: np.array(list("aabbccd"))}, {1: np.array(["a1", "a2", "b1", "b1", "c1", "c2", "d1"])})
    own = found({1: np.array([1, 0, 1, 1, 1, 0, 1.0])}, of)
    assert (own.lone, own.df, own.groups) == (2, 4, 6)  # a alone, b with c and d: 6 units, 2 strata


def test_classes_of_one_recording_each_are_paired_off() -> None:
    of = Design({1: np.array(list("abcde"))}, {1: np.array(list("12345"))})
    own = found({1: np.array([1, 0, 1, 1, 0.0])}, of)
    assert (own.lone, own.df) == (5, 3)


def test_a_recording_of_several_classes_is_one_unit() -> None:
    people = np.repeat([f"person{i}" for i in range(6)], 4)
    of = Design({1: np.tile(list("abcd"), 6)}, {1: people})
    hits = np.random.default_rng(3).integers(0, 2, 24).astype(float)
    own = found({1: hits}, of)
    sums = (hits - hits.mean()).reshape(6, 4).sum(axis=1) / 24
    assert own.variance == pytest.approx(6 / 5 * (sums**2).sum())
    assert own.df == 5


@pytest.mark.parametrize("splits", [1, 3])
def test_a_constant_answer_has_no_spread_by_design(splits: int) -> None:
    of = design(12, 3, 4, splits)
    own = found({k: (of.classes[k] == "class000").astype(float) for k in of.splits}, of)
    assert own.value == pytest.approx(1 / 12)
    assert own.variance == pytest.approx(0.0, abs=1e-30)


def test_a_split_of_one_recording_has_no_spread() -> None:
    of = Design({1: np.array(list("ab")), 2: np.array(list("ab"))}, {1: np.array(["g", "g"]), 2: np.array(["h", "i"])})
    assert estimate({1: np.ones(2), 2: np.ones(2)}, of) is None


def test_values_of_other_videos_are_refused() -> None:
    with pytest.raises(DataError, match="splits \\[2\\], the design is of \\[1\\]"):
        estimate({2: np.ones(8)}, design(2, 2, 2))
    with pytest.raises(DataError, match="split 1: 7 values, 8 videos"):
        estimate({1: np.ones(7)}, design(2, 2, 2))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_the_influence_of_a_mean_is_its_own_and_the_order_of_videos_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 40))
    groups = rng.integers(0, 6, n)
    groups[:2] = (0, 1)
    of = Design({1: (groups % 3).astype(str)}, {1: groups.astype(str)})
    values = {1: rng.random(n)}
    own = found(values, of)
    again = of_influence(own.value, influence(values, of), of)
    assert again is not None
    assert (again.variance, again.df, again.spread) == pytest.approx((own.variance, own.df, own.spread))
    order = rng.permutation(n)
    shuffled = found({1: values[1][order]}, Design({1: of.classes[1][order]}, {1: of.groups[1][order]}))
    assert (shuffled.variance, shuffled.df) == pytest.approx((own.variance, own.df))


def test_the_variance_is_that_of_simulated_lists() -> None:
    """2,000 lists of 12 fixed classes, 3 recordings of 4 clips each: the mean of V is the variance of the accuracy."""
    rng, of = np.random.default_rng(4), design(12, 3, 4)
    recall = rng.beta(1, 1, 12)
    accuracy = rng.beta(1.5 * recall[:, None], 1.5 * (1 - recall[:, None]), (2000, 12, 3))
    lists = (rng.random((2000, 12, 3, 4)) < accuracy[..., None]).reshape(2000, -1).astype(float)
    estimates = [found({1: hits}, of) for hits in lists]
    ratio = np.mean([own.variance for own in estimates]) / np.var([own.value for own in estimates])
    assert ratio == pytest.approx(1.0, abs=0.1)  # its standard error is 0.03
