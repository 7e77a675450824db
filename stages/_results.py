"""What the classifiers share: their predictions as a file."""

from pathlib import Path

import numpy as np

from moclip.data.splits import Split
from moclip.results.predictions import Predictions, write_predictions


def write_test_predictions(path: Path, test: Split, logits: np.ndarray) -> None:
    """Logits (n, k) of the test part, with ids, labels, groups and class names."""
    write_predictions(path, _predictions(test, logits))


def write_val_predictions(path: Path, val: Split, logits: np.ndarray) -> None:
    """The same of the val part, which may be empty."""
    write_predictions(path, _predictions(val, logits), may_be_empty=True)


def _predictions(part: Split, logits: np.ndarray) -> Predictions:
    return Predictions(
        ids=np.array(part.ids, dtype=np.str_),
        labels=part.labels,
        logits=logits.astype(np.float32),
        classes=np.array(part.classes),
        groups=np.array(part.groups, dtype=np.str_),
    )
