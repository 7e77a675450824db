"""File names by split: what one stage lays down in a directory, others find there by the same name."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def repeat_directory(directory: Path, repeat: int) -> Path:
    """Where the files of a repeat of a training lie: those of the first one, 0, in the directory itself."""
    return directory / f"repeat{repeat}" if repeat else directory


def repeats_in(directory: Path) -> int:
    """How many trainings left their files in a directory: the first one, and its repeats 1, 2, ... without a gap."""
    return next(number for number in itertools.count(1) if not repeat_directory(directory, number).is_dir())


def place_among(splits: Sequence[int], split: int, repeat: int, repeats: int) -> tuple[int, int]:
    """Which training this is, from 1, and how many there are, where each repeat goes through all splits."""
    return repeat * len(splits) + splits.index(split) + 1, repeats * len(splits)


def split_file(directory: Path, split: int, ending: str) -> Path:
    """The file of one split in a directory: `split1.csv` for an ending of `.csv`."""
    return directory / f"split{split}{ending}"


@dataclass(frozen=True)
class Predicted:
    """What a head leaves of one split: logits of both held-out parts, and its epochs.

    `halves` is there where it was fitted on some of the classes: logits of what it is read beside.
    """

    test: Path
    val: Path
    history: Path
    halves: Path


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` makes of these."""

    metrics: Path
    history: Path
    per_class: Path
    outcomes: Path
    halves: Path
    logits: Path


def predicted(head: Path, split: int) -> Predicted:
    """Files of one split in the directory of a head's predictions."""
    return Predicted(
        *(split_file(head, split, ending) for ending in (".npz", "_val.npz", "_history.csv", "_halves.npz"))
    )


def evaluated(head: Path, split: int) -> Evaluated:
    """Files of one split in the directory of a head's results."""
    endings = ("_metrics.json", "_history.csv", "_per_class.csv", "_outcomes.csv", "_halves.csv", "_logits.npz")
    return Evaluated(*(split_file(head, split, ending) for ending in endings))


def chosen_file(head: Path) -> Path:
    """What a head chose on validation, in the directory of its predictions or results; most heads choose nothing."""
    return head / "chosen.json"


def cost_file(head: Path) -> Path:
    """What a head costs, in the directory of its predictions or results; a head without networks has none."""
    return head / "cost.json"
