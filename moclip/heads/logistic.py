"""Logistic regression with its strength of regularisation chosen on validation: what the fitted controls share.

Axes: n video, d input, k class, t class that has a training video.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from moclip.base.errors import DataError, StoreError
from moclip.base.files import atomic_path, read_facts, read_npz, write_json, write_npz
from moclip.heads.selection import Trial, best, record, trial

WEIGHTS = "model.npz"
CONFIG = "config.json"
MAX_ITERATIONS = 2000
MOST_NEWTON_UNKNOWNS = 5000
# A class without a training video has no chance; float32 has no logarithm of that, but one of its smallest number.
LOG_OF_NO_CHANCE = float(np.log(np.finfo(np.float32).tiny))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """Videos of one part: inputs (n, d) and class indexes (n,)."""

    inputs: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Logistic:
    """A linear classifier of k classes.

    Attributes:
        weights: (t, d), for inputs of the t classes that have a training video.
        offsets: (t,).
        labels: (t,), the classes that the outputs stand for.
        classes: k.
        c: The inverse strength of regularisation that was kept.
        trials: What each value came to on validation.
    """

    weights: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    classes: int
    c: float
    trials: Sequence[Trial] = ()

    def log_probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Logarithms of probabilities (n, k); `LOG_OF_NO_CHANCE` for a class without a training video."""
        found = np.full((len(inputs), self.classes), LOG_OF_NO_CHANCE)
        found[:, self.labels] = log_softmax(inputs @ self.weights.T + self.offsets, axis=1)
        return found

    def record(self) -> dict[str, Any]:
        """The choice as plain values: the chosen C, and what each value came to on validation."""
        return record("c", self.c, self.trials)


def fit_logistic(
    train: Labelled, val: Labelled, c_values: Sequence[float], classes: int, *, refit: str = "train"
) -> Logistic:
    """Fit on the train part with each C, keep the best on validation: lowest loss, then highest top-1, then least C.

    Args:
        train: Videos to learn from.
        val: Videos to choose by; with a single C there is nothing to choose, and it may be empty.
        c_values: Inverse strengths of regularisation, scikit-learn's C.
        classes: Number of classes k.
        refit: `train` keeps the fit; `train_val` fits once more on both parts with the chosen C.

    Raises:
        DataError: fewer than two classes have a training video; or there are several C and nothing is held out.
    """
    check_learnable(train.labels)
    if len(c_values) > 1 and not len(val.labels):
        raise DataError(
            "c_values names several values to choose from, and this split has no validation part; raise "
            "data.val_groups, bring more groups, or leave one value"
        )
    with threadpool_limits(1):  # these problems are too small for two
        fits = {c: _fit(train, c, classes) for c in c_values}
        trials = [trial(c, fits[c].log_probabilities(val.inputs), val.labels) for c in c_values if len(val.labels)]
        chosen = fits[best(trials).setting if trials else c_values[0]]
        if refit == "train_val":
            chosen = _fit(_joined(train, val), chosen.c, classes)
    return replace(chosen, trials=trials)


def check_learnable(labels: np.ndarray) -> None:
    """Hold the train part's labels (n,) against what a classifier needs.

    Raises:
        DataError: fewer than two classes have a training video.
    """
    if len(np.unique(labels)) < 2:
        raise DataError("the train part of this split has videos of fewer than two classes; nothing can be fitted")


def save_logistic(directory: Path, fitted: Logistic, config: dict[str, Any], **arrays: np.ndarray) -> None:
    """Write a classifier as one directory, atomically: weights as npz without pickle, the rest as JSON.

    Args:
        directory: Where to write; an older one is replaced.
        fitted: The classifier.
        config: What else a reader needs to make its inputs, as plain values.
        **arrays: The same, as arrays.
    """
    with atomic_path(directory) as temporary:
        temporary.mkdir()
        weights = {"weights": fitted.weights, "offsets": fitted.offsets, "labels": fitted.labels}
        write_npz(temporary / WEIGHTS, **weights, **arrays)
        write_json(temporary / CONFIG, {**config, "classes": fitted.classes, **fitted.record()})


def load_logistic(directory: Path, *names: str) -> tuple[Logistic, dict[str, Any], dict[str, np.ndarray]]:
    """What `save_logistic` wrote: the classifier, the rest of its config, and the named arrays.

    Raises:
        StoreError: a file is missing or damaged, or lacks an array or a key.
    """
    arrays = read_npz(directory / WEIGHTS, "weights", "offsets", "labels", *names)
    config = read_facts(directory / CONFIG)
    try:
        c, classes = float(config.pop("c")), int(config.pop("classes"))
    except KeyError as error:
        raise StoreError(f"{directory / CONFIG}: lacks {error}; run the stage that fits this head again") from error
    except (OverflowError, TypeError, ValueError) as error:
        raise StoreError(
            f"{directory / CONFIG}: 'c' and 'classes' are no numbers ({error}); run the stage that fits this head again"
        ) from error
    own = Logistic(arrays["weights"], arrays["offsets"], arrays["labels"], classes, c)
    return own, config, {name: arrays[name] for name in names}


def _joined(first: Labelled, second: Labelled) -> Labelled:
    return Labelled(
        np.concatenate([first.inputs, second.inputs]),
        np.concatenate([first.labels, second.labels]),
    )


def _fit(part: Labelled, c: float, classes: int) -> Logistic:
    unknowns = (part.inputs.shape[1] + 1) * len(np.unique(part.labels))
    # lbfgs amplifies last digits: one of them moves weights by percents. Newton's method does not, but costs more.
    solver = "newton-cholesky" if unknowns <= MOST_NEWTON_UNKNOWNS else "lbfgs"
    model = LogisticRegression(C=c, solver=solver, max_iter=MAX_ITERATIONS).fit(part.inputs, part.labels)
    if (steps := int(model.n_iter_.max())) >= MAX_ITERATIONS:
        log.warning("C %g: not converged after %d iterations", c, steps)
    weights, offsets = model.coef_, model.intercept_
    if len(weights) == 1:  # of two classes scikit-learn keeps the second's score alone
        weights, offsets = np.concatenate([-weights, weights]) / 2, np.concatenate([-offsets, offsets]) / 2
    return Logistic(weights, offsets, model.classes_, classes, c)
