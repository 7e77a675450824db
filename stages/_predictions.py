"""What all heads leave: logits of the held-out videos, epochs, and what they cost."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from moclip.base.files import write_json
from moclip.data.splits import Split
from moclip.heads.fitted import Account
from moclip.results.predictions import Predictions, write_predictions
from moclip.training.history import Epoch, write_history
from stages._layout import cost_file, predicted


def write_split(head: Path, split: int, test: Predictions, val: Predictions, history: Sequence[Epoch]) -> None:
    """Write what a head leaves of one split."""
    files = predicted(head, split)
    write_predictions(files.test, test)
    write_predictions(files.val, val, may_be_empty=True)
    write_history(files.history, history)


def predictions(part: Split, logits: np.ndarray) -> Predictions:
    """Logits (n, k) of the videos of a part, with ids, labels, groups and class names."""
    return Predictions(
        ids=np.array(part.ids, dtype=np.str_),
        labels=part.labels,
        logits=logits.astype(np.float32),
        classes=np.array(part.classes),
        groups=np.array(part.groups, dtype=np.str_),
    )


def write_account(head: Path, account: Account | None) -> None:
    """Write what a head costs, where that is known."""
    if account is not None:
        write_json(cost_file(head), asdict(account))
