"""Train a head on cached features: fusion on both streams, its control on CLIP alone.

Axes: n video, d feature, k class.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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


def train_head(
    parts: Mapping[str, Part],
    classes: int,
    params: HeadParams,
    seed: tuple[int, str, int],
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[Head, list[Epoch]]:
    """Train on the train part, select on the val part; the test part is looked at with `select: test` alone.

    Raises:
        DataError: the train part is empty, or as `moclip.training.fit`.
    """
    train, val, test = (parts[name] for name in PARTS)
    if not train.ids:
        raise DataError("the train part of this split has no video; nothing can be trained")
    make_deterministic(*seed)
    head = Head(train.inputs.shape[1], params.hidden, classes, params.dropout)
    head.fit_inputs(train.inputs)

    def batches(epoch: int) -> Iterator[Batch]:
        for chosen in shuffled(len(train.ids), params.batch_videos, torch_stream(*seed, epoch)):
            yield train.inputs[chosen], train.labels[chosen]

    history = fit(
        head,
        batches,
        batch_count(len(train.ids), params.batch_videos),
        (lambda: (head(val.inputs), val.labels)) if val.ids else None,
        Schedule(params.epochs, params.lr, params.weight_decay, params.select),
        on_epoch,
        test=(lambda: (head(test.inputs), test.labels)) if params.select == "test" and test.ids else None,
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
