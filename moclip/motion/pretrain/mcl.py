"""Contrastive pretraining of a motion network on clips and crops chosen by motion (after MCL).

Axes: n video, s field, c component, h and w cells, d feature, r key of the queue, v dimension of an embedding.

A query is told from clips of other videos (inter) and from the other half of its own video (intra); whether it comes
before or after that half is asked (order); and its likeness to its own key is to hang on what moves (alignment).

Source: MCL (arXiv 2201.04029) and its code.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.random import stream, torch_stream
from moclip.motion.maps import boundary_energy, moving_box
from moclip.motion.net import MotionNet
from moclip.motion.pretrain.align import alignment_loss, attention_of, motion_target
from moclip.motion.pretrain.clips import draw_clips, draw_crop, frames_of
from moclip.motion.sampler import Draws, FieldSampler
from moclip.motion.transforms import crop
from moclip.params.heads.motion_mcl import MotionMclParams
from moclip.training.frozen import Frozen
from moclip.training.loop import Batch, Schedule, shuffled
from moclip.video.crop import Box

EMBEDDING = 128
KEYS = 3  # of a query: its own clip once more, and two of the other half
TASKS = ("inter", "intra", "order")
ALIGN_WARMUP = 2.0  # the alignment loss counts so much more while the learning rate warms up
SGD_MOMENTUM = 0.9


class Projected(nn.Module):
    """A motion network and, for each task, a projection of its features to unit vectors."""

    def __init__(self, net: MotionNet) -> None:
        super().__init__()
        self.net = net
        width = net.classifier.in_features
        self.heads = nn.ModuleDict(
            {task: nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, EMBEDDING)) for task in TASKS}
        )

    def forward(self, fields: Tensor) -> dict[str, Tensor]:
        """Embeddings (n, v) by task of fields (n, s, c, h, w)."""
        return self.project(self.net.features(fields))

    def project(self, features: Tensor) -> dict[str, Tensor]:
        """The same of features (n, d)."""
        return {task: functional.normalize(head(features).float(), dim=1) for task, head in self.heads.items()}


class Mcl(nn.Module):
    """The query's network, a slow copy of it for keys, and keys of earlier videos, first in, first out.

    The copy follows the weights by a moving average and takes over the batch statistics. It computes in evaluation
    mode: statistics of a common batch would give the right answer away.
    """

    queue: Tensor
    place: Tensor

    def __init__(self, net: MotionNet, params: MotionMclParams) -> None:
        super().__init__()
        self.params = params
        self.query = Projected(net)
        self.keys = Frozen(copy.deepcopy(self.query))
        self.compare = nn.Linear(KEYS * EMBEDDING, 2)
        self.register_buffer("queue", functional.normalize(torch.randn(params.queue, EMBEDDING), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))
        self.waiting: Tensor | None = None

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Each task's mean loss of a batch: fields of queries and of their three keys, epoch and order (n,)."""
        query_fields, *key_fields, epochs, order = batch
        maps = self.query.net.before_norm(query_fields)
        query = self.query.project(self.query.net.pooled(maps))
        keys = self._keys(key_fields)
        self.waiting = keys["inter"][0]
        heat, epoch = self.params.temperature, float(epochs[0])
        found = {"inter": inter_loss(query["inter"], keys["inter"], self.queue, heat)}
        if self.params.intra:
            found["intra"] = intra_loss(query["intra"], keys["intra"], heat)
        if self.params.order:
            joined = torch.cat([query["order"], keys["order"][1], keys["order"][2]], dim=1)
            found["order"] = epoch / self.params.epochs * functional.cross_entropy(self.compare(joined), order)
        if self.params.align:
            attention = attention_of((query["inter"] * keys["inter"][0]).sum(dim=1), maps).float()
            target = motion_target(self.query.net.scaled(query_fields), maps.shape[1], *maps.shape[3:])
            weight = self.params.align * (ALIGN_WARMUP if epoch < self.params.warmup_epochs else 1.0)
            found["align"] = weight * alignment_loss(attention, target)
        return found

    @torch.no_grad()
    def _keys(self, fields: Sequence[Tensor]) -> dict[str, Tensor]:
        """Embeddings (3, n, v) by task."""
        found: Mapping[str, Tensor] = self.keys.backbone(torch.cat(list(fields)))
        return {task: values.unflatten(0, (len(fields), -1)) for task, values in found.items()}

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the slow copy follow, and the keys of this step take the place of the oldest."""
        for own, new in zip(self.keys.parameters(), self.query.parameters(), strict=True):
            own.lerp_(new, 1 - self.params.momentum)
        for statistic, current in zip(self.keys.buffers(), self.query.buffers(), strict=True):
            statistic.copy_(current)
        if self.waiting is not None:
            self.enqueue(self.waiting)
            self.waiting = None

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Put keys (n, v) in the place of the oldest; of more than the queue holds, the last ones stay."""
        size = len(self.queue)
        places = (self.place + torch.arange(len(keys), device=keys.device))[-size:] % size
        self.queue[places] = keys[-size:]
        self.place.copy_((self.place + len(keys)) % size)


def inter_loss(query: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Each key (m, n, v) told from those of the queue (r, v) by the query (n, v): mean cross entropy."""
    others = query @ queue.T
    rows = [torch.cat([(query * key).sum(dim=1, keepdim=True), others], dim=1) for key in keys]
    return _first_of(torch.cat(rows), temperature)


def intra_loss(query: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """The query's own key told from each of the two from the other half of its video: mean cross entropy."""
    own, *others = ((query * key).sum(dim=1) for key in keys)
    return _first_of(torch.cat([torch.stack([own, other], dim=1) for other in others]), temperature)


def _first_of(likeness: Tensor, temperature: float) -> Tensor:
    right = torch.zeros(len(likeness), dtype=torch.long, device=likeness.device)
    return functional.cross_entropy(likeness / temperature, right)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Sum of the tasks' losses."""
    assert isinstance(model, Mcl)
    return torch.stack(list(model.losses(batch).values())).sum()


def schedule(params: MotionMclParams) -> Schedule:
    """Warm-up, then half a cosine."""
    return Schedule(
        params.epochs,
        params.lr,
        params.weight_decay,
        optimizer=params.optimizer,
        betas=(SGD_MOMENTUM, 0.999),
        shape="cosine",
        warmup_epochs=params.warmup_epochs,
    )


@dataclass(frozen=True)
class Drawn:
    """What is drawn of one video: frames of the three clips end to end, a box for each of four crops, the order."""

    frames: np.ndarray
    boxes: list[Box]
    is_first: bool


class MclBatches:
    """Queries and keys of videos: which clips, and which crops of them, follows from the motion alone.

    Args:
        sampler: Fields of the videos.
        ids: The videos.
        params: Of the pretraining.
        seed: Of all draws.
    """

    def __init__(self, sampler: FieldSampler, ids: Sequence[str], params: MotionMclParams, seed: Draws) -> None:
        self.sampler, self.ids, self.params, self.seed = sampler, list(ids), params, seed
        self.span = (params.fields - 1) * params.stride + 1
        self.energy = {video: boundary_energy(sampler.store.clip(video)) for video in self.ids}

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Batches of an epoch: fields of queries and of three keys (n, s, c, h, w) each, epoch and order (n,)."""
        rng, generator = stream(*self.seed, "clips", epoch), torch_stream(*self.seed, "order", epoch)
        for chosen in shuffled(len(self.ids), self.params.batch_videos, generator):
            yield self._batch([self.ids[place] for place in chosen.tolist()], epoch, rng)

    def _batch(self, ids: Sequence[str], epoch: int, rng: np.random.Generator) -> Batch:
        drawn = [self.draw(video, rng) for video in ids]
        read = [self.sampler.at(video, one.frames) for video, one in zip(ids, drawn, strict=True)]
        query, *others = self.sampler.whole(ids, read).split(self.params.fields, dim=1)
        boxes = torch.tensor([[(b.left, b.top, b.right, b.bottom) for b in one.boxes] for one in drawn])
        mirrored = torch.from_numpy(rng.integers(2, size=(len(ids), KEYS + 1)).astype(bool))
        seen = [
            crop(fields, boxes[:, view], mirrored[:, view], self.sampler.turn)
            for view, fields in enumerate([query, query, *others])
        ]
        tensor = self.sampler.compute.tensor
        order = torch.tensor([int(one.is_first) for one in drawn])
        return (*seen, tensor(torch.full((len(ids),), float(epoch))), tensor(order))

    def draw(self, video: str, rng: np.random.Generator) -> Drawn:
        """Clips and crops of one video."""
        grid, energy, own = self.sampler.store.clip(video), self.energy[video], self.params
        clips = draw_clips(energy, self.span, own.motion_share, own.motion_top, rng)
        starts = (clips.query, *clips.others)
        frames = [frames_of(start, own.fields, own.stride, len(energy)) for start in starts]
        about: list[Box | None] = [None] * KEYS
        if own.crop == "motion":
            about = [moving_box(grid, int(of_clip[len(of_clip) // 2])) for of_clip in frames]
        boxes = [draw_crop(box, rng) for box in (about[0], *about)]
        return Drawn(np.concatenate(frames), boxes, clips.is_first)
