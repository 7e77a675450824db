"""The training loop: reports each epoch to a callback, selects on validation, knows no tracker."""

import copy
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import DataError
from moclip.base.progress import Progress
from moclip.training.checkpoint import Checkpoint
from moclip.training.device import ON_CPU, Compute
from moclip.training.history import Epoch

Batch = tuple[Tensor, Tensor]
Part = Callable[[], Batch]
ScaledParameters = tuple[list[nn.Parameter], float]
LR_DROP = 0.1
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How long, how fast, and which epoch is kept.

    optimizer: "adamw" (weight decay apart from the gradient) or "adam" (decay within the gradient);
    lr_drop_epochs: None is one cycle of the learning rate up to `lr` and down to zero; epochs, counted from 0, keep it
    at `lr` and take a tenth of it from each of them on; no epochs keep it there to the end.
    """

    epochs: int
    lr: float
    weight_decay: float
    select: str
    optimizer: str = "adamw"
    eps: float = 1e-8
    lr_drop_epochs: Sequence[int] | None = None


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
    validate: Part | None,
    schedule: Schedule,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    *,
    test: Part | None = None,
    parameters: Sequence[ScaledParameters] | None = None,
    compute: Compute = ON_CPU,
    checkpoint: Checkpoint | None = None,
) -> list[Epoch]:
    """Train in place and leave the model at the selected epoch, in evaluation mode.

    Args:
        model: Maps a batch's inputs to logits.
        batches: The (inputs, labels) of one epoch, given the epoch's number, which counts from 0. To be repeatable
            after a kill, they follow from that number alone.
        steps_per_epoch: How many batches an epoch has; the learning rate follows steps.
        validate: Logits and labels of the validation part; None where nothing is held out.
        schedule: Optimiser settings; `select` is `val` (highest top-1, then lowest loss, then first), `test` (the same
            on the test part, as the paper's code does) or `last`.
        on_epoch: Called after each epoch that is trained; not again for those of an earlier process.
        test: Logits and labels of the test part, for `select: test` alone.
        parameters: Parameters with the share of the learning rate that each list gets; None is all of them with 1.
        compute: Arithmetic of the passes; model and batches are on its device already.
        checkpoint: Where the state is kept for a next process, and taken from. It must belong to this training.

    Raises:
        DataError: `select` is `val` or `test`, and there is no such part; or the loss is not finite.
    """
    _check_selection(schedule.select, validate, test)
    parameters = parameters or [(list(model.parameters()), 1.0)]
    optimizer = _optimizer(parameters, schedule)
    rates = _learning_rates(optimizer, schedule, steps_per_epoch)
    scaler = compute.scaler()
    so_far = _SoFar()
    state = _State(so_far, {"model": model, "optimizer": optimizer, "rates": rates, "scaler": scaler}, compute)
    if checkpoint:
        state.restore(checkpoint)
    done = len(so_far.history) * steps_per_epoch
    with Progress(total=schedule.epochs * steps_per_epoch, initial=done, desc="train", unit="step") as bar:
        for number in range(len(so_far.history), schedule.epochs):
            lr = float(rates.get_last_lr()[0]) / parameters[0][1]  # read here: past its last step, a cycle turns again
            loss = _train_epoch(model, batches(number), optimizer, rates, scaler, compute, bar)
            val_loss, val_top1_pct = _evaluate(model, validate)
            test_loss, test_top1_pct = _evaluate(model, test)
            epoch = Epoch(number, lr, loss, val_loss, val_top1_pct, test_top1_pct)
            held_out = f", val top-1 {val_top1_pct:.1f} %" if validate else ""
            bar.set_postfix_str(f"epoch {number + 1}, loss {loss:.3f}{held_out}", False)
            scores = {"val": (val_top1_pct, -val_loss), "test": (test_top1_pct, -test_loss), "last": None}
            so_far.add(epoch, scores[schedule.select], model)
            on_epoch(epoch)
            if checkpoint:
                checkpoint.save_if_due(state.capture)
    if so_far.kept:
        model.load_state_dict(so_far.kept)
    model.eval()
    return so_far.history


def _check_selection(select: str, validate: Part | None, test: Part | None) -> None:
    if select == "val" and validate is None:
        raise DataError(
            "select: val needs a validation part, and this split has none; raise data.val_groups, "
            "bring more groups, or set select: last"
        )
    if select == "test":
        if test is None:
            raise DataError("select: test needs a test part, and this split has none; set select: val or last")
        log.warning(
            "SELECT: TEST. The epoch is chosen on the test part, as the paper's code does: the test figures of this "
            "training are too high. Its history shows by how much."
        )


def _optimizer(parameters: Sequence[ScaledParameters], schedule: Schedule) -> torch.optim.Optimizer:
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[schedule.optimizer]
    groups = [{"params": part, "lr": schedule.lr * scale} for part, scale in parameters]
    return kind(groups, lr=schedule.lr, eps=schedule.eps, weight_decay=schedule.weight_decay)


def _learning_rates(
    optimizer: torch.optim.Optimizer, schedule: Schedule, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    drops = schedule.lr_drop_epochs
    if drops is None:
        peaks = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, peaks, epochs=schedule.epochs, steps_per_epoch=steps_per_epoch
        )

    def factor(step: int) -> float:
        return float(LR_DROP ** sum(step // steps_per_epoch >= drop for drop in drops))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


@dataclass
class _SoFar:
    """What a training has so far beside its networks: epochs, and the weights of the best one."""

    history: list[Epoch] = field(default_factory=list)
    best: tuple[float, float] | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)

    def add(self, epoch: Epoch, score: tuple[float, float] | None, model: nn.Module) -> None:
        self.history.append(epoch)
        if score is not None and (self.best is None or score > self.best):
            self.best, self.kept = score, copy.deepcopy(model.state_dict())


@dataclass
class _State:
    """All that the next epoch depends on, to and from a checkpoint."""

    so_far: _SoFar
    parts: dict[str, Any]
    compute: Compute

    def capture(self) -> dict[str, Any]:
        return {
            **{name: part.state_dict() for name, part in self.parts.items()},
            "random": self.compute.random_state(),
            "history": [astuple(epoch) for epoch in self.so_far.history],
            "best": self.so_far.best,
            "kept": self.so_far.kept,
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        saved = checkpoint.load()
        if saved is None:
            return
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self.compute.set_random_state(saved["random"])
        self.so_far.history = [Epoch(*values) for values in saved["history"]]
        self.so_far.best, self.so_far.kept = saved["best"], saved["kept"]
        log.info("goes on after epoch %d, from %s", len(self.so_far.history) - 1, checkpoint.path)


def _train_epoch(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    rates: torch.optim.lr_scheduler.LRScheduler,
    scaler: torch.amp.GradScaler,
    compute: Compute,
    bar: Progress,
) -> float:
    model.train()
    total, count = torch.zeros((), dtype=torch.float64, device=compute.device), 0
    for inputs, labels in batches:
        with compute.autocast():
            loss = functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        rates.step()
        bar.update()
        # Summed where the network runs: asking a GPU for each loss would make it wait.
        total, count = total + loss.detach().double() * len(labels), count + len(labels)
    mean = total.item() / count
    if not math.isfinite(mean):
        raise DataError("the training loss is not finite; lower the learning rate (lr)")
    return mean


@torch.inference_mode()
def _evaluate(model: nn.Module, part: Part | None) -> tuple[float, float]:
    if part is None:
        return math.nan, math.nan
    model.eval()
    logits, labels = part()
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
