"""The training loop: takes its loss, reports each epoch to a callback, selects on held-out videos, knows no tracker."""

import copy
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from moclip.base.errors import DataError
from moclip.base.progress import Progress
from moclip.training.checkpoint import Checkpoint
from moclip.training.device import ON_CPU, Compute
from moclip.training.history import Epoch
from moclip.training.ranks import ALONE, Ranks

Batch = tuple[Tensor, ...]
"""Tensors of one step; the length of the last one counts in the epoch's mean loss."""
Loss = Callable[[nn.Module, Batch], Tensor]
Logits = Callable[[], tuple[Tensor, Tensor]]
"""Gives logits (n, k) and labels (n,) of held-out videos."""
Validate = Callable[[], Mapping[str, float]]
Backward = Callable[[Batch, float], Tensor]
"""Adds the gradients of a batch's mean loss, times a share, to the parameters'; gives that loss without the share."""
Gradients = Callable[[nn.Module, Any, Backward], tuple[Tensor, int]]
"""Leaves a step's gradients in the parameters; gives its mean loss, a scalar, and how many videos it saw."""
ScaledParameters = tuple[list[nn.Parameter], float]
LR_DROP = 0.1
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How long, how fast, and which epoch is kept.

    Attributes:
        epochs: Passes over the data.
        lr: Peak learning rate.
        weight_decay: Of the optimizer.
        select: `last`, or the held-out part that chooses the epoch: `val` by the lowest loss, then the highest top-1
            (of few videos it tells little); `test` by top-1, then loss, as the paper's code does; of equals the first.
        optimizer: `adamw` (weight decay apart from the gradient), `adam` (decay within the gradient) or `sgd` (as
            `adam`, with momentum).
        eps: In the optimizer's denominator.
        betas: The optimizer's two averages; the first is the momentum of `sgd`, which has no other.
        shape: Of the learning rate: `one_cycle` up to `lr` and down to zero; `steps` takes a tenth of it from each of
            `drop_epochs` on; `cosine` falls to zero after a straight `warmup_epochs`.
        drop_epochs: Epochs, counted from 0, where `steps` drops; none keeps the rate.
        warmup_epochs: Of `cosine`.
        clip_norm: Bound of the gradient's norm; None leaves it.
        average_from: From the end of this epoch on, weights are averaged, and the average is what is kept; None keeps
            the weights of one epoch.
        decays_vectors: Whether weight decay is also of parameters of one dimension or none: biases, scales of norms.
    """

    epochs: int
    lr: float
    weight_decay: float
    select: str = "last"
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    eps: float = 1e-8
    betas: tuple[float, float] = (0.9, 0.999)
    shape: Literal["one_cycle", "steps", "cosine"] = "one_cycle"
    drop_epochs: Sequence[int] = ()
    warmup_epochs: float = 0.0
    clip_norm: float | None = None
    average_from: int | None = None
    decays_vectors: bool = True


def classification_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Cross entropy of a batch (inputs, labels), where the model maps inputs to logits."""
    inputs, labels = batch
    return functional.cross_entropy(model(inputs), labels)


def held_out(select: str, val: Logits | None, test: Logits | None) -> Validate | None:
    """Loss and top-1 of the held-out parts, as `val_loss`, `val_top1_pct`; of test with `select: test` alone.

    Raises:
        DataError: `select` is `val` or `test`, and there is no such part.
    """
    if select == "val" and val is None:
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
    parts = {"val": val, "test": test if select == "test" else None}
    known = {name: logits for name, logits in parts.items() if logits is not None}
    return (
        (lambda: {key: value for part in known.items() for key, value in _accuracy(*part).items()}) if known else None
    )


def _accuracy(part: str, logits_of: Logits) -> dict[str, float]:
    logits, labels = logits_of()
    hits = (logits.argmax(dim=1) == labels).float().mean().item()
    return {f"{part}_loss": functional.cross_entropy(logits, labels).item(), f"{part}_top1_pct": 100 * hits}


def of_whole(model: nn.Module, batch: Batch, backward: Backward) -> tuple[Tensor, int]:
    """Gradients of a batch in one pass."""
    return backward(batch, 1.0), len(batch[-1])


def fit(
    model: nn.Module,
    batches: Callable[[int], Iterable[Any]],
    steps_per_epoch: int,
    schedule: Schedule,
    *,
    loss: Loss = classification_loss,
    gradients: Gradients = of_whole,
    ranks: Ranks = ALONE,
    validate: Validate | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    after_step: Callable[[], None] = lambda: None,
    parameters: Sequence[ScaledParameters] | None = None,
    compute: Compute = ON_CPU,
    checkpoint: Checkpoint | None = None,
    title: str = "train",
) -> list[Epoch]:
    """Train in place and leave the model at the selected epoch, in evaluation mode.

    Args:
        model: What is trained.
        batches: The batches of one epoch, given the epoch's number, which counts from 0, in the form that `gradients`
            takes. To be repeatable after a kill, they follow from that number alone.
        steps_per_epoch: How many batches an epoch has; the learning rate follows steps.
        schedule: Optimizer, learning rate, and which epoch is kept.
        loss: Mean loss of a batch, a scalar.
        gradients: How a batch becomes gradients: in one pass, or `moclip.training.parts.Parts`.
        ranks: Which of several processes this is, that all train the same; only the one that leads shows progress,
            calls `on_epoch`, and keeps the state.
        validate: Figures by name after each epoch, computed in evaluation mode; `held_out` makes one. Those that
            `schedule.select` names must be among them.
        on_epoch: Called after each epoch that is trained; not again for those of an earlier process.
        after_step: Called after each step of the optimizer, for bounds on parameters.
        parameters: Parameters with the share of the learning rate that each list gets; None is all of them with 1.
        compute: Arithmetic of the passes; model and batches are on its device already.
        checkpoint: Where the state is kept for a next process, and taken from. It must belong to this training, and be
            given to all ranks or to none.
        title: What the progress bar calls it.

    Raises:
        DataError: the loss is not finite.
    """
    parameters = parameters or [(list(model.parameters()), 1.0)]
    optimizer = _optimizer(parameters, schedule)
    rates = _learning_rates(optimizer, schedule, steps_per_epoch)
    step = _Step(optimizer, rates, compute, loss, gradients, schedule, after_step)
    averaged = None if schedule.average_from is None else AveragedModel(model, use_buffers=True)
    so_far = _SoFar()
    state = _State(so_far, {"model": model, **step.state(), **({"averaged": averaged} if averaged else {})}, compute)
    if checkpoint and (saved := ranks.told(checkpoint.load() if ranks.leads else None)):
        state.restore(saved)
        log.info("goes on after epoch %d, from %s", len(so_far.history) - 1, checkpoint.path)
    total, done = (epochs * steps_per_epoch for epochs in (schedule.epochs, len(so_far.history)))
    with Progress(total=total, initial=done, desc=title, unit="step", disable=not ranks.leads) as bar:
        for number in range(len(so_far.history), schedule.epochs):
            lr = (
                float(step.rates.get_last_lr()[0]) / parameters[0][1]
            )  # read here: past its last step, a cycle turns again
            values = {"train_loss": _train_epoch(model, batches(number), step, bar), **_measured(model, validate)}
            epoch = Epoch(number, lr, values)
            bar.set_postfix_str(_shown(epoch), False)
            so_far.add(epoch, _score(schedule.select, epoch), model)
            if averaged and number >= (schedule.average_from or 0):
                averaged.update_parameters(model)
            if ranks.leads:
                on_epoch(epoch)
                if checkpoint:
                    checkpoint.save_if_due(state.capture)
    if kept := averaged.module.state_dict() if averaged else so_far.kept:
        model.load_state_dict(kept)
    model.eval()
    return so_far.history


def _shown(epoch: Epoch) -> str:
    held = f", val top-1 {epoch['val_top1_pct']:.1f} %" if "val_top1_pct" in epoch.values else ""
    return f"epoch {epoch.epoch + 1}, loss {epoch['train_loss']:.3f}{held}"


def _score(select: str, epoch: Epoch) -> tuple[float, float] | None:
    if select == "last":
        return None
    top1, loss = epoch.values[f"{select}_top1_pct"], epoch.values[f"{select}_loss"]
    return (top1, -loss) if select == "test" else (-loss, top1)


def _optimizer(parameters: Sequence[ScaledParameters], schedule: Schedule) -> torch.optim.Optimizer:
    groups = [group for part, scale in parameters for group in _groups(part, schedule, schedule.lr * scale)]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=schedule.lr, momentum=schedule.betas[0], weight_decay=schedule.weight_decay, fused=True
        )
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[schedule.optimizer]
    # Fused: the other way takes roots from a library that gives each maker's processors digits of their own.
    return kind(
        groups, lr=schedule.lr, betas=schedule.betas, eps=schedule.eps, weight_decay=schedule.weight_decay, fused=True
    )


def _groups(part: list[nn.Parameter], schedule: Schedule, lr: float) -> list[dict[str, Any]]:
    if schedule.decays_vectors:
        return [{"params": part, "lr": lr}]
    matrices = [own for own in part if own.dim() > 1]
    vectors = [own for own in part if own.dim() <= 1]
    groups = [{"params": matrices, "lr": lr}, {"params": vectors, "lr": lr, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _learning_rates(
    optimizer: torch.optim.Optimizer, schedule: Schedule, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if schedule.shape == "one_cycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, peaks, epochs=schedule.epochs, steps_per_epoch=steps_per_epoch
        )
    factor = _stepped if schedule.shape == "steps" else _cosine
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step / steps_per_epoch, schedule))


def _stepped(epoch: float, schedule: Schedule) -> float:
    return float(LR_DROP ** sum(epoch >= drop for drop in schedule.drop_epochs))


def _cosine(epoch: float, schedule: Schedule) -> float:
    """Up a straight line over the warm-up, then down a half cosine: 1 at its end, 0 after the last epoch."""
    if epoch < schedule.warmup_epochs:
        return epoch / schedule.warmup_epochs
    rest = schedule.epochs - schedule.warmup_epochs
    return 0.5 * (1.0 + math.cos(math.pi * (epoch - schedule.warmup_epochs) / rest)) if rest > 0 else 1.0


@dataclass
class _Step:
    """One update of the weights from one batch."""

    optimizer: torch.optim.Optimizer
    rates: torch.optim.lr_scheduler.LRScheduler
    compute: Compute
    loss: Loss
    gradients: Gradients
    schedule: Schedule
    after: Callable[[], None]
    scaler: torch.amp.GradScaler = field(init=False)

    def __post_init__(self) -> None:
        self.scaler = self.compute.scaler()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"optimizer": self.optimizer, "rates": self.rates, "scaler": self.scaler}

    def __call__(self, model: nn.Module, batch: Any) -> tuple[Tensor, int]:
        self.optimizer.zero_grad()
        loss, videos = self.gradients(model, batch, partial(self._backward, model))
        if self.schedule.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), self.schedule.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.rates.step()
        self.after()
        return loss, videos

    def _backward(self, model: nn.Module, batch: Batch, share: float) -> Tensor:
        with self.compute.autocast():
            loss = self.loss(model, batch)
        self.scaler.scale(loss * share).backward()
        return loss.detach()


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
            "history": [(epoch.epoch, epoch.lr, dict(epoch.values)) for epoch in self.so_far.history],
            "best": self.so_far.best,
            "kept": self.so_far.kept,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self.compute.set_random_state(saved["random"])
        self.so_far.history = [Epoch(*values) for values in saved["history"]]
        self.so_far.best, self.so_far.kept = saved["best"], saved["kept"]


def _train_epoch(model: nn.Module, batches: Iterable[Any], step: _Step, bar: Progress) -> float:
    model.train()
    total, count = torch.zeros((), dtype=torch.float64, device=step.compute.device), 0
    for batch in batches:
        loss, videos = step(model, batch)
        # Summed where the network runs: asking a GPU for each loss would make it wait.
        total, count = total + loss.double() * videos, count + videos
        bar.update()
    mean = total.item() / count
    if not math.isfinite(mean):
        raise DataError("the training loss is not finite; lower the learning rate (lr)")
    return mean


@torch.inference_mode()
def _measured(model: nn.Module, validate: Validate | None) -> Mapping[str, float]:
    model.eval()
    return validate() if validate else {}


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
