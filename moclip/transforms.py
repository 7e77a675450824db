"""Augmentation of motion fields: random scale and crop, mirror. The only copy of these.

Axes: n video, s segment, c component (dx, dy), h and w grid rows and columns.
"""

import torch
from torch import Tensor
from torch.nn import functional

CROP_SCALES = (1.0, 0.875, 0.75)


def resize(fields: Tensor, side: int | None) -> Tensor:
    """Resize fields (m, 2, h, w) to a square of `side` cells; None leaves the native grid.

    Displacements keep their values: they stay pixels of the decoded frame.
    """
    if side is None:
        return fields
    return functional.interpolate(fields, (side, side), mode="bilinear", antialias=True)


def augment(fields: Tensor, generator: torch.Generator) -> Tensor:
    """Crop and mirror each video's fields at random, alike for all its segments.

    Each video gets a crop of a side drawn from `CROP_SCALES` at a uniform place, resampled to the
    size it had, and is mirrored with probability one half; a mirror negates dx, about zero.

    Args:
        fields: (n, s, 2, h, w), displacements x right, y down.
        generator: Source of the draws, on the CPU.

    Returns:
        New fields of the same shape.

    Source of the scales: the training crops of TSN, as the paper's code uses them.
    """
    n, s, c, h, w = fields.shape
    picks = torch.randint(len(CROP_SCALES), (n,), generator=generator)
    scale = torch.tensor(CROP_SCALES)[picks]
    shift = (2 * torch.rand(n, 2, generator=generator) - 1) * (1 - scale)[:, None]
    sign = 1 - 2 * torch.randint(2, (n,), generator=generator).float()
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * sign, scale, shift
    grid = functional.affine_grid(theta, [n, s * c, h, w], align_corners=False)
    moved = functional.grid_sample(
        fields.reshape(n, s * c, h, w), grid.to(fields), padding_mode="border", align_corners=False
    ).reshape(n, s, c, h, w)
    return moved * torch.stack([sign, torch.ones(n)], dim=1).to(fields)[:, None, :, None, None]
