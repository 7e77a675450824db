"""Train the MLP head on features: fusion on both streams, and its controls.

Axes: n video, d feature, k class.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from moclip.base.errors import DataError
from moclip.base.random import make_deterministic, torch_stream
from moclip.data.splits import PARTS
from moclip.heads.fitted import Cost, Fitted, Seed, Videos
from moclip.heads.mlp import Head, concatenate, load_head
from moclip.params.heads.fusion import HeadParams
from moclip.training.checkpoint import Checkpoint
from moclip.training.flops import multiply_adds, trainable_parameters
from moclip.training.history import Epoch
from moclip.training.loop import Batch, Schedule, batch_count, fit, held_out, shuffled
from moclip.training.weights import load_model, save_model

OnEpoch = Callable[[Epoch], None]


def ignore(epoch: Epoch) -> None:
    """Nobody looks at the epochs of a training."""


@dataclass(frozen=True)
class Examples:
    """Videos of one part of a split: ids, inputs (n, d), labels (n,), and the streams' widths by name."""

    ids: list[str]
    inputs: Tensor
    labels: Tensor
    widths: Mapping[str, int]


def read_examples(videos: Videos, *streams: str) -> dict[str, Examples]:
    """These streams side by side, in the order of their names, for train, val and test.

    Raises:
        StoreError: a stream lacks a video; it is named.
    """
    return {part: _examples(videos, part, sorted(streams)) for part in PARTS}


def _examples(videos: Videos, part: str, streams: Sequence[str]) -> Examples:
    own = videos.split.part(part)
    values = {name: torch.from_numpy(videos.streams[name].of(own.ids)) for name in streams}
    widths = {name: features.shape[1] for name, features in values.items()}
    return Examples(own.ids, concatenate(list(values.values())), torch.from_numpy(own.labels), widths)


class Source:
    """Where a head's inputs come from: cached features, the same in every epoch."""

    def __init__(self, parts: Mapping[str, Examples]) -> None:
        self.parts = parts

    def of_epoch(self, epoch: int, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Inputs (m, d) of each batch of an epoch, which is given as indices (m,) into the train part."""
        return (self.parts["train"].inputs[chosen] for chosen in batches)

    def held_out(self, part: str) -> Tensor:
        """Inputs (n, d) of a part that is not trained on."""
        return self.parts[part].inputs

    def model(self, head: Head) -> nn.Module:
        """What is trained: the head, alone or with what its inputs depend on."""
        return head


@dataclass
class Mlp(Fitted):
    """An MLP on the streams that its widths name."""

    head: Head

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams in the order in which they stand side by side."""
        return tuple(self.head.widths)

    @torch.inference_mode()
    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of features (n, d_i) by stream, in evaluation mode."""
        features = concatenate([torch.from_numpy(inputs[name]) for name in self.streams])
        logits: np.ndarray = self.head.eval()(features).numpy()
        return logits

    def save(self, directory: Path) -> None:
        """Write weights and configuration."""
        save_model(directory, self.head, self.head.config())

    def cost(self) -> Cost:
        """Counted on a copy without weights."""
        with torch.device("meta"):
            head = Head(**self.head.config()).eval()
            example = torch.empty(1, sum(self.head.widths.values()))
            return Cost(trainable_parameters(head), multiply_adds(lambda: head(example)))


def load(directory: Path) -> Mlp:
    """Read what `Mlp.save` wrote.

    Raises:
        StoreError: a file is missing or torn, or weights and configuration do not fit.
    """
    return Mlp(load_head(*load_model(directory)))


def fit_mlp(
    source: Source,
    classes: int,
    params: HeadParams,
    seed: Seed,
    on_epoch: OnEpoch = ignore,
    checkpoint: Checkpoint | None = None,
) -> Mlp:
    """Train on the train part, select on the val part; the test part is looked at with `select: test` alone.

    Raises:
        DataError: the train part is empty, or as `moclip.training.loop.fit`.
    """
    train, val, test = (source.parts[part] for part in PARTS)
    if not train.ids:
        raise DataError("the train part of this split has no video; nothing can be trained")
    make_deterministic(*seed)
    head = Head(
        train.widths,
        params.hidden,
        classes,
        params.dropout,
        normalisation=params.normalisation,
        combine=params.combine,
    )
    head.fit_inputs(train.inputs)

    def batches(epoch: int) -> Iterator[Batch]:
        chosen = shuffled(len(train.ids), params.batch_videos, torch_stream(*seed, epoch))
        return zip(source.of_epoch(epoch, chosen), (train.labels[batch] for batch in chosen), strict=True)

    fitted = Mlp(head)
    fitted.history = fit(
        source.model(head),
        batches,
        batch_count(len(train.ids), params.batch_videos),
        _schedule(params),
        validate=held_out(
            params.select,
            (lambda: (head(source.held_out("val")), val.labels)) if val.ids else None,
            (lambda: (head(source.held_out("test")), test.labels)) if test.ids else None,
        ),
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        title=f"train {seed[1]} split {seed[2]}",
    )
    return fitted


def _schedule(params: HeadParams) -> Schedule:
    schedule = Schedule(params.epochs, params.lr, params.weight_decay, params.select)
    return schedule if params.schedule == "one_cycle" else replace(schedule, shape="steps")  # no step: constant
