"""Sampling and training noise: the formulas by hand, and what they promise on simulated trainings."""

from dataclasses import replace

import numpy as np
import pytest

from moclip.results.estimate import Design, estimate
from moclip.results.predictions import Outcomes
from moclip.results.seeds import ENOUGH, Noise, differences_of, hits_of, noise

CLASSES, GROUPS, CLIPS = 12, 3, 4
SPLITS = (1, 2, 3)


def design() -> Design:
    """The demo's: three groups of each class in a split, no group in two."""
    number = np.arange(CLASSES * GROUPS * CLIPS)
    classes = {k: np.char.add("c", (number // (GROUPS * CLIPS)).astype(str)) for k in SPLITS}
    groups = {k: np.char.add(f"s{k}g", (number // CLIPS).astype(str)) for k in SPLITS}
    return Design(classes, groups)


def simulated(rng: np.random.Generator, trainings: int, seed_sd: float, videos_sd: float = 0.15) -> list[dict]:
    """Chances of hits (n,) of videos that hang together by group, moved by each training as a whole, then drawn."""
    found = []
    chances = {}
    for k in SPLITS:
        of_group = rng.beta(6, 4, CLASSES * GROUPS).repeat(CLIPS)
        chances[k] = np.clip(of_group + rng.normal(0, videos_sd, len(of_group)), 0.15, 0.85)
    for _ in range(trainings):
        shift = rng.normal(0, seed_sd)
        found.append({k: (rng.random(len(p)) < p + shift).astype(float) for k, p in chances.items()})
    return found


def test_parts_are_those_of_the_formulas() -> None:
    rng, shape = np.random.default_rng(5), design()
    trainings = simulated(rng, 4, 0.06)
    found = noise(trainings, shape, 95.0)
    alone = np.mean([estimate(own, shape).variance for own in trainings]) * 1e4
    mean = {k: np.mean([own[k] for own in trainings], axis=0) for k in SPLITS}
    of_mean = estimate(mean, shape).variance * 1e4
    spread = np.var([100 * np.mean([own[k].mean() for k in SPLITS]) for own in trainings], ddof=1)
    seed = max(0.0, spread - (alone - of_mean) * 4 / 3)
    assert found.sampling == pytest.approx(of_mean**0.5)
    assert seed > 0
    assert found.training == pytest.approx((seed / 4) ** 0.5)
    assert found.total == pytest.approx((of_mean + seed / 4) ** 0.5)
    assert found.df == pytest.approx(found.total**4 / (of_mean**2 / (3 * CLASSES * 2) + (spread / 4) ** 2 / 3))
    assert found.new_training == pytest.approx(3.1824463 * spread**0.5 * 1.25**0.5)


@pytest.mark.parametrize("seed_sd", [0.0, 0.02, 0.04])
def test_what_a_training_moves_is_recovered(seed_sd: float) -> None:
    """Its mean square over lists is what was put in, but for the bound at zero."""
    rng, shape = np.random.default_rng(1), design()
    squares, truth = [], (100 * seed_sd) ** 2
    for _ in range(80):
        found = noise(simulated(rng, 8, seed_sd), shape, 95.0)
        squares.append(found.seed**2)
    assert np.mean(squares) == pytest.approx(truth, abs=0.25 * truth + 1.2)


@pytest.mark.parametrize("seed_sd", [0.0, 0.02, 0.03])
def test_four_trainings_against_four_of_the_same_head_are_seldom_different(seed_sd: float) -> None:
    rng, shape, called, by_videos = np.random.default_rng(2), design(), 0, 0
    for _ in range(300):
        trainings = simulated(rng, 8, seed_sd)
        found = noise(differences_of(trainings[:4], trainings[4:]), shape, 95.0)
        called += not found.interval["low"] <= 0 <= found.interval["high"]
        by_videos += abs(found.mean) > 1.993 * found.sampling
    assert called / 300 <= 0.07
    if seed_sd == 0.03:
        assert by_videos / 300 > 0.2, "sampling alone calls the same head different from itself"


def test_interval_of_one_new_training_covers_it() -> None:
    rng, shape, inside = np.random.default_rng(3), design(), 0
    for _ in range(300):
        *trainings, new = simulated(rng, 6, 0.03)
        found = noise(trainings, shape, 95.0)
        inside += abs(100 * np.mean([new[k].mean() for k in SPLITS]) - found.mean) <= found.new_training
    assert 0.92 <= inside / 300 <= 0.98


def test_one_training_tells_nothing_of_trainings_unless_nothing_is_drawn() -> None:
    trainings, shape = simulated(np.random.default_rng(0), 1, 0.0), design()
    unknown, fixed = noise(trainings, shape, 95.0), noise(trainings, shape, 95.0, is_fixed=True)
    assert (unknown.training, unknown.total, unknown.interval, unknown.new_training) == (None, None, None, None)
    assert unknown.word == f"undecided: 1 seed, {ENOUGH} would do"
    assert (fixed.training, fixed.total, fixed.new_training, fixed.undecided) == (0.0, fixed.sampling, 0.0, None)
    assert unknown.values()["undecided"] == unknown.word


def test_word_says_how_many_trainings_would_do() -> None:
    sure = Noise({1: (9.0, 10.0, 11.0, 10.0, 10.0)}, 95.0, 1.0, 60, 0.7, 5, False)
    assert sure.word == "different"
    noisy = replace(sure, per_split={1: (-6.0, 2.0, 4.0, 6.0, 14.0)}, sampling=1.0, seed=7.0)
    needed = noisy.deciding()
    assert noisy.word == f"undecided: 5 seeds, {needed} would do"
    error = (1.0 + 49.0 / needed) ** 0.5
    assert noisy.mean > 1.96 * error
    assert replace(noisy, sampling=4.0).word == "no difference shown", "no number of trainings brings other videos"
    assert replace(sure, independent=3).undecided == f"undecided: 3 seeds, {ENOUGH} would do"


def test_trainings_that_share_a_network_average_out_as_few() -> None:
    trainings, shape = simulated(np.random.default_rng(4), 4, 0.08), design()
    apart, shared = noise(trainings, shape, 95.0), noise(trainings, shape, 95.0, independent=2)
    assert shared.training == pytest.approx(apart.training * 2**0.5)
    assert shared.df < apart.df
    assert shared.interval["low"] < apart.interval["low"]


def test_no_error_over_videos_where_a_split_has_one_group() -> None:
    values = [{1: np.array([1.0, 0.0])}, {1: np.array([1.0, 1.0])}]
    found = noise(values, Design({1: np.array(["a", "a"])}, {1: np.array(["g", "g"])}), 95.0)
    assert (found.sampling, found.total, found.interval) == (None, None, None)
    assert found.spread == pytest.approx(25 * 2**0.5)


def test_hits_of_trainings_keep_their_order_and_meet_in_turn() -> None:
    ids = np.array(["v1", "v2", "v3"])
    actual = np.array(["a", "b", "b"])
    own = Outcomes(ids, ids, actual, np.array(["a", "b", "a"]), repeats=np.array([["b", "b", "b"]]))
    other = Outcomes(ids, ids, actual, np.array(["a", "a", "a"]))
    first, second = hits_of({1: own}), hits_of({1: other})
    assert [one[1].tolist() for one in first] == [[1, 1, 0], [0, 1, 1]]
    assert [one[1].tolist() for one in differences_of(first, second)] == [[0, 1, 0], [-1, 1, 1]]
    assert own.hits.tolist() == [0.5, 1.0, 0.5]
    picked = own.only(np.array([2, 0]))
    assert picked.repeats.tolist() == [["b", "b"]]
    assert picked.hits.tolist() == [0.5, 0.5]


def test_no_limit_is_beyond_what_a_figure_can_be() -> None:
    """Of a dozen videos in a few recordings, t standard errors reach far beyond."""
    few = Design({1: np.repeat(["a", "b"], 6)}, {1: np.repeat(["g0", "g1", "g2", "g3"], 3)})
    rare, usual = ({1: np.array(hits, float)} for hits in ([1, 1, 1, *9 * [0]], [0, 0, 0, *9 * [1]]))
    for hits, side, limit in ((rare, "low", 0.0), (usual, "high", 100.0)):
        difference, accuracy = (
            noise([hits], few, 95.0, is_fixed=True, lowest=lowest).interval for lowest in (-100.0, 0.0)
        )
        assert accuracy is not None
        assert accuracy[side] == limit
        assert difference is not None
        assert -100.0 <= difference["low"] < difference["high"] <= 100.0
