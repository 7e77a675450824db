"""File names by split: what one stage lays down in a directory, others find there by the same name."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Predicted:
    """What a head leaves of one split: logits of both held-out parts, and its epochs."""

    preds: Path
    val_preds: Path
    history: Path


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` makes of these."""

    metrics: Path
    history: Path
    per_class: Path
    outcomes: Path


def predicted(head: Path, split: int) -> Predicted:
    """Files of one split in the directory of a head's predictions."""
    name = f"split{split}"
    return Predicted(head / f"{name}.npz", head / f"{name}_val.npz", head / f"{name}_history.csv")


def evaluated(head: Path, split: int) -> Evaluated:
    """Files of one split in the directory of a head's results."""
    files = ("metrics.json", "history.csv", "per_class.csv", "outcomes.csv")
    return Evaluated(*(head / f"split{split}_{name}" for name in files))


def of_split(args: Namespace, split: int) -> Namespace:
    """The arguments of a stage that goes through all splits, for one of them: its files in place of directories."""
    name = f"split{split}"
    own: dict[str, object] = {"split": args.splits / f"{name}.csv", **vars(predicted(args.preds, split))}
    own |= {key: vars(args)[key] / name for key in ("model", "network") if key in args}
    if "streams" in args:  # the first, CLIP's, is of no split
        own["streams"] = [args.streams[0], *(path / f"{name}.npz" for path in args.streams[1:])]
    return Namespace(**{**vars(args), **own})
