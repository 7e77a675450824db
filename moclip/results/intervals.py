"""How sure one may be of an accuracy or of a difference of two: bootstrap over groups of clips.

Axes: n videos, g groups, r resamples. Accuracies and differences are in percent and in percentage points.

Intervals resample whole groups, for the clips of one group are cut from one video. Which method covers
a known truth how often is measured by `benchmarks/intervals.py`: an accuracy near 100 % is skewed and
takes BCa; a paired difference is not, and there BCa would call equal heads different twice too often.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from moclip.base.errors import DataError
from moclip.results.predictions import Outcomes

BySplit = Mapping[int, np.ndarray]
Limits = dict[str, float]
"""Limits of an interval as plain values: `low` and `high`."""


@dataclass(frozen=True)
class Interval:
    """Limits of a confidence interval, in percent or in percentage points."""

    low_pct: float
    high_pct: float


def bootstrap_means_pct(values: np.ndarray, groups: np.ndarray, resamples: int, seed: Sequence[int]) -> np.ndarray:
    """Means of `values` in resampled data, drawing whole groups with replacement.

    Clips of one group come from one video: drawing clips would promise far too narrow an interval.

    Args:
        values: (n,) hits (0, 1) or differences of hits (-1, 0, 1), or means of such over seeds.
        groups: (n,) name of the group of each value.
        resamples: How many times as many groups as there are get drawn.
        seed: Seed of the draws; equal groups and seed give equal draws for every head.

    Returns:
        (resamples,) means, in percent.
    """
    sums, sizes = group_sums(values, groups)
    drawn = np.random.default_rng(seed).integers(len(sizes), size=(resamples, len(sizes)))  # (r, g)
    return 100.0 * sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)


def group_sums(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the values of each group, and how many there are, both (g,) in order of the groups' names."""
    codes = np.unique(groups, return_inverse=True)[1]
    return np.bincount(codes, weights=values), np.bincount(codes)


def accuracy_interval(
    hits: BySplit, groups: BySplit, resamples: int, confidence_pct: float, seed: int
) -> Interval | None:
    """Interval of an accuracy, the mean over splits: BCa over groups, widened for few groups.

    A head that is always right or always wrong gives nothing to resample; it gets the exact (Clopper-Pearson)
    limits with each group as one observation, which is the least that its videos can be worth.

    Args:
        hits: By split, (n,) values from 0 to 1.
        groups: By split, (n,) names.
        resamples: Number of bootstrap resamples.
        confidence_pct: Confidence level in percent.
        seed: Together with the split it seeds the draws.

    Returns:
        None where no spread can be estimated: a split has a single group, or two splits, drawn apart, share one.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, equations 14.9 to 14.15;
    the widening is that of `_ends`.
    """
    found = _resample(hits, groups, resamples, seed)
    if found is None:
        return None
    if found.mean_pct in (0.0, 100.0):
        edge = 100.0 * ((100.0 - confidence_pct) / 200.0) ** (1.0 / found.groups)
        return Interval(edge, 100.0) if found.mean_pct else Interval(0.0, 100.0 - edge)
    below = np.mean(found.draws_pct < found.mean_pct - 1e-9) + np.mean(found.draws_pct <= found.mean_pct + 1e-9)
    bias = ndtri(np.clip(below / 2, 1 / resamples, 1 - 1 / resamples))
    shifted = bias + _ends(confidence_pct, found)
    stretch = np.maximum(1 - found.acceleration * shifted, 1e-6)  # beyond its pole, with few groups, all draws are in
    return _quantiles(found.draws_pct, ndtr(bias + shifted / stretch))


def difference_interval(
    differences: BySplit, groups: BySplit, resamples: int, confidence_pct: float, seed: int
) -> Interval | None:
    """Interval of a paired difference, the mean over splits: percentiles over groups, widened for few groups.

    Arguments and result are those of `accuracy_interval`; values run from -1 to 1.
    """
    found = _resample(differences, groups, resamples, seed)
    return None if found is None else _quantiles(found.draws_pct, ndtr(_ends(confidence_pct, found)))


def harmonic_mean_interval(
    parts: Sequence[tuple[BySplit, BySplit]], resamples: int, confidence_pct: float, seed: int
) -> Interval | None:
    """Interval of the harmonic mean of accuracies on parts that share no group, taken in each split, then averaged.

    Percentiles over groups, drawn in each part by itself, widened for few groups. A resample in which a part has no hit
    gives 0.

    Args:
        parts: Of each, values (n,) from 0 to 1 and names of groups (n,), by split; all have the same splits.
        resamples: Number of bootstrap resamples.
        confidence_pct: Confidence level in percent.
        seed: Together with the part and the split it seeds the draws.

    Returns:
        None where no spread can be estimated, as of `accuracy_interval`.
    """
    found = [_resample(*part, resamples, seed) for part in parts]
    if any(one is None for one in found):
        return None
    draws = []
    for split in parts[0][0]:
        own = [
            bootstrap_means_pct(values[split], groups[split], resamples, (seed, split, number))
            for number, (values, groups) in enumerate(parts)
        ]
        with np.errstate(divide="ignore"):  # a part without a hit
            draws.append(len(own) / np.sum([1.0 / drawn for drawn in own], axis=0))
    groups = sum(one.groups for one in found if one)
    strata = sum(one.splits for one in found if one)
    both = _Resampled(0.0, np.mean(draws, axis=0), 0.0, groups, strata)
    return _quantiles(both.draws_pct, ndtr(_ends(confidence_pct, both)))


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: resamples of the groups, confidence level, seed."""

    resamples: int
    confidence_pct: float
    seed: int

    def accuracy_interval(self, hits: BySplit, groups: BySplit) -> Limits | None:
        """Interval of an accuracy, as of the function `accuracy_interval`, in percent."""
        return _as_json(accuracy_interval(hits, groups, self.resamples, self.confidence_pct, self.seed))

    def interval(self, differences: BySplit, groups: BySplit) -> Limits | None:
        """Interval of a paired difference, as of `difference_interval`, in points."""
        return _as_json(difference_interval(differences, groups, self.resamples, self.confidence_pct, self.seed))

    def harmonic_interval(self, parts: Sequence[tuple[BySplit, BySplit]]) -> Limits | None:
        """Interval of a harmonic mean, as of `harmonic_mean_interval`, in percent."""
        return _as_json(harmonic_mean_interval(parts, self.resamples, self.confidence_pct, self.seed))


def _as_json(interval: Interval | None) -> Limits | None:
    return None if interval is None else {"low": round(interval.low_pct, 4), "high": round(interval.high_pct, 4)}


def is_significant(interval: Mapping[str, float] | None) -> bool | None:
    """Whether an interval of a difference leaves out zero; None where there is no interval."""
    return None if interval is None else not interval["low"] <= 0 <= interval["high"]


@dataclass(frozen=True)
class _Resampled:
    """The mean over splits, its bootstrap draws (r,), its acceleration, and what it is made of."""

    mean_pct: float
    draws_pct: np.ndarray
    acceleration: float
    groups: int
    splits: int


def _resample(values: BySplit, groups: BySplit, resamples: int, seed: int) -> _Resampled | None:
    names = [set(groups[split].tolist()) for split in values]
    if len(set().union(*names)) < sum(map(len, names)):
        return None
    draws, means, influence = [], [], []
    for split in sorted(values):
        sums, sizes = group_sums(values[split], groups[split])
        if len(sizes) < 2:
            return None
        mean = sums.sum() / sizes.sum()
        means.append(mean)
        influence.append((sums - mean * sizes) / sizes.sum())
        draws.append(bootstrap_means_pct(values[split], groups[split], resamples, (seed, split)))
    of_group = np.concatenate(influence)
    spread = float((of_group**2).sum() ** 1.5)
    skew = float((of_group**3).sum()) / (6.0 * spread) if spread else 0.0
    return _Resampled(100.0 * float(np.mean(means)), np.mean(draws, axis=0), skew, len(of_group), len(means))


def _ends(confidence_pct: float, found: _Resampled) -> np.ndarray:
    """Lower and upper end in standard deviations of a normal distribution, (2,).

    Percentiles of a bootstrap are too narrow with g groups, by sqrt((g - 1) / g) and by the normal
    where Student's t belongs. Source: Hesterberg 2015, What Teachers Should Know About the Bootstrap,
    section 3.3 (expanded percentile interval).
    """
    freedom = found.groups - found.splits
    wide = np.sqrt(found.groups / freedom) * stdtrit(freedom, (100.0 + confidence_pct) / 200.0)
    return np.array([-wide, wide])


def _quantiles(draws_pct: np.ndarray, levels: np.ndarray) -> Interval:
    low, high = np.quantile(draws_pct, levels)
    return Interval(float(low), float(high))


def paired_hits(first: Outcomes, second: Outcomes) -> tuple[Outcomes, np.ndarray]:
    """Hits of `first` minus hits of `second`, video by video.

    Returns:
        `first` in order of id, and (n,) int64 of -1, 0, 1 in the same order.

    Raises:
        DataError: the two differ in videos or labels; names the first that does.
    """
    a, b = _by_id(first), _by_id(second)
    for which, outcomes in (("first", a), ("second", b)):
        if twice := np.flatnonzero(outcomes.ids[1:] == outcomes.ids[:-1]).tolist():
            video = outcomes.ids[twice[0]]
            raise DataError(f"paired comparison: video '{video}' stands twice in the {which} head")
    if only := sorted(set(a.ids.tolist()) ^ set(b.ids.tolist())):
        which = "first" if only[0] in a.ids else "second"
        raise DataError(f"paired comparison: video '{only[0]}' is in the {which} head alone")
    if differ := np.flatnonzero(a.actual != b.actual).tolist():
        i = differ[0]
        raise DataError(
            f"paired comparison: video '{a.ids[i]}' is labelled {a.actual[i]} in one head "
            f"and {b.actual[i]} in the other"
        )
    return a, a.correct.astype(np.int64) - b.correct.astype(np.int64)


def _by_id(outcomes: Outcomes) -> Outcomes:
    order = np.argsort(outcomes.ids, kind="stable")
    return Outcomes(
        outcomes.ids[order],
        outcomes.groups[order],
        outcomes.actual[order],
        outcomes.predicted[order],
    )
