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
from moclip.heads.logistic import Labelled, Logistic, fit_logistic, load_logistic, save_logistic
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
    # scikit-learn scales no empty array, and without held-out groups the val part is one: it stays as it is.
    inputs = {part: videos.inputs(part)["clip"] for part in ("train", "val")}
    inputs |= {part: _unit(values) for part, values in inputs.items() if len(values)}
    scaler = StandardScaler().fit(inputs["train"])
    inputs |= {part: scaler.transform(values) for part, values in inputs.items() if len(values)}
    train, val = (Labelled(values, videos.split.part(part).labels) for part, values in inputs.items())
    classifier = fit_logistic(train, val, params.c_values, len(videos.split.classes), refit=params.refit)
    probe = LinearProbe(classifier, scaler.mean_, scaler.scale_)
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
    unit: np.ndarray = normalize(features.astype(np.float64))
    return unit
