"""moclip.results.equivalence: its operating characteristic, simulated, and its cases."""

import numpy as np
import pytest
from scipy.stats import t as student_t

from moclip.results.equivalence import ABOVE, BELOW, REPRODUCED, UNDECIDED, Sampling, hold_against, rounding

TRIALS = 2000
RNG_SEED = 0
MINUS = "\N{MINUS SIGN}"


def shares(seeds: int, spread: float, shortfall: float) -> dict[str, float]:
    """How often each verdict falls: the claim is one run of a method whose mean lies `shortfall` above ours."""
    rng = np.random.default_rng(RNG_SEED)
    ours = 85.0 + spread * rng.standard_normal((TRIALS, seeds))
    claims = np.round(85.0 + shortfall + spread * rng.standard_normal(TRIALS), 1)
    found = [hold_against(run.tolist(), claim, 2.0).verdict for run, claim in zip(ours, claims.tolist(), strict=True)]
    return {verdict: found.count(verdict) / TRIALS for verdict in (REPRODUCED, BELOW, ABOVE, UNDECIDED)}


@pytest.mark.parametrize(
    ("seeds", "spread", "reproduced"), [(5, 0.3, 0.98), (5, 0.5, 0.75), (10, 0.5, 0.88), (10, 0.8, 0.35)]
)
def test_equal_methods_are_reproduced_as_often_as_the_table_says(seeds: int, spread: float, reproduced: float) -> None:
    found = shares(seeds, spread, 0.0)
    assert found[REPRODUCED] >= reproduced
    assert found[BELOW] + found[ABOVE] == 0.0


@pytest.mark.parametrize(("seeds", "spread"), [(5, 0.3), (5, 0.5), (10, 0.5), (10, 0.8)])
def test_at_the_margin_either_error_is_at_most_one_in_twenty(seeds: int, spread: float) -> None:
    for shortfall in (2.0, -2.0):
        found = shares(seeds, spread, shortfall)
        assert found[REPRODUCED] <= 0.06
        assert found[BELOW if shortfall > 0 else ABOVE] <= 0.06
        assert found[ABOVE if shortfall > 0 else BELOW] == 0.0


@pytest.mark.parametrize(("seeds", "spread", "below"), [(5, 0.3, 0.7), (10, 0.5, 0.46)])
def test_a_point_beyond_the_margin_is_below_and_never_reproduced(seeds: int, spread: float, below: float) -> None:
    found = shares(seeds, spread, 3.0)
    assert found[BELOW] >= below
    assert found[REPRODUCED] <= 0.005


def test_the_formula_written_out() -> None:
    ours = [88.3, 88.7, 88.9, 88.5, 89.1]
    error = np.std(ours, ddof=1) * np.sqrt(1 + 1 / 5)
    half = 2.131847 * error + 0.05  # t of 0.95 with 4 degrees of freedom
    found = hold_against(ours, 89.2, 2.0)
    assert found.verdict == REPRODUCED
    low, high = -0.5 - half, -0.5 + half
    assert found.why == f"difference -0.5, 90 % interval {low:+.1f} to {high:+.1f}".replace("-", MINUS)


@pytest.mark.parametrize(
    ("ours", "why"),
    [([88.7], "1 seed run, 5 needed"), ([88.7, 88.9], "2 seeds run, 5 needed"), ([88.7] * 4, "4 seeds run, 5 needed")],
)
def test_too_few_trainings_decide_nothing(ours: list[float], why: str) -> None:
    found = hold_against(ours, 89.2, 2.0)
    assert (found.verdict, found.why) == (UNDECIDED, why)


def test_a_head_that_draws_nothing_needs_no_second_run() -> None:
    """The review's case: 76 of 3783 videos fewer than claimed, on those very videos, are no reproduction."""
    claimed, short = 65.0, 65.0 - 100 * 76 / 3783
    assert hold_against([short], claimed, 1.0, draws=False).verdict == BELOW
    assert hold_against([64.5], claimed, 1.0, draws=False).verdict == REPRODUCED
    assert hold_against([66.5], claimed, 1.0, draws=False).verdict == ABOVE
    edge = hold_against([64.0], claimed, 1.0, draws=False)
    assert edge.verdict == UNDECIDED
    assert edge.why.endswith("more seeds would not decide")


def test_undecided_names_how_many_seeds_would_decide() -> None:
    """By hand: with s = 0.8367 and D = 0, the first S for which t s sqrt(1 + 1/S) + 0.05 falls under 2 points."""
    ours = [83.9, 85.2, 86.1, 84.5, 85.3]
    found = hold_against(ours, 85.0, 2.0)
    assert found.verdict == UNDECIDED
    spread = np.std(ours, ddof=1)
    enough = next(k for k in range(6, 50) if student_t.ppf(0.95, k - 1) * spread * np.sqrt(1 + 1 / k) + 0.05 < 2.0)
    assert found.why.endswith(f"about {enough} seeds would decide")


def test_videos_count_only_where_the_claim_is_on_another_list() -> None:
    ours = [85.0, 85.1, 84.9, 85.0, 85.05]
    assert hold_against(ours, 85.2, 2.0).verdict == REPRODUCED
    apart = hold_against(ours, 85.2, 2.0, sampling=Sampling(1.5, 1.5, 600))
    assert apart.verdict == UNDECIDED
    assert apart.why.endswith("more seeds would not decide")


def test_rounding_is_half_of_the_last_digit() -> None:
    assert (rounding(89.2), rounding(65.0), rounding(81.91)) == pytest.approx((0.05, 0.05, 0.005))
