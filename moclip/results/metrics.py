"""From logits per video to accuracies and calibration.

Axes: n videos, c classes. Accuracies are percentages.

NumPy and scipy.special alone: to import sklearn.metrics takes five times as long as the whole stage `evaluate`. The
tests hold these formulas against it.

Ties: of equal logits, the class with the lower index ranks first, for top-1 and top-k alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from moclip.results.estimate import Design
from moclip.results.intervals import Level, is_constant
from moclip.results.limits import CLIP_CORRELATION
from moclip.results.predictions import ClassRow, Outcomes, Predictions, Scores


@dataclass(frozen=True)
class Metrics:
    """Accuracies of one head on one split, with their counts; `DIGITS` decimals, so that a mean is rounded once.

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
DIGITS = 8  # of a file's figures; a mean of figures with four would be rounded twice
CALIBRATED_DRAWS = 1000


def measure(head: str, split: int, p: Predictions, level: Level) -> Metrics:
    """All figures of one head on one split; the level shapes the interval alone."""
    hits = label_ranks(p.logits, p.labels) == 0
    n_groups = len(np.unique(p.groups))
    own = {split: outcomes_of(p)}
    interval = level.accuracy_interval({split: hits.astype(float)}, Design.of(own), is_constant(own))
    return Metrics(
        head=head,
        split=split,
        n_test=len(p.ids),
        n_groups=n_groups,
        n_classes=len(p.classes),
        correct=int(hits.sum()),
        top1_pct=round(100.0 * float(hits.mean()), DIGITS),
        top1_low_pct=interval["low"] if interval else None,
        top1_high_pct=interval["high"] if interval else None,
        top5_pct=round(top_k_pct(p.logits, p.labels, 5), DIGITS),
        mean_class_pct=round(mean_class_pct(class_rows(p)), DIGITS),
        ece_pct=round(calibration_error_pct(p.logits, p.labels), DIGITS),
        nll_nats=round(negative_log_likelihood(p.logits, p.labels), DIGITS),
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
    confidence = np.exp(scipy.special.log_softmax(logits.astype(np.float64), axis=1).max(axis=1))
    return binned_gap_pct(confidence, label_ranks(logits, labels) == 0, bins)


def binned_gap_pct(confidence: np.ndarray, hits: np.ndarray, bins: int = ECE_BINS) -> float:
    """The calibration error of `calibration_error_pct`, from confidences (n,) in 0..1 and hits (n,)."""
    gap = hits - confidence  # summed by bin: count x (accuracy - confidence)
    of_bin = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return 100.0 * float(np.abs(np.bincount(of_bin, weights=gap, minlength=bins)).sum() / len(hits))


def calibrated_gaps_pct(confidence: np.ndarray, groups: np.ndarray, bins: int = ECE_BINS) -> np.ndarray:
    """Calibration errors that a head would show whose every confidence is true: few videos never show 0.

    Clips of a group are right together, by a latent normal variable correlated by `CLIP_CORRELATION`.

    Args:
        confidence: (n,) in 0..1.
        groups: (n,) names.
        bins: As of `binned_gap_pct`.

    Returns:
        (`CALIBRATED_DRAWS`,) in points, by a fixed seed.
    """
    rng, of_video = np.random.default_rng(0), np.unique(groups, return_inverse=True)[1]
    of_bin = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    in_bin = (of_bin[:, None] == np.arange(bins)).astype(float)  # (n, bin)
    shared = rng.standard_normal((CALIBRATED_DRAWS, of_video.max() + 1))[:, of_video]
    own = rng.standard_normal((CALIBRATED_DRAWS, len(confidence)))
    latent = np.sqrt(CLIP_CORRELATION) * shared + np.sqrt(1.0 - CLIP_CORRELATION) * own
    gaps = (latent < scipy.special.ndtri(confidence)) - confidence  # (draw, n)
    return 100.0 * np.abs(gaps @ in_bin).sum(axis=1) / len(confidence)


def calibration(outcomes: Sequence[Outcomes]) -> dict[str, float] | None:
    """ECE in points of the videos of all splits in one, beside what a calibrated head would show on them.

    Returns:
        `ece_pct`; `calibrated_pct`, the mean over draws of a calibrated head; `calibrated_high_pct`, which one in 20
        passes. None where outcomes have no scores.
    """
    if any(own.scores is None for own in outcomes):
        return None
    confidence = np.concatenate([own.scores.confidence for own in outcomes if own.scores])
    hits = np.concatenate([own.correct for own in outcomes])
    drawn = calibrated_gaps_pct(confidence, np.concatenate([own.groups for own in outcomes]))
    return {
        "ece_pct": round(binned_gap_pct(confidence, hits), 4),
        "calibrated_pct": round(float(drawn.mean()), 4),
        "calibrated_high_pct": round(float(np.quantile(drawn, 0.95)), 4),
    }


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over videos of -ln of the true class's softmax probability, in nats; ln c for a uniform guess."""
    own = np.take_along_axis(scipy.special.log_softmax(logits.astype(np.float64), axis=1), labels[:, None], axis=1)
    return -float(own.mean())


def outcomes_of(p: Predictions) -> Outcomes:
    """The predicted class beside the actual one, by the tie rule of this module."""
    predicted = p.classes[np.argmax(p.logits, axis=1)]  # argmax takes the first of equals
    return Outcomes(p.ids, p.groups, p.classes[p.labels], predicted, scores_of(p))


def scores_of(p: Predictions) -> Scores:
    """Rank of the actual class, confidence, negative log-likelihood and Brier score of each video."""
    log_p = scipy.special.log_softmax(p.logits.astype(np.float64), axis=1)
    probabilities = np.exp(log_p)
    own = np.take_along_axis(log_p, p.labels[:, None], axis=1)[:, 0]
    brier = (probabilities**2).sum(axis=1) - 2.0 * np.exp(own) + 1.0
    return Scores(label_ranks(p.logits, p.labels) + 1, probabilities.max(axis=1), -own, brier)
