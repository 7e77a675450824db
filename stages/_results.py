"""What the classifiers share: class count, labelled ids of a split, and their predictions as a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moclip.manifest import read_classes, read_manifest
from moclip.predictions import Predictions, write_predictions
from moclip.splits import Member


def members_of(members: Sequence[Member], part: str) -> list[Member]:
    """The members of one part, in the split's order."""
    return [member for member in members if member.part == part]


def write_test_predictions(
    path: Path, test: Sequence[Member], logits: np.ndarray, classes: Path, manifest: Path
) -> None:
    """Logits (n, k) of the test part, with ids, labels, groups and class names."""
    groups = {video.id: video.group for video in read_manifest(manifest).values()}
    predictions = Predictions(
        ids=np.array([member.id for member in test]),
        labels=np.array([member.label for member in test], dtype=np.int64),
        logits=logits.astype(np.float32),
        classes=np.array(read_classes(classes)),
        groups=np.array([groups[member.id] for member in test]),
    )
    write_predictions(path, predictions)
