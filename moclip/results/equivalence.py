"""Whether a claimed figure was reached: two one-sided tests against a margin that the paper's file states beforehand.

What differs between two honest runs on the same test list is training, so that spread over seeds is the error. Test
videos err too only where the claim is on another list, or on one that is not known. Figures are in percent or points.

Source: Schuirmann 1987, A comparison of the two one-sided tests procedure and the power approach; the unit is a run, as
in MLPerf's reference convergence points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

REPRODUCED, BELOW, ABOVE, UNDECIDED = "reproduced", "below the claim", "above the claim", "undecided"
SEEDS_NEEDED = 5
ONE_SIDED = 0.95
_MOST_SEEDS = 50


@dataclass(frozen=True)
class Sampling:
    """Standard errors in points over recordings of both figures, which are on other lists, and ours' freedom."""

    ours: float
    claim: float
    df: float


@dataclass(frozen=True)
class Finding:
    """The verdict with its reason; `mean` and `sd` are over seeds, sd None for a single one."""

    verdict: str
    why: str
    mean: float
    sd: float | None


def rounding(value: float) -> float:
    """Half of the last digit that a figure is given with, one digit at least.

    >>> rounding(65.0), rounding(81.91)
    (0.05, 0.005)
    """
    return 0.5 * 10.0 ** -max(len(f"{value:g}".partition(".")[2]), 1)


def hold_against(
    ours: Sequence[float], claim: float, margin: float, draws: bool = True, sampling: Sampling | None = None
) -> Finding:
    """Hold the figures of some trainings against a claim of one.

    The claim is taken for one run with our spread, so the error of the difference is s sqrt(1 + 1/S).

    Args:
        ours: Our figure by seed, on the claim's list if `sampling` is None.
        claim: As published, rounded to its last digit.
        margin: What is called the same, in points, stated before any figure was known.
        draws: Whether a training draws anything; else one is all, without spread.
        sampling: Of figures that are on different lists.
    """
    mean, count = float(np.mean(ours)), len(ours)
    spread = float(np.std(ours, ddof=1)) if count > 1 else None
    if draws and count < SEEDS_NEEDED:
        ran = "1 seed run" if count == 1 else f"{count} seeds run"
        return Finding(UNDECIDED, f"{ran}, {SEEDS_NEEDED} needed", mean, spread)
    error = _Error(spread or 0.0, sampling, rounding(claim))
    half, gap = error.half(count), mean - claim
    verdict = _decided(gap, half, margin)
    low, high = (f"{value:+.1f}".replace("-", "\N{MINUS SIGN}") for value in (gap - half, gap + half))
    told = f"difference {gap:+.1f}".replace("-", "\N{MINUS SIGN}") + f", 90 % interval {low} to {high}"
    if verdict == UNDECIDED:
        told += f"; {_what_would_decide(gap, margin, count, error, draws)}"
    return Finding(verdict, told, mean, spread)


@dataclass(frozen=True)
class _Error:
    """What the difference errs by: the sd over seeds, sampling, and rounding of the claim."""

    spread: float
    sampling: Sampling | None
    rounding: float

    def half(self, seeds: int) -> float:
        """Half of the 90 % interval with so many seeds; freedom by Satterthwaite where two kinds of error meet."""
        parts = [(self.spread**2 * (1.0 + 1.0 / seeds), max(seeds - 1.0, 1.0))] if self.spread else []
        if self.sampling:
            parts += [(self.sampling.ours**2, self.sampling.df), (self.sampling.claim**2, self.sampling.df)]
        whole = sum(square for square, _ in parts)
        if not whole:
            return self.rounding
        df = whole**2 / sum(square**2 / own for square, own in parts)
        return float(scipy.special.stdtrit(df, ONE_SIDED)) * float(np.sqrt(whole)) + self.rounding


def _decided(gap: float, half: float, margin: float) -> str:
    if -margin < gap - half and gap + half < margin:
        return REPRODUCED
    if gap + half < -margin:
        return BELOW
    return ABOVE if gap - half > margin else UNDECIDED


def _what_would_decide(gap: float, margin: float, seeds: int, error: _Error, draws: bool) -> str:
    """How many seeds would decide, if mean and spread stayed as they are."""
    enough = range(seeds + 1, _MOST_SEEDS + 1) if draws else ()
    found = next((k for k in enough if _decided(gap, error.half(k), margin) != UNDECIDED), None)
    return f"about {found} seeds would decide" if found else "more seeds would not decide"
