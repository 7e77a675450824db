"""The head `linear_probe`: logistic regression on CLIP features, which the default fusion head sees in the same form.

Axes: n video, d feature, k class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler, normalize

from moclip.heads.fitted import Cost, Fitted, Seed, Videos
from moclip.heads.logistic import (
    Labelled,
    Logistic,
    check_learnable,
    fit_logistic,
    load_logistic,
    save_logistic,
)
from moclip.params.heads.linear_probe import LinearProbeParams


@dataclass
class LinearProbe(Fitted):
    """A classifier, and mean and deviation (d,) of the train part's features at unit length."""

    classifier: Logistic
    mean: np.ndarray
    scale: np.ndarray
    streams = ("clip",)

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Log-probabilities (n, k) of CLIP features (n, d)."""
        return self.classifier.log_probabilities((_unit(inputs["clip"]) - self.mean) / self.scale)

    def save(self, directory: Path) -> None:
        """Write weights and scaling."""
        save_logistic(directory, self.classifier, {}, mean=self.mean, scale=self.scale)

    def cost(self) -> Cost:
        """A weight for each feature and class, and an offset for each class."""
        macs = len(self.mean) * self.classifier.classes
        return Cost(macs + self.classifier.classes, macs)


def fit(videos: Videos, params: LinearProbeParams, seed: Seed, **_: Any) -> LinearProbe:
    """Fit on the train part, choose C on the val part; the test part is not looked at.

    Raises:
        StoreError: the features lack a video; it is named.
        DataError: as `moclip.heads.logistic.fit_logistic`.
    """
    parts = [videos.split.part(part) for part in ("train", "val")]
    check_learnable(parts[0].labels)
    inputs = [_unit(videos.streams["clip"].of(own.ids)) for own in parts]
    scaler = StandardScaler().fit(inputs[0])
    mean, scale = scaler.mean_, scaler.scale_
    train, val = (Labelled((x - mean) / scale, own.labels) for own, x in zip(parts, inputs, strict=True))
    classifier = fit_logistic(train, val, params.c_values, len(videos.split.classes), refit=params.refit)
    probe = LinearProbe(classifier, mean, scale)
    probe.choice = classifier.record()
    return probe


def load(directory: Path) -> LinearProbe:
    """Read what `LinearProbe.save` wrote.

    Raises:
        StoreError: a file is missing or damaged.
    """
    classifier, _, arrays = load_logistic(directory, "mean", "scale")
    return LinearProbe(classifier, **arrays)


def _unit(features: np.ndarray) -> np.ndarray:
    exact = features.astype(np.float64)
    unit: np.ndarray = normalize(exact) if len(exact) else exact  # scikit-learn refuses an empty part
    return unit
