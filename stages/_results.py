"""What the classifiers share: their predictions as a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moclip.data.manifest import read_classes, read_manifest
from moclip.data.splits import Member
from moclip.results.predictions import Predictions, write_predictions


def write_test_predictions(
    path: Path, test: Sequence[Member], logits: np.ndarray, classes: Path, manifest: Path
) -> None:
    """Logits (n, k) of the test part, with ids, labels, groups and class names."""
    write_predictions(path, _predictions(test, logits, classes, manifest))


def write_val_predictions(path: Path, val: Sequence[Member], logits: np.ndarray, classes: Path, manifest: Path) -> None:
    """The same of the val part, which may be empty."""
    write_predictions(path, _predictions(val, logits, classes, manifest), may_be_empty=True)


def _predictions(members: Sequence[Member], logits: np.ndarray, classes: Path, manifest: Path) -> Predictions:
    groups = {video.id: video.group for video in read_manifest(manifest).values()}
    return Predictions(
        ids=np.array([member.id for member in members], dtype=np.str_),
        labels=np.array([member.label for member in members], dtype=np.int64),
        logits=logits.astype(np.float32),
        classes=np.array(read_classes(classes)),
        groups=np.array([groups[member.id] for member in members], dtype=np.str_),
    )
