"""How often do the intervals cover a known truth, and how often does the word *different* fall by chance?

    python -m benchmarks.intervals [--lists 1000]

Simulates test lists and writes benchmarks/intervals.md. A list has as many recordings of each class; recalls of classes
are drawn from a beta distribution with the given mean and standard deviation, accuracies of recordings around that of
their class, with an intraclass correlation of clips of 0.4. The truth is the accuracy on these very classes. Equal
numbers of lists give equal tables. Takes some minutes.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from moclip.base.files import write_text
from moclip.results.contrast import DIFFERENT, contrast
from moclip.results.estimate import BySplit, Design, estimate
from moclip.results.limits import Limits, accuracy_limits

CORRELATION = 0.4  # of clips of one recording
LEVEL_PCT = 95.0
OUT = Path(__file__).with_suffix(".md")
Method = Callable[[BySplit, Design], Limits]


@dataclass(frozen=True)
class SimulatedList:
    """So many recordings of so many clips of each class in each split, and the accuracy in percent to be covered.

    `class_sd_pct` is the standard deviation of the classes' recalls.
    """

    accuracy_pct: float
    class_sd_pct: float
    classes: int = 12
    groups: int = 3
    clips: int = 4
    splits: int = 1

    @cached_property
    def design(self) -> Design:
        """Classes and recordings of the clips; every split has recordings of its own."""
        of_class = np.repeat(np.arange(self.classes), self.groups * self.clips)
        of_group = np.repeat(np.arange(self.classes * self.groups), self.clips)
        splits = range(1, self.splits + 1)
        return Design(dict.fromkeys(splits, of_class), {k: of_group + k * 100_000 for k in splits})

    def recalls(self, rng: np.random.Generator) -> np.ndarray:
        """Recall of each class, (classes,) in 0..1."""
        mean, sd = self.accuracy_pct / 100.0, self.class_sd_pct / 100.0
        if not sd:
            return np.full(self.classes, mean)
        total = mean * (1.0 - mean) / sd**2 - 1.0
        return np.clip(rng.beta(mean * total, (1.0 - mean) * total, self.classes), 1e-6, 1.0 - 1e-6)

    def of_groups(self, rng: np.random.Generator, recalls: np.ndarray) -> np.ndarray:
        """Accuracy of each recording, (splits, classes, groups) in 0..1, with the class's recall as expectation."""
        weight = (1.0 - CORRELATION) / CORRELATION
        size = (self.splits, self.classes, self.groups)
        return rng.beta(recalls[:, None] * weight, (1.0 - recalls[:, None]) * weight, size)

    def hits(self, rng: np.random.Generator, accuracies: np.ndarray) -> BySplit:
        """Hits of one head by split, (n,) of 0 and 1."""
        drawn = (rng.random((*accuracies.shape, self.clips)) < accuracies[..., None]).astype(float)
        return {k: drawn[k - 1].ravel() for k in range(1, self.splits + 1)}


def ours(hits: BySplit, design: Design) -> Limits:
    """The interval that this project gives an accuracy."""
    found = estimate(hits, design)
    assert found is not None, "these lists have several recordings"
    return accuracy_limits(found, LEVEL_PCT)


def over_groups(hits: BySplit, design: Design) -> Limits:
    """Student's interval over recordings that are drawn from one pot, whatever their class."""
    sums = {k: np.bincount(np.unique(design.groups[k], return_inverse=True)[1], own) for k, own in hits.items()}
    clips = {k: len(own) / len(sums[k]) for k, own in hits.items()}  # each recording has as many
    return _student({k: own / clips[k] for k, own in sums.items()})


def over_clips(hits: BySplit, design: Design) -> Limits:
    """Student's interval that takes clips for independent."""
    return _student(hits)


def _student(values: BySplit) -> Limits:
    mean = float(np.mean([own.mean() for own in values.values()]))
    error = float(np.sqrt(sum(own.var(ddof=1) / len(own) for own in values.values()))) / len(values)
    df = sum(len(own) - 1 for own in values.values())
    half = float(stdtrit(df, (100.0 + LEVEL_PCT) / 200.0)) * error
    return {"low": 100.0 * (mean - half), "high": 100.0 * (mean + half)}


def coverage(method: Method, tested: SimulatedList, lists: int, seed: int = 0) -> tuple[float, float]:
    """Share of lists in percent whose interval holds the true accuracy, and the mean width in points."""
    rng, held, widths = np.random.default_rng(seed), [], []
    for _ in range(lists):
        recalls = tested.recalls(rng)
        limits = method(tested.hits(rng, tested.of_groups(rng, recalls)), tested.design)
        held.append(_holds(limits, 100.0 * float(recalls.mean())))
        widths.append(limits["high"] - limits["low"])
    return 100.0 * float(np.mean(held)), float(np.mean(widths))


@dataclass(frozen=True)
class Called:
    """Of paired lists, in percent: called different, interval that holds the true difference."""

    different_pct: float
    covered_pct: float


def paired(tested: SimulatedList, gap_points: float, lists: int, seed: int = 0) -> Called:
    """What the word and the interval do where the second head is worse by `gap_points` in expectation.

    Half of the recordings are equally hard for both heads; in the others each head has an accuracy of its own.
    """
    rng, different, covered = np.random.default_rng(seed), [], []
    for _ in range(lists):
        recalls = tested.recalls(rng)
        first, other = tested.of_groups(rng, recalls), tested.of_groups(rng, recalls)
        second = np.where(rng.random(first.shape) < 0.5, first, other) * (1.0 - gap_points / tested.accuracy_pct)
        a, b = tested.hits(rng, first), tested.hits(rng, second)
        found = contrast({k: a[k] - b[k] for k in a}, tested.design, LEVEL_PCT)
        different.append(found.word == DIFFERENT)
        truth = gap_points * float(recalls.mean()) / (tested.accuracy_pct / 100.0)
        covered.append(found.interval is None or _holds(found.interval, truth))
    return Called(100.0 * float(np.mean(different)), 100.0 * float(np.mean(covered)))


def _holds(limits: Limits, truth: float) -> bool:
    return limits["low"] - 1e-9 <= truth <= limits["high"] + 1e-9


ACCURACIES = ((50.0, 25.0), (50.0, 0.0), (65.0, 28.0), (90.0, 12.0), (90.0, 0.0), (97.0, 3.0))
OF_UCF101 = ((65.0, 28.0), (89.0, 12.0))
HEAD = """# What the intervals cover

Written by `python -m benchmarks.intervals`: {lists} simulated test lists a cell, 95 % intervals, as many recordings of
each class, clips of a recording correlated by {correlation:g}. A share of 95 % has a standard error of {error:.1f}
points. Shapes are classes x recordings x clips: 12 classes are the demo's, 101 a UCF101 list's. *In one pot* the mix of
classes varies as no list's does: too wide by far where classes are unlike.

## Coverage of an accuracy in %, in brackets the mean width in points

| true accuracy | sd of classes | shape, splits | over clips | recordings in one pot | ours: by class |
| ---: | ---: | ---: | ---: | ---: | ---: |
"""
PAIRED = """
## Paired differences, in %: coverage, and how often the word is *different*

| accuracy | sd of classes | shape, splits | covered, no gap | gap of 5 | different, no gap | gap of 5 |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def _lists() -> Iterator[SimulatedList]:
    for splits in (1, 3):
        for accuracy, sd in ACCURACIES:
            yield SimulatedList(accuracy, sd, splits=splits)
    for accuracy, sd in OF_UCF101:
        yield SimulatedList(accuracy, sd, classes=101, groups=7, clips=5)


def tables(lists: int) -> Iterator[str]:
    """The Markdown, part by part."""
    yield HEAD.format(lists=lists, correlation=CORRELATION, error=100.0 * (0.95 * 0.05 / lists) ** 0.5)
    for one in _lists():
        found = [coverage(method, one, lists) for method in (over_clips, over_groups, ours)]
        yield _row(one, [f"{covered:.1f} ({width:.1f})" for covered, width in found])
    yield PAIRED
    for one in _lists():
        none, gap = paired(one, 0.0, lists), paired(one, 5.0, lists)
        shares = [none.covered_pct, gap.covered_pct, none.different_pct, gap.different_pct]
        yield _row(one, [f"{share:.1f}" for share in shares])


def _row(tested: SimulatedList, cells: Sequence[str]) -> str:
    shape = f"{tested.classes} x {tested.groups} x {tested.clips}, {tested.splits}"
    return "| " + " | ".join([f"{tested.accuracy_pct:g} %", f"{tested.class_sd_pct:g}", shape, *cells]) + " |\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=1000, help="simulated lists a cell (1000)")
    write_text(OUT, "".join(tables(parser.parse_args().lists)))
