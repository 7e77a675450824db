"""Epochs of a classifier, as a training leaves them."""

from moclip.training.history import Epoch


def epoch(
    number: int, train_loss: float, val_loss: float, val_top1_pct: float, test_top1_pct: float | None = None
) -> Epoch:
    values = {"train_loss": train_loss, "val_loss": val_loss, "val_top1_pct": val_top1_pct}
    return Epoch(number, 0.1, values if test_top1_pct is None else {**values, "test_top1_pct": test_top1_pct})
