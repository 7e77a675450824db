"""From an estimate to the limits of an interval: Korn and Graubard's for an accuracy, Student's t for the rest.

Which method covers a known truth how often is measured by `benchmarks/intervals.py`. Limits are in the unit of the
figure times 100, of shares in percent and of their differences in points, unless a scale says otherwise. SciPy brings
its functions when the first of them is asked for: who only reads figures does not wait for them.
"""

import numpy as np
import scipy

from moclip.results.estimate import Estimate

Limits = dict[str, float]
"""Limits of an interval as plain values: `low` and `high`."""

CLIP_CORRELATION = 1 / 3
"""Of the hits of two clips of a recording: what is taken where an accuracy near 0 or 1 tells too little of it."""
PRIOR_UNITS = 6
"""Recordings with an error (or with a hit, if those are fewer) that count as much as that assumption.

With fewer than six, limits would rise where one more clip is wrong: tests/results/test_intervals.py has the chains.
"""

_ROUNDING = 1e-9  # of the spread of values that are all the same, such as equal shares


def accuracy_limits(found: Estimate, confidence_pct: float) -> Limits:
    """Limits of an accuracy in percent: Clopper and Pearson's, on the number of independent videos that it is worth.

    That number is p (1 - p) / V, at most the videos themselves. Where hardly any recording has an error, V says little:
    it is averaged with the variance that clips correlated by `CLIP_CORRELATION` would give.

    Source: Korn and Graubard 1998, Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data, Survey Methodology 24(2).
    """
    tail, share = (100.0 - confidence_pct) / 200.0, min(max(found.value, 0.0), 1.0)
    worth = effective_videos(found) * (_t(found.n - 1, tail) / _t(found.df, tail)) ** 2
    hits = worth * share
    low = 0.0 if share <= 0.0 else float(scipy.special.betaincinv(hits, worth - hits + 1.0, tail))
    high = 1.0 if share >= 1.0 else float(scipy.special.betaincinv(hits + 1.0, worth - hits, 1.0 - tail))
    return rounded(100.0 * min(low, share), 100.0 * max(high, share))


def effective_videos(found: Estimate) -> float:
    """How many independent videos an accuracy is worth, at most as many as there are."""
    expected = 1.0 + max(found.n / found.groups - 1.0, 0.0) * CLIP_CORRELATION
    whole = found.value * (1.0 - found.value)
    if found.spread <= _ROUNDING * whole or whole <= 0.0:
        return found.n / expected
    assumed = found.spread * expected / found.n
    variance = (PRIOR_UNITS * assumed + found.moved * found.variance) / (PRIOR_UNITS + found.moved)
    return min(found.n * whole / found.spread, whole / variance)


def mean_limits(found: Estimate, confidence_pct: float, scale: float = 100.0) -> Limits:
    """Limits of a mean or a difference: its value and t standard errors to either side, times `scale`."""
    half = _t(found.df, (100.0 - confidence_pct) / 200.0) * found.se
    return rounded(scale * (found.value - half), scale * (found.value + half))


def of_share(limits: Limits) -> Limits:
    """Limits of an accuracy in percent, no wider than an accuracy can be."""
    return {"low": max(limits["low"], 0.0), "high": min(limits["high"], 100.0)}


def at_most_pct(seen: int, groups: int, tail: float) -> float:
    """Up to how many recordings in percent may do what `seen` of `groups` did: Clopper and Pearson's upper limit."""
    return (
        100.0
        if seen >= groups
        else 100.0 * float(scipy.special.betaincinv(seen + 1.0, float(groups - seen), 1.0 - tail))
    )


def detectable_points(found: Estimate, confidence_pct: float, power_pct: float = 80.0) -> float:
    """The smallest true difference in points that is found in `power_pct` of test lists like this one."""
    return 100.0 * (_t(found.df, (100.0 - confidence_pct) / 200.0) + _t(found.df, 1.0 - power_pct / 100.0)) * found.se


def rounded(low: float, high: float) -> Limits:
    """Limits as plain values, with four decimals."""
    return {"low": round(low, 4), "high": round(high, 4)}


def _t(df: float, tail: float) -> float:
    """Student's t that is passed in a share `tail` of cases."""
    return float(scipy.special.stdtrit(max(df, 1.0), 1.0 - tail)) if np.isfinite(df) else 0.0
