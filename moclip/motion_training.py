"""Train the motion network on a store of grids, and read features and logits off it.

Axes: n video, s segment, h and w grid rows and columns, d feature, k class.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moclip.errors import DataError
from moclip.history import Epoch
from moclip.models.motion import MotionNet, features_and_logits
from moclip.motion import MotionGrid, field_at
from moclip.motion_store import MotionStore
from moclip.progress import Progress
from moclip.sampling import segment_points
from moclip.schema.motion import MotionParams
from moclip.schema.training import MotionNetParams
from moclip.seeds import make_deterministic, stream, torch_stream
from moclip.training import Batch, Schedule, batch_count, fit, shuffled
from moclip.transforms import augment, resize


@dataclass(frozen=True)
class FieldSampler:
    """Fields of videos at the frames that the segment rule picks, accumulated on the fly."""

    store: MotionStore
    motion: MotionParams
    input_px: int | None

    def __call__(self, ids: Sequence[str], segments: int, rng: np.random.Generator | None = None) -> Tensor:
        """Fields in pixels, (n, s, 2, h, w); random frames with a generator, centres without.

        Raises:
            DataError: the videos differ in grid size, and no common size was asked for.
        """
        fields = [self._fields(video, segments, rng) for video in ids]
        for video, field in zip(ids, fields, strict=True):
            if field.shape != fields[0].shape:
                raise DataError(
                    f"{video} has a grid of {tuple(field.shape[2:])}, {ids[0]} one of "
                    f"{tuple(fields[0].shape[2:])}; set motion_net.input_px to bring them to one size"
                )
        return torch.stack(fields)

    def _fields(self, video: str, segments: int, rng: np.random.Generator | None) -> Tensor:
        return video_fields(self.store.clip(video), self.motion, self.input_px, segments, rng)


def video_fields(
    grid: MotionGrid, motion: MotionParams, input_px: int | None, segments: int, rng: np.random.Generator | None = None
) -> Tensor:
    """What the network sees of one video: fields in pixels, (s, 2, h, w), drawn as `FieldSampler` says."""
    points = segment_points(len(grid.mv), segments, rng)
    fields = field_at(grid, points, motion.accumulate, motion.window_frames or 1)
    return resize(torch.from_numpy(fields), input_px)


@dataclass(frozen=True)
class Labelled:
    """Videos with their class indices, in one order."""

    ids: list[str]
    labels: list[int]


def train_motion_net(
    sampler: FieldSampler,
    train: Labelled,
    val: Labelled,
    classes: int,
    params: MotionNetParams,
    seed: tuple[int, str, int],
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[MotionNet, list[Epoch]]:
    """Train with random frames and augmentation; validate on segment centres.

    Raises:
        DataError: the train part is empty, or as `moclip.training.fit`.
    """
    if not train.ids:
        raise DataError("the train part of this split has no video; nothing can be trained")
    make_deterministic(*seed)
    net = MotionNet(params.arch, classes, params.bound_px, pretrained=params.pretrained)
    labels = torch.tensor(train.labels)

    def batches(epoch: int) -> Iterator[Batch]:
        rng, generator = stream(*seed, epoch), torch_stream(*seed, epoch)
        for chosen in shuffled(len(train.ids), params.batch_videos, generator):
            fields = sampler([train.ids[i] for i in chosen], params.segments, rng)
            yield augment(fields, generator), labels[chosen]

    # Centres never change, so they are read once.
    val_fields = sampler(val.ids, params.eval_segments) if val.ids else None

    def validate() -> Batch:
        assert val_fields is not None
        logits = [net(part) for part in val_fields.split(params.batch_videos)]
        return torch.cat(logits), torch.tensor(val.labels)

    history = fit(
        net,
        batches,
        batch_count(len(train.ids), params.batch_videos),
        validate if val.ids else None,
        Schedule(params.epochs, params.lr, params.weight_decay, params.select),
        on_epoch,
    )
    return net, history


def describe_videos(
    net: MotionNet, sampler: FieldSampler, ids: Sequence[str], params: MotionNetParams
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and logits (n, k) of videos in this order, by the frozen network."""
    net.eval()
    outputs = []
    with Progress(total=len(ids), desc="describe", unit="video") as bar:
        for start in range(0, len(ids), params.batch_videos):
            some = ids[start : start + params.batch_videos]
            outputs.append(features_and_logits(net, sampler(some, params.eval_segments)))
            bar.update(len(some))
    features, logits = (torch.cat(parts).numpy() for parts in zip(*outputs, strict=True))
    return features, logits
