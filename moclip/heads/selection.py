"""Choose one setting by what it comes to on the validation part. NumPy alone.

Axes: n video, k class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Trial:
    """One setting on the validation part: top-1 in percent, and mean cross entropy in nats."""

    setting: float
    val_top1_pct: float
    val_loss: float


def trial(setting: float, log_probabilities: np.ndarray, labels: np.ndarray) -> Trial:
    """Measure logarithms of probabilities (n, k) on one video or more with these labels (n,)."""
    hits = log_probabilities.argmax(axis=1) == labels
    loss = -log_probabilities[np.arange(len(labels)), labels].mean()
    return Trial(setting, 100 * float(hits.mean()), float(loss))


def best(trials: Sequence[Trial]) -> Trial:
    """The lowest loss, then the highest top-1, then the smallest setting.

    Top-1 of a dozen recordings moves by points with one clip; the loss uses how sure each answer is.
    """
    return min(trials, key=lambda found: (found.val_loss, -found.val_top1_pct, found.setting))


def most_right(trials: Sequence[Trial]) -> Trial:
    """The highest top-1; of settings that tie, the middle one.

    For a mixture of two heads of which neither can be right alone: the loss of a mean of probabilities grows with every
    share of the less sure head, whatever it adds to the answers, and would leave it out.
    """
    most = max(found.val_top1_pct for found in trials)
    tied = sorted((found for found in trials if found.val_top1_pct == most), key=lambda found: found.setting)
    return tied[(len(tied) - 1) // 2]


def record(name: str, setting: float, trials: Sequence[Trial]) -> dict[str, Any]:
    """A choice as plain values: the setting, and what each that was tried came to on validation.

    The latter is a list, which DVC leaves out of its tables of metrics: they show the choice alone.
    """
    return {
        name: setting,
        "tried": [
            {
                "setting": found.setting,
                "val_top1_pct": round(found.val_top1_pct, 4),
                "val_loss": round(found.val_loss, 6),
            }
            for found in trials
        ],
    }
