"""The linear probe: logistic regression on CLIP features, which the default fusion head sees in the same form.

Axes: n video, d feature, k class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.preprocessing import StandardScaler, normalize

from moclip.data.splits import Member, members_of
from moclip.heads.logistic import Fitted, Labelled, fit, save
from moclip.params.heads.linear_probe import LinearProbeParams
from moclip.store.features import Features


@dataclass(frozen=True)
class LinearProbe:
    """A classifier, and the mean and deviation of the train part's features at unit length."""

    classifier: Fitted
    scaler: StandardScaler

    def log_probabilities(self, features: np.ndarray, classes: int) -> np.ndarray:
        """Logarithms of probabilities (n, k) of features (n, d)."""
        return self.classifier.log_probabilities(self.scaler.transform(_unit(features)), classes)

    def save(self, directory: Path) -> None:
        """Write it as one directory, as `moclip.heads.logistic.save`."""
        save(directory, self.classifier, {}, mean=self.scaler.mean_, scale=self.scaler.scale_)


def train_linear_probe(
    features: Features, members: Sequence[Member], params: LinearProbeParams, classes: int
) -> LinearProbe:
    """Fit on the train part, choose C on the val part; the test part is not looked at.

    Raises:
        StoreError: the features lack a video; it is named.
        DataError: as `moclip.heads.logistic.fit`.
    """
    parts = {part: members_of(members, part) for part in ("train", "val")}
    # scikit-learn scales no empty array, and without held-out groups the val part is one: it stays as it is.
    inputs = {part: features.of([member.id for member in own]) for part, own in parts.items()}
    inputs |= {part: _unit(values) for part, values in inputs.items() if len(values)}
    scaler = StandardScaler().fit(inputs["train"])
    inputs |= {part: scaler.transform(values) for part, values in inputs.items() if len(values)}
    train, val = (
        Labelled(inputs[part], np.array([member.label for member in own], np.int64)) for part, own in parts.items()
    )
    return LinearProbe(fit(train, val, params.c_values, classes, refit=params.refit), scaler)


def _unit(features: np.ndarray) -> np.ndarray:
    unit: np.ndarray = normalize(features.astype(np.float64))
    return unit
