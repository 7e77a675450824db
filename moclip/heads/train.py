"""Train a head on cached features: fusion on both streams, and its controls.

Axes: n video, d feature, k class.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from moclip.base.errors import DataError
from moclip.base.random import make_deterministic, stream, torch_stream
from moclip.data.splits import PARTS, Member, members_of
from moclip.heads.mlp import Head, concatenate
from moclip.params.heads.fusion import HeadParams
from moclip.store.features import Features
from moclip.training.checkpoint import Checkpoint
from moclip.training.history import Epoch
from moclip.training.loop import Batch, Schedule, batch_count, fit, shuffled


@dataclass(frozen=True)
class Part:
    """The videos of one part of a split: ids, inputs (n, d), labels (n,), and the streams' widths by name."""

    ids: list[str]
    inputs: Tensor
    labels: Tensor
    widths: Mapping[str, int]


def read_parts(streams: Mapping[str, Features], members: Sequence[Member]) -> dict[str, Part]:
    """Join feature streams, which are given by name, by video id, for train, val and test.

    Raises:
        StoreError: a stream lacks a video; it is named.
    """
    return {part: _part(streams, members_of(members, part)) for part in PARTS}


def streams_of(
    head: str, cached: Mapping[str, Features], inputs: str, members: Sequence[Member], seed: tuple[int, int]
) -> dict[str, Features]:
    """The streams that a head gets of those that are cached, `clip` and `motion`.

    Args:
        head: `fusion` gets those that `inputs` names, `motion_permuted` both, with motion that is not its own, and
            any other head all that there is.
        cached: Features by stream.
        inputs: `both`, `clip` or `motion`.
        members: The split.
        seed: Seed and split number.
    """
    if head == "motion_permuted":
        return {**cached, "motion": dealt_out_anew(cached["motion"], members, seed)}
    if head == "fusion" and inputs != "both":
        return {inputs: cached[inputs]}
    return dict(cached)


def dealt_out_anew(features: Features, members: Sequence[Member], seed: tuple[int, int]) -> Features:
    """The same features, each given to a random video of the same part of the split.

    Args:
        features: Features of all members.
        members: The split; a feature never crosses from one of its parts to another.
        seed: Seed and split number.

    Raises:
        StoreError: the features lack a video; it is named.
    """
    ids, values = [], []
    for part in PARTS:
        own = [member.id for member in members_of(members, part)]
        ids += own
        values.append(features.of(stream(seed[0], "motion_permuted", seed[1], part).permutation(own).tolist()))
    return Features(f"{features.name} dealt out anew", np.array(ids), np.concatenate(values))


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
    checkpoint: Checkpoint | None = None,
) -> tuple[Head, list[Epoch]]:
    """Train on the train part, select on the val part; the test part is looked at with `select: test` alone.

    `inputs` are those of `parts`, unless they change from epoch to epoch; `checkpoint` is as for
    `moclip.training.loop.fit`.

    Raises:
        DataError: the train part is empty, or as `moclip.training.loop.fit`.
    """
    train, val, test = (parts[name] for name in PARTS)
    inputs = inputs or Inputs(parts)
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
        return zip(inputs.of_epoch(epoch, chosen), (train.labels[batch] for batch in chosen), strict=True)

    history = fit(
        inputs.model(head),
        batches,
        batch_count(len(train.ids), params.batch_videos),
        (lambda: (head(inputs.held_out("val")), val.labels)) if val.ids else None,
        _schedule(params),
        on_epoch,
        test=(lambda: (head(inputs.held_out("test")), test.labels)) if params.select == "test" and test.ids else None,
        checkpoint=checkpoint,
    )
    return head, history


def _schedule(params: HeadParams) -> Schedule:
    drops = None if params.schedule == "one_cycle" else ()
    return Schedule(params.epochs, params.lr, params.weight_decay, params.select, lr_drop_epochs=drops)


@torch.inference_mode()
def head_logits(head: Head, inputs: Tensor) -> np.ndarray:
    """Logits (n, k) of inputs (n, d), in evaluation mode."""
    logits: np.ndarray = head.eval()(inputs).numpy()
    return logits


def _part(streams: Mapping[str, Features], members: Sequence[Member]) -> Part:
    ids = [member.id for member in members]
    ordered = dict(sorted(streams.items()))
    inputs = concatenate([torch.from_numpy(features.of(ids)) for features in ordered.values()])
    labels = torch.tensor([member.label for member in members], dtype=torch.int64)
    return Part(ids, inputs, labels, {name: features.values.shape[1] for name, features in ordered.items()})
