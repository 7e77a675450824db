"""The one estimator of uncertainty: a figure's variance over recordings of the same classes, as many of each.

A test list has a fixed number of recordings (groups) of each class, and the clips of a recording hang together. So a
group is the unit, a class is a stratum, and a figure's variance is the sum over strata of that of its units' influence.
Axes: n videos of a split, N those of all splits, u units, s strata. Figures are shares or means, in their own unit.

Source: Särndal, Swensson and Wretman 1992, Model Assisted Survey Sampling, chapters 2.9 and 5 (stratified sampling of
clusters, linearised); no bootstrap and no seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moclip.base.errors import DataError
from moclip.results.predictions import Outcomes

BySplit = Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Units:
    """Recordings in strata: the unit of each video (N,), the stratum of each unit (u,), units of each stratum (s,).

    `lone` are the classes with one recording, which share a stratum with their neighbour.
    """

    of_video: np.ndarray
    stratum: np.ndarray
    sizes: np.ndarray
    lone: int

    @property
    def df(self) -> int:
        """Degrees of freedom: units less strata."""
        return int(self.sizes.sum() - len(self.sizes))

    def sums(self, influence: np.ndarray) -> np.ndarray:
        """Influence by unit (u,) of an influence by video (N,)."""
        return np.bincount(self.of_video, weights=influence, minlength=len(self.stratum))

    def variance(self, influence: np.ndarray) -> float:
        """Variance of a figure, of whose deviation the influences by video (N,) are the parts."""
        of_unit = self.sums(influence)
        mean = np.bincount(self.stratum, weights=of_unit) / self.sizes
        squares = np.bincount(self.stratum, weights=(of_unit - mean[self.stratum]) ** 2)
        return float((self.sizes / (self.sizes - 1) * squares).sum())


@dataclass(frozen=True, eq=False)
class Design:
    """How test videos were drawn: the class and the group of each, by split, (n,) both."""

    classes: BySplit
    groups: BySplit

    @classmethod
    def of(cls, outcomes: Mapping[int, Outcomes]) -> "Design":
        """The design of some outcomes by split, in their order."""
        return cls({k: o.actual for k, o in outcomes.items()}, {k: o.groups for k, o in outcomes.items()})

    def only(self, kept: BySplit) -> "Design":
        """The design of some videos alone, by masks (n,); a split without any is left out."""
        some = [split for split in self.splits if kept[split].any()]
        return Design({k: self.classes[k][kept[k]] for k in some}, {k: self.groups[k][kept[k]] for k in some})

    @property
    def splits(self) -> list[int]:
        """Splits in order: that of all arrays that are joined over them."""
        return sorted(self.groups)

    @cached_property
    def n_groups(self) -> int:
        """Distinct groups of all splits."""
        return len(np.unique(np.concatenate([self.groups[k] for k in self.splits])))

    @cached_property
    def units(self) -> Units | None:
        """Groups in strata; None where a split has a single group, from which no spread can be estimated.

        A stratum is a class in a split. Where a group tests in several splits it is one unit, and a stratum is a class
        in all of them. A group that spans classes is one unit, whose stratum is that set of classes.
        """
        if any(len(np.unique(self.groups[k])) < 2 for k in self.splits):
            return None
        split = np.repeat(self.splits, [len(self.groups[k]) for k in self.splits])
        names, unit = np.unique(np.concatenate([self.groups[k] for k in self.splits]), return_inverse=True)
        klass = np.unique(np.concatenate([self.classes[k] for k in self.splits]), return_inverse=True)[1]
        if len(np.unique(np.stack([unit, split]), axis=1).T) > len(names):
            split = np.zeros_like(split)
        keys: list[set[tuple[int, int]]] = [set() for _ in names]
        for which, where, what in np.unique(np.stack([unit, split, klass]), axis=1).T.tolist():
            keys[which].add((where, what))
        strata, stratum = np.unique([_key(key) for key in keys], return_inverse=True)
        merged, lone = _merge([key.split("/")[0] for key in strata.tolist()], np.bincount(stratum))
        return Units(unit, merged[stratum], np.bincount(merged[stratum]), lone)


def _key(places: set[tuple[int, int]]) -> str:
    """A stratum's key, whose order is that of splits, then of classes."""
    split = min(place[0] for place in places)
    return f"{split:09d}/" + ",".join(f"{klass:09d}" for _, klass in sorted(places))


def _merge(parts: list[str], sizes: np.ndarray) -> tuple[np.ndarray, int]:
    """New numbers of strata (s,) such that each has two units or more, and how many had one alone.

    One with a single unit joins the next of its part, the last one of a part that before it (collapsed strata).
    """
    number, held, new = -1, 2, np.zeros(len(parts), dtype=np.int64)
    for i, part in enumerate(parts):
        if i == 0 or (held >= 2 and not (sizes[i] == 1 and _is_last(parts, i) and parts[i - 1] == part)):
            number, held = number + 1, 0
        new[i], held = number, held + int(sizes[i])
    return new, int((sizes == 1).sum())


def _is_last(parts: list[str], i: int) -> bool:
    return i + 1 == len(parts) or parts[i + 1] != parts[i]


@dataclass(frozen=True)
class Estimate:
    """A figure, its variance over recordings, and what they were made of, all in the figure's own unit.

    `spread` is the mean square deviation of a video's value; `n` the videos that the figure is worth if those of a
    split count alike, `groups` the distinct recordings; `moved` the recordings that have a value other than the least,
    or other than the most of all, whichever are fewer. With `dataclasses.replace` another variance can be put in, such
    as one that holds training noise.
    """

    value: float
    variance: float
    df: float
    spread: float
    n: float
    groups: int
    moved: int = 0
    lone: int = 0

    @property
    def se(self) -> float:
        """Standard error over recordings."""
        return float(np.sqrt(self.variance))


def estimate(values: BySplit, design: Design) -> Estimate | None:
    """The mean over splits of the means of `values` (n,), with its variance over recordings.

    Args:
        values: By split, in the design's order: hits, differences of hits, scores, or means of such over seeds.
        design: Classes and groups of the same videos.

    Returns:
        None where no spread can be estimated: a split has a single group.

    Raises:
        DataError: values are of other splits, or of another number of videos, than the design.
    """
    _refuse_unlike(values, design)
    if (units := design.units) is None:
        return None
    splits = design.splits
    means = {k: float(values[k].mean()) for k in splits}
    centred = [values[k] - means[k] for k in splits]
    every = np.concatenate([values[k] for k in splits])
    return Estimate(
        value=float(np.mean(list(means.values()))),
        variance=units.variance(influence(values, design)),
        df=units.df,
        spread=float(np.mean([(part**2).mean() for part in centred])),
        n=len(splits) ** 2 / sum(1.0 / len(values[k]) for k in splits),
        groups=design.n_groups,
        moved=min(_moved(units, every - every.min()), _moved(units, every.max() - every)),
        lone=units.lone,
    )


def influence(values: BySplit, design: Design) -> np.ndarray:
    """The part of each video (N,) in the deviation of the mean over splits."""
    splits = design.splits
    return np.concatenate([(values[k] - values[k].mean()) / (len(values[k]) * len(splits)) for k in splits])


def of_influence(value: float, parts: np.ndarray, design: Design) -> Estimate | None:
    """A figure that is no mean, such as a harmonic one, from the linear parts (N,) of its deviation by video."""
    if (units := design.units) is None:
        return None
    n = sum(len(design.groups[k]) for k in design.splits)
    spread = float((parts**2).sum()) * n
    return Estimate(value, units.variance(parts), units.df, spread, n, design.n_groups, 0, units.lone)


def _moved(units: Units, distances: np.ndarray) -> int:
    return int((units.sums(distances) > 0).sum())


def _refuse_unlike(values: BySplit, design: Design) -> None:
    if sorted(values) != design.splits:
        raise DataError(f"values are of splits {sorted(values)}, the design is of {design.splits}")
    for split in design.splits:
        if len(values[split]) != len(design.groups[split]) or not len(values[split]):
            raise DataError(
                f"split {split}: {len(values[split])} values, {len(design.groups[split])} videos; needs one each"
            )
