"""The training loop: reports each epoch to a callback, selects on validation, knows no tracker."""

import copy
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.errors import DataError
from moclip.history import Epoch
from moclip.progress import Progress


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: AdamW, one cycle of the learning rate up to `lr` and down to zero."""

    epochs: int
    lr: float
    weight_decay: float
    select: str


Batch = tuple[Tensor, Tensor]
log = logging.getLogger(__name__)


def log_epoch(epoch: Epoch) -> None:
    """One line per epoch, for who asks for details: the bar shows the last one to everybody."""
    log.debug(
        "epoch %d: train loss %.4f, val loss %.4f, val top-1 %.2f %%",
        epoch.epoch, epoch.train_loss, epoch.val_loss, epoch.val_top1_pct,
    )  # fmt: skip


def fit(
    model: nn.Module,
    batches: Callable[[int], Iterable[Batch]],
    steps_per_epoch: int,
    validate: Callable[[], Batch] | None,
    schedule: Schedule,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> list[Epoch]:
    """Train in place and leave the model at the selected epoch, in evaluation mode.

    Args:
        model: Maps a batch's inputs to logits.
        batches: The (inputs, labels) of one epoch, given the epoch's number, which counts from 0.
        steps_per_epoch: How many batches an epoch has; the learning rate follows steps.
        validate: Logits and labels of the validation part; None where nothing is held out.
        schedule: Optimiser settings; `select` is `val` (highest top-1, then lowest loss, then first)
            or `last`.
        on_epoch: Called after each epoch.

    Raises:
        DataError: `select` is `val`, and nothing is held out; or the loss is not finite.
    """
    if schedule.select == "val" and validate is None:
        raise DataError(
            "select: val needs a validation part, and this split has none; raise data.val_groups, "
            "bring more groups, or set select: last"
        )
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.lr, epochs=schedule.epochs, steps_per_epoch=steps_per_epoch
    )
    history: list[Epoch] = []
    best: tuple[float, float] | None = None
    kept: dict[str, Tensor] = {}
    with Progress(total=schedule.epochs * steps_per_epoch, desc="train", unit="step") as bar:
        for number in range(schedule.epochs):
            lr = float(cycle.get_last_lr()[0])  # read here: past its last step, the cycle turns up again
            loss = _train_epoch(model, batches(number), optimizer, cycle, bar)
            val_loss, val_top1_pct = _validate(model, validate)
            epoch = Epoch(number, lr, loss, val_loss, val_top1_pct)
            history.append(epoch)
            held_out = f", val top-1 {val_top1_pct:.1f} %" if validate else ""
            bar.set_postfix_str(f"epoch {number + 1}, loss {loss:.3f}{held_out}", False)
            on_epoch(epoch)
            score = (val_top1_pct, -val_loss)
            if schedule.select == "val" and (best is None or score > best):
                best, kept = score, copy.deepcopy(model.state_dict())
    if kept:
        model.load_state_dict(kept)
    model.eval()
    return history


def _train_epoch(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    cycle: torch.optim.lr_scheduler.LRScheduler,
    bar: Progress,
) -> float:
    model.train()
    total, count = 0.0, 0
    for inputs, labels in batches:
        loss = functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()
        bar.update()
        total, count = total + loss.item() * len(labels), count + len(labels)
    if not math.isfinite(total):
        raise DataError("the training loss is not finite; lower the learning rate (lr)")
    return total / count


@torch.inference_mode()
def _validate(model: nn.Module, validate: Callable[[], Batch] | None) -> tuple[float, float]:
    if validate is None:
        return math.nan, math.nan
    model.eval()
    logits, labels = validate()
    hits = (logits.argmax(dim=1) == labels).float().mean().item()
    return functional.cross_entropy(logits, labels).item(), 100 * hits


def shuffled(count: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """Indices 0 to count - 1 in random order, cut into batches of `size`.

    A rest of one joins the batch before it: batch statistics of a single video are undefined.
    """
    batches = list(torch.randperm(count, generator=generator).split(size))
    if len(batches) > 1 and len(batches[-1]) == 1 < size:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def batch_count(count: int, size: int) -> int:
    """Number of batches that `shuffled` makes."""
    full, rest = divmod(count, size)
    return full + (rest > 1 or not full)
