"""Train the motion network on a store of grids.

Axes: n video, s segment, h and w grid rows and columns, k class.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moclip.base.errors import DataError
from moclip.base.random import make_deterministic, stream, torch_stream
from moclip.data.splits import Split
from moclip.motion.features import evaluation
from moclip.motion.net import MotionNet
from moclip.motion.sampler import Draws, FieldSampler
from moclip.params.heads.motion_vit import MotionVitParams
from moclip.params.motion_net import MotionNetParams
from moclip.training.checkpoint import Checkpoint
from moclip.training.history import Epoch
from moclip.training.loop import Batch, ScaledParameters, Schedule, batch_count, fit, held_out, of_whole, shuffled
from moclip.training.parts import Part, Parts, cut
from moclip.training.ranks import ALONE, Ranks


def train_motion_net(
    sampler: FieldSampler,
    train: Split,
    val: Split,
    seed: tuple[int, str, int],
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    *,
    test: Split | None = None,
    checkpoint: Checkpoint | None = None,
    vit: MotionVitParams | None = None,
    learnt: Mapping[str, Tensor] | None = None,
    ranks: Ranks = ALONE,
) -> tuple[MotionNet, list[Epoch]]:
    """Train with random frames and augmentation; validate on segment centres.

    With `batch_parts`, each part of a batch draws by itself, so that a rank reads no other's videos.

    Args:
        sampler: Fields of the videos, with the parameters of network and training and the device.
        train: What is learnt from; it names the classes.
        val: What chooses the epoch; may be empty.
        seed: Of weights, order, frames and augmentation.
        on_epoch: As for `moclip.training.loop.fit`.
        test: Looked at with `select: test` alone.
        checkpoint: As for `moclip.training.loop.fit`.
        vit: Shape of the network of `arch: vit`.
        learnt: What a pretraining gave, `MotionNet.learnt`; the classifier starts as without.
        ranks: Which of several processes this is; `batch_parts` is what they share, so they are no more than it.

    Raises:
        DataError: the train part is empty, ImageNet weights cannot be had, or as `moclip.training.loop.fit`.
        StoreError: what was learnt is of another network.
        ParamsError: the file of ImageNet weights cannot be used.
    """
    if not train.ids:
        raise DataError("the train part of this split has no video; nothing can be trained")
    params, compute = sampler.params, sampler.compute
    make_deterministic(*seed, mode=compute.deterministic)
    net = compute.place(network_of(params, len(train.classes), vit))
    if learnt is not None:
        net.begin_from(learnt)
    if params.train == "classifier":
        net.train_classifier_alone()
    batches = _Batches(sampler, train, seed)
    history = fit(
        net,
        batches.whole if params.batch_parts == 1 else batches.in_parts,
        batch_count(len(train.ids), params.batch_videos),
        _schedule(params),
        gradients=of_whole if params.batch_parts == 1 else Parts(ranks),
        ranks=ranks,
        validate=held_out(
            params.select,
            evaluation(net, sampler, val, ranks) if val.ids else None,
            evaluation(net, sampler, test, ranks) if test and test.ids and params.select == "test" else None,
        ),
        on_epoch=on_epoch,
        parameters=_scaled(net, params),
        compute=compute,
        checkpoint=checkpoint,
        title=f"train {seed[1]} split {seed[2]}",
    )
    return net, history


@dataclass(frozen=True)
class _Batches:
    """Batches of the train part, epoch by epoch: whole, or in parts."""

    sampler: FieldSampler
    train: Split
    seed: Draws

    def whole(self, epoch: int) -> Iterator[Batch]:
        rng, generator = stream(*self.seed, epoch), torch_stream(*self.seed, epoch)
        for chosen in self._shuffled(generator):
            yield self._read(chosen, rng, generator)

    def in_parts(self, epoch: int) -> Iterator[list[Part]]:
        for number, chosen in enumerate(self._shuffled(torch_stream(*self.seed, epoch))):
            own = cut(chosen, self.sampler.params.batch_parts)
            yield [Part(len(one), partial(self._part, one, (epoch, number, i))) for i, one in enumerate(own)]

    def _part(self, chosen: Tensor, place: tuple[int, int, int]) -> Batch:
        return self._read(chosen, stream(*self.seed, *place), torch_stream(*self.seed, *place))

    def _shuffled(self, generator: torch.Generator) -> list[Tensor]:
        return shuffled(len(self.train.ids), self.sampler.params.batch_videos, generator)

    def _read(self, chosen: Tensor, rng: np.random.Generator, generator: torch.Generator) -> Batch:
        """Fields (n, s, 2, h, w) and labels (n,) of the train part's videos of these numbers (n,)."""
        ids = [self.train.ids[i] for i in chosen]
        fields = self.sampler.augmented(ids, self.sampler.params.segments, rng, generator)
        return fields, self.sampler.compute.tensor(torch.from_numpy(self.train.labels)[chosen])


def network_of(params: MotionNetParams, classes: int, vit: MotionVitParams | None = None) -> MotionNet:
    """A network of these parameters as it starts: by chance, or from ImageNet weights.

    Raises:
        DataError: ImageNet weights cannot be had.
        ParamsError: the file of ImageNet weights cannot be used.
    """
    checkpoint = None if params.checkpoint is None else Path(params.checkpoint)
    imagenet = None
    if params.pretrained:
        from moclip.motion.imagenet import imagenet_weights  # timm and the hub take a second

        imagenet = imagenet_weights(params.arch, checkpoint)
    return MotionNet(params.arch, classes, params.bound_px, params.encoding, imagenet=imagenet, vit=vit)


def _schedule(params: MotionNetParams) -> Schedule:
    return Schedule(
        params.epochs,
        params.lr,
        params.weight_decay,
        params.select,
        params.optimizer,
        params.eps,
        shape=params.schedule,
        drop_epochs=params.lr_drop_epochs or (),
    )


def _scaled(net: MotionNet, params: MotionNetParams) -> list[ScaledParameters]:
    """Parameters with their share of the learning rate: by part, and of a Transformer by depth too."""
    parts = net.parameter_groups()
    scales = {
        "classifier": params.lr_scale_classifier,
        "stem": params.lr_scale_stem,
        "rest": params.lr_scale_rest,
    }
    if params.train == "classifier":
        return [(parts["classifier"], scales["classifier"])]
    if net.vit is None or net.vit.layer_decay == 1:
        return [(parts[part], scale) for part, scale in scales.items()]
    layers = net.transformer.layers()
    below = [(layer, net.vit.layer_decay ** (len(layers) - depth)) for depth, layer in enumerate(layers)]
    by_part = [("stem", below[0]), *(("rest", one) for one in below[1:])]
    return [
        (parts["classifier"], scales["classifier"]),
        *((layer, scales[part] * decay) for part, (layer, decay) in by_part),
    ]
