"""From logits per video to accuracies, and how sure one may be of them.

Axes: n videos, c classes, g groups, r resamples. Accuracies are percentages.

NumPy alone: to import sklearn.metrics takes five times as long as the whole stage `evaluate`, which
runs for every head and split. The tests hold these formulas against it.

Ties: of equal logits, the class with the lower index ranks first, for top-1 and top-k alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moclip.errors import DataError
from moclip.predictions import ClassRow, Outcomes, Predictions


@dataclass(frozen=True)
class Interval:
    """Ends of a confidence interval, in percent or in percentage points."""

    low_pct: float
    high_pct: float


@dataclass(frozen=True)
class Metrics:
    """Accuracies of one head on one split, with their counts; percentages have four decimals.

    `top5_pct` takes the best min(5, n_classes). The interval is of `top1_pct`; it is None with a
    single group, from which no spread can be told.
    """

    head: str
    split: int
    n_test: int
    n_groups: int
    n_classes: int
    correct: int
    top1_pct: float
    top1_low_pct: float | None
    top1_high_pct: float | None
    top5_pct: float
    mean_class_pct: float


def measure(head: str, split: int, p: Predictions, *, resamples: int, confidence_pct: float, seed: int) -> Metrics:
    """All figures of one head on one split; the three last arguments shape the interval alone."""
    hits = label_ranks(p.logits, p.labels) == 0
    n_groups = len(np.unique(p.groups))
    ends: tuple[float, float] | None = None
    if n_groups > 1:
        draws = bootstrap_means_pct(hits, p.groups, resamples, (seed, split))
        interval = percentile_interval(draws, confidence_pct)
        ends = (round(interval.low_pct, 4), round(interval.high_pct, 4))
    return Metrics(
        head=head,
        split=split,
        n_test=len(p.ids),
        n_groups=n_groups,
        n_classes=len(p.classes),
        correct=int(hits.sum()),
        top1_pct=round(100.0 * float(hits.mean()), 4),
        top1_low_pct=ends[0] if ends else None,
        top1_high_pct=ends[1] if ends else None,
        top5_pct=round(top_k_pct(p.logits, p.labels, 5), 4),
        mean_class_pct=round(mean_class_pct(class_rows(p)), 4),
    )


def label_ranks(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank of the true class, 0 for the best: how many classes come before it.

    Args:
        logits: (n, c) finite numbers.
        labels: (n,) class indexes.

    Returns:
        (n,) int64.
    """
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    lower_index = np.arange(logits.shape[1]) < labels[:, None]
    return ((logits > own) | ((logits == own) & lower_index)).sum(axis=1)


def top_k_pct(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of videos with their true class among the k best; 100 by definition if k >= c."""
    return 100.0 * float(np.mean(label_ranks(logits, labels) < k))


def class_rows(p: Predictions) -> list[ClassRow]:
    """A row for each class, in class-index order, with n = 0 where no video tests it."""
    c = len(p.classes)
    n = np.bincount(p.labels, minlength=c)
    correct = np.bincount(p.labels[label_ranks(p.logits, p.labels) == 0], minlength=c)
    return [ClassRow(str(p.classes[i]), int(n[i]), int(correct[i])) for i in range(c)]


def mean_class_pct(rows: Sequence[ClassRow]) -> float:
    """Mean recall over the classes that have a test video: each class counts alike."""
    return float(np.mean([row.recall_pct for row in rows if row.n]))


def outcomes_of(p: Predictions) -> Outcomes:
    """The predicted class beside the actual one, by the tie rule of this module."""
    predicted = p.classes[np.argmax(p.logits, axis=1)]  # argmax takes the first of equals
    return Outcomes(ids=p.ids, groups=p.groups, actual=p.classes[p.labels], predicted=predicted)


def bootstrap_means_pct(values: np.ndarray, groups: np.ndarray, resamples: int, seed: Sequence[int]) -> np.ndarray:
    """Means of `values` in resampled data, drawing whole groups with replacement.

    Clips of one group come from one video: drawing clips would promise far too narrow an interval.

    Args:
        values: (n,) hits (0, 1) or differences of hits (-1, 0, 1).
        groups: (n,) name of the group of each value.
        resamples: How many times as many groups as there are get drawn.
        seed: Seed of the draws; equal groups and seed give equal draws for every head.

    Returns:
        (resamples,) means, in percent.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    sizes, sums = np.bincount(codes), np.bincount(codes, weights=values)
    drawn = np.random.default_rng(seed).integers(len(sizes), size=(resamples, len(sizes)))  # (r, g)
    return 100.0 * sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)


def percentile_interval(draws_pct: np.ndarray, confidence_pct: float) -> Interval:
    """The central `confidence_pct` of bootstrap draws (percentile method)."""
    tail = (100.0 - confidence_pct) / 200.0
    low, high = np.quantile(draws_pct, [tail, 1.0 - tail])
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
