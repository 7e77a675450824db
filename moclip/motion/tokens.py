"""What the motion network knows of each of a video's frames, place by place, in a store of blocks.

Axes: n video, t frame, m places a side, d feature.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from moclip.base.errors import ParamsError
from moclip.base.work import Work, alone_in, finish
from moclip.motion.net import MotionNet
from moclip.motion.sampler import FieldSampler
from moclip.store.blocks import block_name, join, parts, write_block

TOKENS = "motion"
VIDEOS_AT_ONCE = 16


def cache_motion_tokens(
    net: MotionNet,
    sampler: FieldSampler,
    ids: Sequence[str],
    frames: int,
    side: int,
    work: Path,
    out: Path,
    provenance: Mapping[str, Any],
) -> None:
    """Write a store with the array `motion`, float16 (t, m, m, d) of each video.

    Args:
        net: The frozen network.
        sampler: Fields of the videos.
        ids: The videos, in the order of the store.
        frames: How many of a video, the centres of as many segments.
        side: Places a side, at most those of the network's last map.
        work: Directory for finished blocks; it belongs to this network and these arguments alone.
        out: The store.
        provenance: JSON-able facts for the store.

    Raises:
        ParamsError: as `motion_tokens`.
    """

    def make(number: int, block: Path) -> None:
        own = [ids[place] for place in blocks[number]]
        rows: list[np.ndarray] = []
        for start in range(0, len(own), VIDEOS_AT_ONCE):
            rows += list(motion_tokens(net, sampler, own[start : start + VIDEOS_AT_ONCE], frames, side))
        write_block(block, own, {TOKENS: rows})

    blocks = parts(len(ids))
    progress = Work("motion tokens", "video", size=lambda number: len(blocks[number]))
    with alone_in(work, "describes the same") as shelf:
        finished = finish(range(len(blocks)), block_name, make, shelf, progress)
        join(out, finished.files, provenance)


@torch.inference_mode()
def motion_tokens(net: MotionNet, sampler: FieldSampler, ids: Sequence[str], frames: int, side: int) -> np.ndarray:
    """Tokens of some videos, float16 (n, t, m, m, d); with one place, their mean over frames is the video's feature.

    Raises:
        ParamsError: the network's map is smaller than `side`, or the network has none of each frame.
    """
    if net.arch == "vit":
        raise ParamsError(
            "motion_net.arch: vit has no map of each frame, for its tokens see all frames at once; heads that read "
            "tokens of motion need another arch, or inputs: clip"
        )
    fields = sampler(ids, frames)
    with sampler.compute.autocast():
        maps = net.eval().maps(fields)
    n, t, _, height, width = maps.shape
    if side > min(height, width):
        raise ParamsError(
            f"tokens.motion_grid: {side} x {side} places, but the motion network's map has {height} x {width}; "
            "take fewer"
        )
    pooled = functional.adaptive_avg_pool2d(maps.flatten(0, 1).float(), side).permute(0, 2, 3, 1)
    return pooled.unflatten(0, (n, t)).half().cpu().numpy()
