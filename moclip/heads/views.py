"""Motion features that differ from epoch to epoch while fusion trains: cached views, or the network itself in the loop.

Axes: n video of the train part, m video of a batch, v view, d feature.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from moclip.base.random import stream, torch_stream
from moclip.base.work import Work, alone_in, finish
from moclip.heads.mlp import Head, concatenate
from moclip.heads.train import Inputs, Part
from moclip.motion.features import SEED_NAME, describe_held_out
from moclip.motion.net import MotionNet
from moclip.motion.sampler import FieldSampler
from moclip.store.features import read_features, write_features
from moclip.training.frozen import Frozen

Seed = tuple[int, str, int]


def augmented_features(
    net: MotionNet,
    sampler: FieldSampler,
    batches: Sequence[Sequence[str]],
    seed: tuple[int | str, ...],
) -> Iterator[Tensor]:
    """Features (m, d) of each batch of videos on random frames, crops and mirrors, as the motion network trains on.

    The draws follow from `seed` and the order of the batches. The network computes in the mode that it is in: in
    training mode its batch statistics move with every batch.
    """
    rng, generator = stream(*seed), torch_stream(*seed)  # type: ignore[arg-type]
    for ids in batches:
        fields = sampler.augmented(ids, sampler.params.segments, rng, generator)
        with torch.no_grad(), sampler.compute.autocast():
            features = net.features(fields).float().cpu()
        yield features  # out of the block: within it, who takes them could compute no gradients either


def view_features(
    net: MotionNet,
    sampler: FieldSampler,
    ids: Sequence[str],
    seed: Seed,
    *,
    views: int,
    work: Path,
) -> Tensor:
    """Features (v, n, d) of augmented views of videos by the frozen network.

    A finished view stays in `work`, which belongs to this network, these videos and this seed alone, and is not
    computed again: not after a kill, and not for another head.
    """
    net.eval()
    size = sampler.params.batch_videos
    batches = [ids[start : start + size] for start in range(0, len(ids), size)]

    def compute(number: int, file: Path) -> None:
        parts = augmented_features(net, sampler, batches, (*seed, "view", number))
        write_features(file, ids, torch.cat(list(parts)).numpy())

    with alone_in(work, "computes the same") as shelf:
        done = finish(range(views), "view-{:03d}.npz".format, compute, shelf, Work("views", "view"))
    return torch.from_numpy(np.stack([read_features(file).of(ids) for file in done.files]))


class ViewInputs(Inputs):
    """Cached inputs whose motion features, in each epoch, are those of one view of each video, drawn at random."""

    def __init__(self, parts: Mapping[str, Part], views: Tensor, seed: Seed) -> None:
        super().__init__(parts)
        self.views, self.seed = views, seed

    def of_epoch(self, epoch: int, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Inputs (m, d) of each batch."""
        count, videos = self.views.shape[:2]
        drawn = torch.randint(count, (videos,), generator=torch_stream(*self.seed, "drawn view", epoch))
        for chosen in batches:
            yield with_motion(self.parts["train"], chosen, self.views[drawn[chosen], chosen])


class OnlineInputs(Inputs):
    """Cached inputs whose motion features the network computes anew for every batch, as the paper's code does.

    With `drift` the network goes into training mode with the head, as in the paper's code: no parameter has a
    gradient, but the running statistics of its batch norms follow the batches, and the held-out parts are seen with
    these. The statistics are part of the model that `moclip.training.loop.fit` keeps and selects. Without `drift` the
    network stays as it is, and so do the features of the held-out parts.
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        net: MotionNet,
        sampler: FieldSampler,
        seed: Seed,
        *,
        drift: bool,
    ) -> None:
        super().__init__(parts)
        self.net, self.sampler, self.seed, self.drift = net, sampler, seed, drift
        net.eval().requires_grad_(False)

    def of_epoch(self, epoch: int, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Inputs (m, d) of each batch."""
        train = self.parts["train"]
        ids = [[train.ids[i] for i in chosen] for chosen in batches]
        motion = augmented_features(self.net, self.sampler, ids, (*self.seed, "online", epoch))
        for chosen, features in zip(batches, motion, strict=True):
            yield with_motion(train, chosen, features)

    def held_out(self, part: str) -> Tensor:
        """Inputs (n, d) of a part that is not trained on, by the network as it is now, in the cached ones' crops."""
        cached = self.parts[part]
        if not self.drift or not cached.ids:
            return cached.inputs
        seed = (self.seed[0], SEED_NAME, self.seed[2])
        features, _ = describe_held_out(self.net, self.sampler, cached.ids, seed)
        return with_motion(cached, torch.arange(len(cached.ids)), torch.from_numpy(features))

    def model(self, head: Head) -> nn.Module:
        """The head with the network beside it, so that both change mode, are kept and are restored together."""
        return _Beside(head, self.net if self.drift else Frozen(self.net))


class _Beside(nn.Module):
    """The head's own output; the network is here for its mode and its state."""

    def __init__(self, head: Head, network: nn.Module) -> None:
        super().__init__()
        self.head, self.network = head, network

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits


def with_motion(part: Part, chosen: Tensor, motion: Tensor) -> Tensor:
    """Cached inputs (m, d) of the chosen videos of a part, with other motion features (m, d_motion)."""
    streams = part.inputs[chosen].split(list(part.widths.values()), dim=1)
    return concatenate(list({**dict(zip(part.widths, streams, strict=True)), "motion": motion}.values()))
