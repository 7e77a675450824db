"""Motion features that differ from epoch to epoch while fusion trains: cached views, or the network itself in the loop.

Axes: n video of the train part, m video of a batch, v view, d feature.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from moclip.base.files import fingerprint, sha256_bytes, sha256_file
from moclip.base.random import stream, torch_stream
from moclip.base.work import Work, alone_in, finish
from moclip.data.splits import PARTS
from moclip.heads.fitted import Resources, Seed, Videos
from moclip.heads.mlp import Head, concatenate
from moclip.heads.motion_only import load
from moclip.heads.train import Examples, Mlp, OnEpoch, Source, fit_mlp
from moclip.motion.features import SEED_NAME, describe_held_out
from moclip.motion.net import MotionNet
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.params.heads.fusion import HeadParams
from moclip.store.features import Features, read_features, write_features
from moclip.training.checkpoint import Checkpoint, checkpoint_in
from moclip.training.device import Compute
from moclip.training.frozen import Frozen
from moclip.training.weights import WEIGHTS, save_model


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


class ViewSource(Source):
    """Cached inputs whose motion features, in each epoch, are those of one view of each video, drawn at random."""

    def __init__(self, parts: Mapping[str, Examples], views: Tensor, seed: Seed) -> None:
        super().__init__(parts)
        self.views, self.seed = views, seed

    def of_epoch(self, epoch: int, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Inputs (m, d) of each batch."""
        count, videos = self.views.shape[:2]
        drawn = torch.randint(count, (videos,), generator=torch_stream(*self.seed, "drawn view", epoch))
        for chosen in batches:
            yield with_motion(self.parts["train"], chosen, self.views[drawn[chosen], chosen])


class OnlineSource(Source):
    """Cached inputs whose motion features the network computes anew for every batch, as the paper's code does.

    With `drift` the network goes into training mode with the head, as in the paper's code: no parameter has a
    gradient, but the running statistics of its batch norms follow the batches, and the held-out parts are seen with
    these. The statistics are part of the model that `moclip.training.loop.fit` keeps and selects. Without `drift` the
    network stays as it is, and so do the features of the held-out parts.
    """

    def __init__(
        self,
        parts: Mapping[str, Examples],
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
        """Inputs (n, d) of a part that is not trained on, by the network as it is now."""
        cached = self.parts[part]
        if not self.drift or not cached.ids:
            return cached.inputs
        return with_motion(cached, torch.arange(len(cached.ids)), self.motion(part))

    def motion(self, part: str) -> Tensor:
        """Motion features (n, d) of a held-out part by the network as it is now, in the cached ones' crops."""
        ids = self.parts[part].ids
        if not ids:
            return torch.zeros(0, self.parts["train"].widths["motion"])
        features, _ = describe_held_out(self.net, self.sampler, ids, (self.seed[0], SEED_NAME, self.seed[2]))
        return torch.from_numpy(features)

    def model(self, head: Head) -> nn.Module:
        """The head with the network beside it, so that both change mode, are kept and are restored together."""
        return _Beside(head, self.net if self.drift else Frozen(self.net))


@dataclass
class Drifted(Mlp):
    """An MLP whose motion network drifted in its batch norms: it sees held-out motion by the drifted network."""

    source: OnlineSource

    def sees(self, videos: Videos) -> Videos:
        """Held-out videos with the drifted network's features; the train part keeps those that it was handed."""
        cached = videos.streams["motion"]
        parts = {part: videos.split.part(part).ids for part in PARTS}
        values = [cached.of(parts["train"]), *(self.source.motion(part).numpy() for part in ("val", "test"))]
        ids = np.array([video for own in parts.values() for video in own])
        motion = Features("motion features of the drifted network", ids, np.concatenate(values))
        return replace(videos, streams={**videos.streams, "motion": motion})

    def save(self, directory: Path) -> None:
        """Write the head, and the network that it was selected and tested with."""
        super().save(directory)
        save_model(directory / "motion", self.source.net, self.source.net.config())


def fit_augmented(
    examples: Mapping[str, Examples],
    classes: int,
    params: HeadParams,
    seed: Seed,
    on_epoch: OnEpoch,
    resources: Resources,
) -> Mlp:
    """Train on cached views of the motion features (`params.views`), or with the network in the loop (`params.online`).

    Views stay in the work directory, so that another head finds them; so does the state of a training with the network
    in the loop, which may take hours.
    """
    fields, network, sections = resources.fields, resources.network, resources.sections
    assert fields is not None, "views are of the motion network and its fields"
    assert network is not None, "views are of the motion network and its fields"
    store = MotionStore.open(fields)
    sampler = FieldSampler(store, sections["motion"], sections["motion_net"], Compute.of(sections["compute"]))
    net = sampler.compute.place(load(network).net)
    settings = (sampler.motion.model_dump(), sampler.params.model_dump(), sampler.compute.key)
    made_by = fingerprint(sha256_file(network / WEIGHTS), store.digest, settings, resources.code)
    if not params.online:
        ids = examples["train"].ids
        work = resources.work / f"views-{fingerprint(made_by, ids, seed)}"
        views = view_features(net, sampler, ids, seed, views=params.views, work=work)
        return fit_mlp(ViewSource(examples, views, seed), classes, params, seed, on_epoch)
    inputs = {part: (own.ids, sha256_bytes(own.inputs.numpy())) for part, own in examples.items()}
    work = resources.work / f"online-{fingerprint(made_by, inputs, classes, params.model_dump(), seed)}"
    checkpoint = resources.kept.enter_context(checkpoint_in(work))
    return fit_online(examples, classes, params, seed, on_epoch, net, sampler, checkpoint)


def fit_online(
    examples: Mapping[str, Examples],
    classes: int,
    params: HeadParams,
    seed: Seed,
    on_epoch: OnEpoch,
    net: MotionNet,
    sampler: FieldSampler,
    checkpoint: Checkpoint | None = None,
) -> Mlp:
    """Train with the motion network in the loop; with `backbone_statistics: drift` its batch norms follow."""
    drift = params.backbone_statistics == "drift"
    source = OnlineSource(examples, net, sampler, seed, drift=drift)
    trained = fit_mlp(source, classes, params, seed, on_epoch, checkpoint)
    if not drift:
        return trained
    drifted = Drifted(trained.head, source)
    drifted.history = trained.history
    return drifted


class _Beside(nn.Module):
    """The head's own output; the network is here for its mode and its state."""

    def __init__(self, head: Head, network: nn.Module) -> None:
        super().__init__()
        self.head, self.network = head, network

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits


def with_motion(part: Examples, chosen: Tensor, motion: Tensor) -> Tensor:
    """Cached inputs (m, d) of the chosen videos of a part, with other motion features (m, d_motion)."""
    streams = part.inputs[chosen].split(list(part.widths.values()), dim=1)
    return concatenate(list({**dict(zip(part.widths, streams, strict=True)), "motion": motion}.values()))
