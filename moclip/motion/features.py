"""Read features and logits off a motion network, in passes that bound memory.

Axes: n video, s segment, h and w grid rows and columns, d feature, k class.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from moclip.base.progress import Progress
from moclip.base.random import stream
from moclip.data.splits import Split
from moclip.motion.net import MotionNet, features_and_logits
from moclip.motion.sampler import FieldSampler
from moclip.training.loop import Logits
from moclip.training.ranks import ALONE, Ranks

SEED_NAME = "motion"  # of the random streams that belong to this network
CELLS_PER_PASS = 1 << 23  # 167 fields of 224 x 224, for which EfficientNet-B0 holds 2 GB


def evaluation(net: MotionNet, sampler: FieldSampler, part: Split, ranks: Ranks = ALONE) -> Logits:
    """A function that gives logits (n, k) and labels of a part; segment centres never change, so it reads them once.

    Ranks share the passes; each pass has the bytes that it has alone.
    """
    passes = [part.ids[chosen] for chosen in _passes(sampler, part.ids)]
    fields = {number: sampler.read(passes[number], sampler.params.eval_segments) for number in ranks.mine(len(passes))}

    def logits() -> tuple[Tensor, Tensor]:
        found = [torch.empty(len(ids), net.classifier.out_features) for ids in passes]
        for number, own in fields.items():
            found[number] = _described(net, sampler, sampler.whole(passes[number], own))[1]
        ranks.share(found)
        return torch.cat(found), torch.from_numpy(part.labels)

    return logits


def describe_split(
    net: MotionNet, sampler: FieldSampler, train: Sequence[str], held_out: Sequence[str], seed: tuple[int, str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and logits (n, k) of the train part, and after it of those held out.

    Those held out are seen in `eval_crops`. The train part, which nobody evaluates on, is seen whole.
    """
    if sampler.params.eval_crops == 1:
        return describe_videos(net, sampler, [*train, *held_out])
    parts = (describe_videos(net, sampler, train), describe_held_out(net, sampler, held_out, seed))
    features, logits = (np.concatenate(both) for both in zip(*parts, strict=True))
    return features, logits


def describe_held_out(
    net: MotionNet, sampler: FieldSampler, ids: Sequence[str], seed: tuple[int, str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and logits (n, k) of videos that are evaluated on, in `eval_crops`."""
    if sampler.params.eval_crops == 1:
        return describe_videos(net, sampler, ids)
    return describe_crops(net, sampler, ids, seed)


def describe_videos(net: MotionNet, sampler: FieldSampler, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and logits (n, k) of videos in this order, on whole fields, by the frozen network."""
    return _describe(net, sampler, ids, lambda part, fields: iter([sampler.whole(part, fields)]))


def describe_crops(
    net: MotionNet, sampler: FieldSampler, ids: Sequence[str], seed: tuple[int, str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """As `describe_videos`, as means over ten crops. The coin of `mirrored_crops` follows from seed and video alone."""

    def mirrored(video: str) -> bool:
        return sampler.params.mirrored_crops == "both" or bool(stream(*seed, "mirrored_crops", video).integers(2))

    def views(part: Sequence[str], fields: Sequence[Tensor]) -> Iterator[Tensor]:
        return sampler.crops(part, fields, torch.tensor([mirrored(video) for video in part]))

    return _describe(net, sampler, ids, views)


def _describe(
    net: MotionNet,
    sampler: FieldSampler,
    ids: Sequence[str],
    views: Callable[[Sequence[str], Sequence[Tensor]], Iterator[Tensor]],
) -> tuple[np.ndarray, np.ndarray]:
    """Means over the views of each video."""
    net.eval()
    outputs = []
    with Progress(total=len(ids), desc="describe", unit="video", disable=len(ids) == 1) as bar:
        for chosen in _passes(sampler, ids):
            fields = sampler.read(ids[chosen], sampler.params.eval_segments)
            described = zip(*(_described(net, sampler, view) for view in views(ids[chosen], fields)), strict=True)
            outputs.append([torch.stack(of_views).mean(dim=0) for of_views in described])
            bar.update(len(fields))
    features, logits = (torch.cat(parts).numpy() for parts in zip(*outputs, strict=True))
    return features, logits


def _described(net: MotionNet, sampler: FieldSampler, fields: Tensor) -> tuple[Tensor, Tensor]:
    """Features and logits of fields (n, s, 2, h, w), as float32 on the CPU."""
    with sampler.compute.autocast():
        features, logits = features_and_logits(net, fields)
    return features.float().cpu(), logits.float().cpu()


def _passes(sampler: FieldSampler, ids: Sequence[str]) -> Iterator[slice]:
    """Videos that go through the network at once: `batch_videos`, or fewer where their fields are large."""
    params, info = sampler.params, sampler.store.info(ids[0])
    cells = params.eval_segments * (params.input_px**2 if params.input_px else info.gh * info.gw)
    size = min(params.batch_videos, max(1, CELLS_PER_PASS // cells))
    return (slice(start, start + size) for start in range(0, len(ids), size))
