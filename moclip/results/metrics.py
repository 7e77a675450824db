"""From logits per video to accuracies and calibration.

Axes: n videos, c classes. Accuracies are percentages.

NumPy and scipy.special alone: to import sklearn.metrics takes five times as long as the whole stage `evaluate`. The
tests hold these formulas against it.

Ties: of equal logits, the class with the lower index ranks first, for top-1 and top-k alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from moclip.results.intervals import accuracy_interval
from moclip.results.predictions import ClassRow, Outcomes, Predictions


@dataclass(frozen=True)
class Metrics:
    """Accuracies of one head on one split, with their counts; percentages have four decimals.

    `top5_pct` takes the best min(5, n_classes). The interval is of `top1_pct`; it is None with a
    single group, from which no spread can be estimated. `ece_pct` and `nll_nats` are of the softmax of the logits.
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
    ece_pct: float
    nll_nats: float


ECE_BINS = 15


def measure(head: str, split: int, p: Predictions, *, resamples: int, confidence_pct: float, seed: int) -> Metrics:
    """All figures of one head on one split; the three last arguments shape the interval alone."""
    hits = label_ranks(p.logits, p.labels) == 0
    n_groups = len(np.unique(p.groups))
    interval = accuracy_interval({split: hits}, {split: p.groups}, resamples, confidence_pct, seed)
    ends = (round(interval.low_pct, 4), round(interval.high_pct, 4)) if interval else None
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
        ece_pct=round(calibration_error_pct(p.logits, p.labels), 4),
        nll_nats=round(negative_log_likelihood(p.logits, p.labels), 4),
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


def calibration_error_pct(logits: np.ndarray, labels: np.ndarray, bins: int = ECE_BINS) -> float:
    """Expected calibration error: how far confidence is from accuracy, in percentage points.

    The confidence of a video is its largest softmax probability. Videos are sorted into `bins` bins of
    equal width, open on the left: (0, 1/15], (1/15, 2/15], ... The result is the mean over videos of
    |accuracy - mean confidence| of their bin, so an empty bin counts nothing.

    Args:
        logits: (n, c) finite numbers.
        labels: (n,) class indexes.
        bins: How many; 15 as in the source.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, equations 2, 3 and 5.
    """
    confidence = np.exp(log_softmax(logits.astype(np.float64), axis=1).max(axis=1))
    gap = (label_ranks(logits, labels) == 0) - confidence  # summed by bin: count x (accuracy - confidence)
    of_bin = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return 100.0 * float(np.abs(np.bincount(of_bin, weights=gap, minlength=bins)).sum() / len(labels))


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over videos of -ln of the true class's softmax probability, in nats; ln c for a uniform guess."""
    own = np.take_along_axis(log_softmax(logits.astype(np.float64), axis=1), labels[:, None], axis=1)
    return -float(own.mean())


def outcomes_of(p: Predictions) -> Outcomes:
    """The predicted class beside the actual one, by the tie rule of this module."""
    predicted = p.classes[np.argmax(p.logits, axis=1)]  # argmax takes the first of equals
    return Outcomes(ids=p.ids, groups=p.groups, actual=p.classes[p.labels], predicted=predicted)
