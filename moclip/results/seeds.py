"""What other videos and other trainings move a figure by: two parts, and both together.

A head is trained several times on the same lists, each time with other draws. What one training gets wrong by chance on
single videos averages out over trainings, and is in the sampling error of one already; what moves a whole training is
not. Figures are top-1 in percent or differences in points; variances are in squares of points.

    SE_S^2  variance over recordings of the mean over S trainings;   SE_1^2  mean of that of each training alone
    s^2     variance over trainings of their figures
    sig_sv^2 = (SE_1^2 - SE_S^2) S / (S - 1)           a training on single videos
    sig_seed^2 = max(0, s^2 - sig_sv^2)                a training as a whole
    SE_total^2 = SE_S^2 + sig_seed^2 / S               the method: other videos, other trainings
    df = SE_total^4 / (SE_S^4 / df_videos + (s^2 / S)^2 / (S - 1))

The last term has s, not sig_seed: what sig_seed is part of has S - 1 degrees of freedom, however little is left. With
sig_seed there, four trainings against four of the same head are called different in up to 11 % of lists, so in at
most 6 (tests/results/test_seeds.py).

Source of the degrees of freedom of a sum: Satterthwaite 1946, An Approximate Distribution of Estimates of Variance
Components, Biometrics Bulletin 2(6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from moclip.results.estimate import BySplit, Design, estimate
from moclip.results.predictions import Outcomes

ENOUGH = 5
"""Trainings that a spread over them needs: of fewer, its 95 % interval reaches from half of it to four times it."""
AT_MOST = 1000
DIFFERENT, NOT_SHOWN = "different", "no difference shown"


@dataclass(frozen=True)
class Noise:
    """A figure over several trainings, and how far it is from sure, in percent or points.

    Attributes:
        per_split: The figure of each training, by split.
        confidence_pct: Of intervals.
        sampling: Standard error over recordings, of the mean over these trainings; None where none can be estimated.
        df_videos: Degrees of freedom of it.
        seed: Standard deviation of a training as a whole, beyond what the sampling error holds; None with one training.
        independent: Trainings that share nothing, by which `seed` averages out.
        is_fixed: Whether nothing is drawn, so that every training is the same.
        lowest: What the figure cannot be below: 0 for an accuracy, -100 for a difference; it cannot be above 100.
    """

    per_split: Mapping[int, tuple[float, ...]]
    confidence_pct: float
    sampling: float | None
    df_videos: float
    seed: float | None
    independent: int
    is_fixed: bool
    lowest: float = -100.0

    @property
    def per_training(self) -> tuple[float, ...]:
        """The figure of each training, mean over splits."""
        return tuple(float(np.mean(of_splits)) for of_splits in zip(*self.per_split.values(), strict=True))

    @property
    def mean(self) -> float:
        """Mean over trainings."""
        return float(np.mean(self.per_training))

    @property
    def spread(self) -> float | None:
        """Standard deviation over trainings; None with one, unless nothing is drawn."""
        if len(self.per_training) > 1:
            return float(np.std(self.per_training, ddof=1))
        return 0.0 if self.is_fixed else None

    @property
    def training(self) -> float | None:
        """Standard error over trainings, of the mean over these; None as of `seed`."""
        return None if self.seed is None else self.seed / self.independent**0.5

    @property
    def total(self) -> float | None:
        """Standard error of the method: other videos, other trainings."""
        if self.sampling is None or self.training is None:
            return None
        return (self.sampling**2 + self.training**2) ** 0.5

    @property
    def df(self) -> float:
        """Degrees of freedom of `total`, after Satterthwaite."""
        return self._df(self.independent)

    @property
    def interval(self) -> dict[str, float] | None:
        """Limits by the total error, no wider than the figure's range."""
        if self.total is None:
            return None
        half = _t(self.confidence_pct, self.df) * self.total
        return {"low": round(max(self.mean - half, self.lowest), 4), "high": round(min(self.mean + half, 100.0), 4)}

    @property
    def new_training(self) -> float | None:
        """Half the interval of one new training's figure on these very videos; None where `spread` is."""
        count = len(self.per_training)
        if count == 1:
            return self.spread
        assert self.spread is not None
        return _t(self.confidence_pct, self.independent - 1) * self.spread * (1 + 1 / self.independent) ** 0.5

    @property
    def undecided(self) -> str | None:
        """Why too few trainings were run to tell what trainings move, and how many would do; None where enough were."""
        if self.is_fixed or self.independent >= ENOUGH:
            return None
        return f"undecided: {_seeds(self.independent)}, {ENOUGH} would do"

    @property
    def word(self) -> str:
        """What a difference is over other videos and other trainings: different, not shown, or undecided."""
        if self.seed is None:
            return f"undecided: {_seeds(1)}, {ENOUGH} would do"
        if self.interval is None:
            return "not known"
        if not self.interval["low"] <= 0.0 <= self.interval["high"]:
            return DIFFERENT
        needed = self.deciding()
        return f"undecided: {_seeds(self.independent)}, {needed} would do" if needed else NOT_SHOWN

    def deciding(self) -> int | None:
        """Least number of trainings by which this mean would be told from 0; None where no number would do."""
        if self.sampling is None or self.seed is None:
            return None
        for count in range(self.independent + 1, AT_MOST + 1):
            error = (self.sampling**2 + self.seed**2 / count) ** 0.5
            if abs(self.mean) > _t(self.confidence_pct, self._df(count)) * error:
                return count
        return None

    def _df(self, count: int) -> float:
        sampling, training = (self.sampling or 0.0) ** 2, (self.seed or 0.0) ** 2 / count
        parts = sampling**2 / self.df_videos if self.df_videos else 0.0
        parts += ((self.spread or 0.0) ** 2 / count) ** 2 / max(count - 1, 1)
        return (sampling + training) ** 2 / parts if parts else float("inf")

    def values(self) -> dict[str, Any]:
        """Plain values for JSON; what cannot be told is None."""
        figures = {
            "mean": self.mean,
            "spread": self.spread,
            "sampling": self.sampling,
            "training": self.training,
            "total": self.total,
            "df": self.df if np.isfinite(self.df) else None,
            "new_training": self.new_training,
        }
        return {
            **{name: None if value is None else round(value, 4) for name, value in figures.items()},
            "interval": self.interval,
            "per_training": [round(value, 4) for value in self.per_training],
            "per_split": {str(k): [round(value, 4) for value in values] for k, values in self.per_split.items()},
            "independent": self.independent,
            "fixed": self.is_fixed,
            "undecided": self.undecided,
        }


@dataclass(frozen=True)
class Seeds:
    """What the trainings of a head have in common.

    Attributes:
        independent: How many share no network; None for all.
        is_fixed: Whether nothing is drawn, so that one training stands for all.
        shared: What they all share that is trained too, in words; none where they share nothing.
    """

    independent: int | None = None
    is_fixed: bool = False
    shared: str = ""

    def beside(self, other: "Seeds") -> "Seeds":
        """The same of differences of two heads."""
        known = [one.independent for one in (self, other) if one.independent is not None]
        return Seeds(min(known, default=None), self.is_fixed and other.is_fixed, self.shared or other.shared)

    def noise(
        self, trainings: Sequence[BySplit], design: Design, confidence_pct: float, lowest: float = -100.0
    ) -> Noise:
        """Parts of the error of a mean over these trainings, as of the function `noise`."""
        independent = self.independent if self.independent and self.independent < len(trainings) else None
        return noise(trainings, design, confidence_pct, independent=independent, is_fixed=self.is_fixed, lowest=lowest)


def noise(
    trainings: Sequence[BySplit],
    design: Design,
    confidence_pct: float,
    *,
    independent: int | None = None,
    is_fixed: bool = False,
    lowest: float = -100.0,
) -> Noise:
    """Parts of the error of a mean over trainings.

    Args:
        trainings: Of each, hits or differences of hits (n,) by split, in the design's order.
        design: Classes and groups of the videos.
        confidence_pct: Of intervals.
        independent: How many of the trainings share no network; None for all. Where some do, their spread counts as
            that of so many, which is rather too much than too little.
        is_fixed: Whether nothing is drawn, so that one training stands for all.
        lowest: As of `Noise`.

    Raises:
        DataError: as of `moclip.results.estimate.estimate`.
    """
    count = len(trainings)
    mean = {split: np.mean([own[split] for own in trainings], axis=0) for split in design.splits}
    found = estimate(mean, design)
    per_split = {k: tuple(100.0 * float(own[k].mean()) for own in trainings) for k in design.splits}
    figures = np.mean(list(per_split.values()), axis=0)
    seed = 0.0 if is_fixed else None
    if count > 1:
        seed = _beyond_videos(
            trainings, design, None if found is None else found.variance, float(np.var(figures, ddof=1))
        )
    sampling, df = (None, 0.0) if found is None else (100.0 * found.se, found.df)
    return Noise(per_split, confidence_pct, sampling, df, seed, independent or count, is_fixed, lowest)


def _beyond_videos(trainings: Sequence[BySplit], design: Design, of_mean: float | None, spread: float) -> float:
    """Standard deviation of a training as a whole; all of the spread where no error over videos can be estimated."""
    if of_mean is None:
        return float(spread**0.5)
    alone = [one.variance for own in trainings if (one := estimate(own, design)) is not None]
    count = len(trainings)
    on_videos = max(0.0, 1e4 * (float(np.mean(alone)) - of_mean) * count / (count - 1))
    return float(max(0.0, spread - on_videos) ** 0.5)


def hits_of(outcomes: Mapping[int, Outcomes]) -> list[dict[int, np.ndarray]]:
    """Hits (n,) by split of each training."""
    by_split = {split: own.hits_by_training for split, own in outcomes.items()}
    count = min(map(len, by_split.values()))
    return [{split: hits[number] for split, hits in by_split.items()} for number in range(count)]


def differences_of(
    first: Sequence[Mapping[int, np.ndarray]], second: Sequence[Mapping[int, np.ndarray]]
) -> list[dict[int, np.ndarray]]:
    """Differences of hits by split of each training; a head with fewer trainings meets the other's in turn."""
    count = max(len(first), len(second))
    pairs = [(first[number % len(first)], second[number % len(second)]) for number in range(count)]
    return [{split: one[split] - other[split] for split in one} for one, other in pairs]


def _t(confidence_pct: float, df: float) -> float:
    """Student's t to either side; that of a normal where degrees of freedom are without end."""
    return float(scipy.special.stdtrit(min(max(df, 1.0), 1e9), (100.0 + confidence_pct) / 200.0))


def _seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"
