"""Tables behind `dvc plots`: one row a head, an epoch, a class or a video, so that variants overlay in one chart."""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from moclip.heads.registry import HEADS
from moclip.results.predictions import ClassRow, Outcomes
from moclip.training.history import Epoch

# Every head with epochs has its column, also where it did not run: a chart that misses one is not drawn at all.
TRAINED = tuple(head for head, spec in HEADS.items() if spec.has_epochs)
ACCURACY = ("head", "top1_pct", "n_test")
CURVES = ("epoch", *TRAINED)
RECALL = ("class", "recall_pct", "n_test")
CONFUSION = ("actual", "predicted")


def accuracy_rows(summary: Mapping[str, Any]) -> list[tuple[str, float, int]]:
    """Top-1 by head, mean over splits."""
    heads = summary["heads"].items()
    return [(head, values["top1_pct"]["mean"], sum(values["n_test"].values())) for head, values in heads]


def curve_rows(histories: Mapping[str, Mapping[int, Sequence[Epoch]]], field: str) -> list[tuple[Any, ...]]:
    """One figure of each epoch by head, mean over splits; NaN, which is not drawn, where a head has none.

    An empty cell would be drawn as 0.
    """
    columns = [_mean_curve(list(histories.get(head, {}).values()), field) for head in TRAINED]
    return [(epoch, *values) for epoch, values in enumerate(zip_longest(*columns, fillvalue=math.nan))]


def _mean_curve(of_splits: Sequence[Sequence[Epoch]], field: str) -> list[float]:
    epochs = zip(*of_splits, strict=True)
    return [round(float(np.mean([epoch[field] for epoch in of_epoch])), 6) for of_epoch in epochs]


def recall_rows(of_splits: Sequence[Sequence[ClassRow]]) -> list[tuple[str, float, int]]:
    """Recall by class, splits pooled; classes without a test video are left out."""
    pooled: dict[str, tuple[int, int]] = {}
    for rows in of_splits:
        for row in rows:
            n, correct = pooled.get(row.name, (0, 0))
            pooled[row.name] = (n + row.n, correct + row.correct)
    return [(name, round(100.0 * correct / n, 4), n) for name, (n, correct) in pooled.items() if n]


def confusion_rows(of_splits: Sequence[Outcomes]) -> list[tuple[str, str]]:
    """Actual and predicted class of each test video, splits one after another."""
    return [pair for o in of_splits for pair in zip(o.actual.tolist(), o.predicted.tolist(), strict=True)]
