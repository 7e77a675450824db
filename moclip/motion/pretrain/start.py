"""What a motion network learns from vectors before it sees a label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from moclip.base.errors import DataError
from moclip.base.random import make_deterministic
from moclip.data.splits import Split
from moclip.motion.net import MotionNet
from moclip.motion.pretrain import mae, mcl
from moclip.motion.sampler import Draws, FieldSampler
from moclip.params.heads.motion_mae import MotionMaeParams
from moclip.params.heads.motion_mcl import MotionMclParams
from moclip.training.checkpoint import Checkpoint
from moclip.training.history import Epoch
from moclip.training.loop import batch_count, fit


@dataclass(frozen=True)
class Pretraining:
    """How a network is pretrained.

    Attributes:
        params: Of the method, which follows from them.
        videos: Those that labels are learnt from, or `all` of a split, held-out ones too: transductive.
    """

    params: MotionMclParams | MotionMaeParams
    videos: Literal["train", "all"]

    @property
    def method(self) -> Literal["mcl", "mae"]:
        """The method's name."""
        return "mcl" if isinstance(self.params, MotionMclParams) else "mae"

    def facts(self) -> dict[str, Any]:
        """What a file of weights says of it."""
        return {"method": self.method, "videos": self.videos, **self.params.model_dump()}

    def ids(self, split: Split) -> list[str]:
        """The videos that are looked at; never their labels.

        Raises:
            DataError: there are fewer than two, and nothing to be told apart.
        """
        found = split.part("train").ids if self.videos == "train" else split.ids
        if len(found) < 2:
            raise DataError(f"motion_pretrain: {len(found)} videos to learn from; it needs two or more")
        return list(found)


def pretrain(
    net: MotionNet,
    sampler: FieldSampler,
    ids: Sequence[str],
    pretraining: Pretraining,
    seed: Draws,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    checkpoint: Checkpoint | None = None,
) -> list[Epoch]:
    """Train a network in place without labels, and leave it in evaluation mode.

    Args:
        net: On the device; its classifier stays as it is.
        sampler: Fields of the videos, with the parameters of the network and the device.
        ids: The videos.
        pretraining: The method with its parameters.
        seed: Of weights beside the network, order, clips, crops and masks.
        on_epoch: As for `moclip.training.loop.fit`.
        checkpoint: As for `moclip.training.loop.fit`.

    Raises:
        ParamsError: method and network do not go together.
        DataError: fields do not fit the network, or as `moclip.training.loop.fit`.
    """
    own: Draws = (*seed, "pretraining", pretraining.method)
    make_deterministic(*own, mode=sampler.compute.deterministic)
    params = pretraining.params
    if isinstance(params, MotionMclParams):
        contrastive = mcl.Mcl(net, params)
        model: nn.Module = contrastive
        batches: Any = mcl.MclBatches(sampler, ids, params, own)
        schedule, loss, after_step = mcl.schedule(params), mcl.loss, contrastive.after_step
    else:
        model = mae.Mae(net, params)
        batches = mae.MaeBatches(net, sampler, ids, params, own)
        schedule, loss, after_step = mae.schedule(params), mae.loss, _nothing
    model = sampler.compute.place(model)
    history = fit(
        model,
        batches,
        batch_count(len(ids), params.batch_videos),
        schedule,
        loss=loss,
        after_step=after_step,
        parameters=[(_trained(model, net), 1.0)],
        on_epoch=on_epoch,
        compute=sampler.compute,
        checkpoint=checkpoint,
        title=f"pretrain ({pretraining.method}) split {seed[-1]}",
    )
    net.eval()
    return history


def _nothing() -> None:
    """Without bounds or averages, a step leaves nothing to do."""


def _trained(model: nn.Module, net: MotionNet) -> list[nn.Parameter]:
    """All that learns; the classifier waits for labels."""
    waiting = {id(parameter) for parameter in net.classifier.parameters()}
    return [one for one in model.parameters() if one.requires_grad and id(one) not in waiting]
