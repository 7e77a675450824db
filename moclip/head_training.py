"""Train a head on cached features: fusion on both streams, its control on CLIP alone.

Axes: n video, d feature, k class.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from moclip.errors import DataError
from moclip.features import Features
from moclip.history import Epoch
from moclip.models.fusion import Head, concatenate
from moclip.schema.training import HeadParams
from moclip.seeds import make_deterministic, torch_stream
from moclip.splits import PARTS, Member
from moclip.training import Batch, Schedule, batch_count, fit, shuffled


@dataclass(frozen=True)
class Part:
    """The videos of one part of a split: ids, inputs (n, d) and labels (n,)."""

    ids: list[str]
    inputs: Tensor
    labels: Tensor


def read_parts(streams: Sequence[Features], members: Sequence[Member]) -> dict[str, Part]:
    """Join feature streams by video id, for train, val and test.

    Raises:
        StoreError: a stream lacks a video; it is named.
    """
    return {part: _part(streams, [member for member in members if member.part == part]) for part in PARTS}


class Inputs:
    """Where a head's inputs come from: the cached features, the same in every epoch."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
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


def train_head(
    parts: Mapping[str, Part],
    classes: int,
    params: HeadParams,
    seed: tuple[int, str, int],
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    inputs: Inputs | None = None,
) -> tuple[Head, list[Epoch]]:
    """Train on the train part, select on the val part; the test part is not looked at.

    `inputs` are those of `parts`, unless they change from epoch to epoch.

    Raises:
        DataError: the train part is empty, or as `moclip.training.fit`.
    """
    train, val = parts["train"], parts["val"]
    inputs = inputs or Inputs(parts)
    if not train.ids:
        raise DataError("the train part of this split has no video; nothing can be trained")
    make_deterministic(*seed)
    head = Head(train.inputs.shape[1], params.hidden, classes, params.dropout)
    head.fit_inputs(train.inputs)

    def batches(epoch: int) -> Iterator[Batch]:
        chosen = shuffled(len(train.ids), params.batch_videos, torch_stream(*seed, epoch))
        return zip(inputs.of_epoch(epoch, chosen), (train.labels[batch] for batch in chosen), strict=True)

    history = fit(
        inputs.model(head),
        batches,
        batch_count(len(train.ids), params.batch_videos),
        (lambda: (head(inputs.held_out("val")), val.labels)) if val.ids else None,
        Schedule(params.epochs, params.lr, params.weight_decay, params.select),
        on_epoch,
    )
    return head, history


@torch.inference_mode()
def head_logits(head: Head, inputs: Tensor) -> np.ndarray:
    """Logits (n, k) of inputs (n, d), in evaluation mode."""
    logits: np.ndarray = head.eval()(inputs).numpy()
    return logits


def _part(streams: Sequence[Features], members: Sequence[Member]) -> Part:
    ids = [member.id for member in members]
    inputs = concatenate([torch.from_numpy(stream.of(ids)) for stream in streams])
    return Part(ids, inputs, torch.tensor([member.label for member in members], dtype=torch.int64))
