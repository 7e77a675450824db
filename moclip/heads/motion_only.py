"""The head `motion_only`: the motion network with its own classifier, and what other heads take of it.

The heads `motion_mcl`, `motion_vit` and `motion_mae` are the same of networks of their own, see `Network`.

Axes: n video, d feature, k class.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moclip.base.errors import ParamsError, StoreError
from moclip.base.random import make_deterministic
from moclip.data.splits import PARTS, Split
from moclip.heads.fitted import Cost, Fitted, Seed
from moclip.heads.train import OnEpoch, ignore
from moclip.motion.features import describe_split
from moclip.motion.net import MotionNet, load_motion_net
from moclip.motion.pretrain.start import Pretraining, pretrain
from moclip.motion.sampler import FieldSampler
from moclip.motion.train import network_of, train_motion_net
from moclip.params.heads.motion_vit import MotionVitParams
from moclip.params.motion_net import MotionInput
from moclip.params.section import validated
from moclip.store.features import Features
from moclip.training.checkpoint import Checkpoint
from moclip.training.flops import multiply_adds, trainable_parameters
from moclip.training.history import Epoch
from moclip.training.ranks import ALONE, Ranks
from moclip.training.weights import load_model, save_model


@dataclass
class MotionOnly(Fitted):
    """The frozen motion network, and how a video becomes what it takes.

    Attributes:
        net: In evaluation mode.
        made_for: Fields, seed and split that it was trained with.
        field: Rows and columns of the field of most videos; None where that is not known, as of a loaded network.
        learnt: How it was pretrained, as plain values; None where it was not.
    """

    net: MotionNet
    made_for: MotionInput
    field: tuple[int, int] | None = None
    learnt: Mapping[str, Any] | None = None
    streams = ("motion",)

    @torch.inference_mode()
    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of the network's own features (n, d)."""
        logits: np.ndarray = self.net.classifier(torch.from_numpy(inputs["motion"])).numpy()
        return logits

    def save(self, directory: Path) -> None:
        """Write weights and configuration, and what they were made for."""
        learnt = {} if self.learnt is None else {"learnt": dict(self.learnt)}
        save_model(directory, self.net, {**self.net.config(), "input": self.made_for.saved(), **learnt})

    def cost(self) -> Cost:
        """The whole network on all fields of a video."""
        return Cost(trainable_parameters(self.net), self.inputs * self.input_macs())

    @property
    def inputs(self) -> int:
        """How many inputs of a video the network takes: fields, or of a Transformer all fields at once; by crops."""
        own = self.made_for.motion_net
        return own.eval_crops * (1 if self.net.vit else own.eval_segments)

    def input_macs(self) -> int:
        """Multiply-adds of one input, counted on a copy without weights."""
        assert self.field is not None, "only a network that was just trained knows its videos"
        return motion_macs(self.net.arch, self.net.classifier.out_features, self.field, self.net.vit)


def motion_macs(arch: str, classes: int, field: tuple[int, int], vit: MotionVitParams | None = None) -> int:
    """Multiply-adds of a motion network on a field of (rows, columns); of a Transformer on all fields of a video."""
    with torch.device("meta"):
        net = MotionNet(arch, classes, bound_px=1.0, vit=vit).eval()
        return multiply_adds(lambda: net(torch.empty(1, vit.segments if vit else 1, 2, *field)))


@dataclass(frozen=True)
class Network:
    """What a network is beside the parameters of its training.

    Attributes:
        vit: Shape of a Transformer; None where it is none.
        pretraining: What comes before labels; None where nothing does.
    """

    vit: MotionVitParams | None = None
    pretraining: Pretraining | None = None


PLAIN = Network()


def learn_without_labels(
    sampler: FieldSampler, split: Split, network: Network, seed: Seed, checkpoint: Checkpoint | None = None
) -> tuple[dict[str, Tensor], list[Epoch]]:
    """What a pretraining gives, weights on the CPU by name, and its epochs.

    Args:
        sampler: As for `fit`.
        split: The videos; their labels are not looked at.
        network: With a pretraining.
        seed: As for `fit`.
        checkpoint: As for `moclip.training.loop.fit`.

    Raises:
        ParamsError: method and network do not go together.
        DataError: as `moclip.motion.pretrain.start.pretrain`, or ImageNet weights cannot be had.
    """
    assert network.pretraining is not None
    make_deterministic(*seed, mode=sampler.compute.deterministic)
    net = sampler.compute.place(network_of(sampler.params, len(split.classes), network.vit))
    ids = network.pretraining.ids(split)
    history = pretrain(net, sampler, ids, network.pretraining, seed, checkpoint=checkpoint)
    return {name: value.detach().cpu() for name, value in net.learnt().items()}, history


def fit(
    sampler: FieldSampler,
    split: Split,
    seed: Seed,
    on_epoch: OnEpoch = ignore,
    checkpoint: Checkpoint | None = None,
    *,
    network: Network = PLAIN,
    learnt: Mapping[str, Tensor] | None = None,
    ranks: Ranks = ALONE,
) -> MotionOnly:
    """Train the network on a split.

    Args:
        sampler: Fields of the videos, with the parameters of network and training and the device.
        split: The videos.
        seed: The one seed, `moclip.motion.features.SEED_NAME`, and the split's number.
        on_epoch: As for `moclip.training.loop.fit`.
        checkpoint: As for `moclip.training.loop.fit`.
        network: What it is, and what came before.
        learnt: What `learn_without_labels` gave, where the network has a pretraining.
        ranks: As for `moclip.motion.train.train_motion_net`.

    Raises:
        DataError: the train part is empty, or as `moclip.training.loop.fit`.
        StoreError: what was learnt is of another network.
    """
    assert (learnt is None) == (network.pretraining is None), "a pretraining is done before, and taken up here"
    train, val, test = (split.part(part) for part in PARTS)
    net, history = train_motion_net(
        sampler,
        train,
        val,
        seed,
        on_epoch,
        test=test,
        checkpoint=checkpoint,
        vit=network.vit,
        learnt=learnt,
        ranks=ranks,
    )
    made_for = MotionInput(motion=sampler.motion, motion_net=sampler.params, seed=seed[0], split=seed[2])
    facts = network.pretraining.facts() if network.pretraining else None
    fitted = MotionOnly(net, made_for, _most_frequent_field(sampler, split.ids), facts)
    fitted.history = history
    return fitted


def describe(fitted: MotionOnly, sampler: FieldSampler, split: Split, seed: Seed) -> tuple[Features, Features]:
    """Features (n, d) and logits (n, k) of all videos of the split: train, val and test, one after the other."""
    train, val, test = (split.part(part).ids for part in PARTS)
    features, logits = describe_split(fitted.net, sampler, train, [*val, *test], seed)
    every = np.array([*train, *val, *test])
    return Features("motion features", every, features), Features("motion logits", every, logits)


def load(directory: Path) -> MotionOnly:
    """Read what `MotionOnly.save` wrote.

    Raises:
        StoreError: a file is missing or torn, or the network was saved when its input was described in another way.
    """
    config, state = load_model(directory)
    made_for, learnt = config.pop("input", None), config.pop("learnt", None)
    if made_for is None:
        raise StoreError(f"{directory}: does not say how its input was made; train it again")
    try:
        made_for = validated("input", MotionInput, made_for)
    except ParamsError as error:
        reason = f"{directory}: describes its input as another version of moclip did ({error}); train it again"
        raise StoreError(reason) from error
    return MotionOnly(load_motion_net(config, state), made_for, learnt=learnt)


def _most_frequent_field(sampler: FieldSampler, ids: Sequence[str]) -> tuple[int, int]:
    if sampler.params.input_px is not None:
        return sampler.params.input_px, sampler.params.input_px
    infos = (sampler.store.info(video) for video in ids)
    (field, _), *_ = Counter((info.gh, info.gw) for info in infos).most_common(1)
    return field
