"""Where a similarity looks, held against where something moves: the alignment loss of MCL.

Axes: n video, s time, d channel, h and w places of a network's last map.
"""

import torch
from torch import Tensor
from torch.nn import functional

LEAST = 1e-30  # of a product of squared lengths


def attention_of(similarity: Tensor, maps: Tensor) -> Tensor:
    """How much each place of the maps moves a similarity, (n, s, h, w), never negative; it can be trained through.

    The gradient of the similarity, weighted by its own mean over places, channel by channel. (Grad-CAM weights the
    maps themselves so.)

    Args:
        similarity: Of each video (n,), computed from the maps.
        maps: (n, s, d, h, w).

    Raises:
        RuntimeError: the similarity does not depend on the maps.

    Source: MCL (arXiv 2201.04029), `mal.py` of its code.
    """
    (gradient,) = torch.autograd.grad(similarity.sum(), maps, create_graph=True)
    weights = gradient.mean(dim=(3, 4), keepdim=True)
    return functional.relu((weights * gradient).sum(dim=2))


def alignment_loss(attention: Tensor, motion: Tensor) -> Tensor:
    """Three minus three cosines between attention and motion (n, s, h, w): 0 where they are proportional, 3 at most.

    The cosine over places at each time, a mean in which times with more motion count more (softmax of their sums); that
    of the means over time; and that over times of the sums over places. Where neither has anything the cosine is 1.
    """
    p, m = attention.flatten(2), motion.flatten(2)
    shares = m.sum(dim=2).softmax(dim=1)
    in_space = (shares * cosine(p, m)).sum(dim=1)
    both = cosine(p.mean(dim=1), m.mean(dim=1))
    in_time = cosine(p.sum(dim=2), m.sum(dim=2))
    return (3.0 - in_space - both - in_time).mean()


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Over the last dimension: 0 where one of the two is zero, 1 where both are."""
    xx, yy = x.square().sum(dim=-1), y.square().sum(dim=-1)
    found = (x * y).sum(dim=-1) * (xx * yy).clamp_min(LEAST).rsqrt()
    return torch.where((xx == 0) & (yy == 0), torch.ones_like(found), found)


def field_boundaries(fields: Tensor) -> Tensor:
    """Motion boundaries of each field (n, s, 2, h, w): those of dx and dy added, (n, s, h, w), its outer ring 0.

    As `moclip.motion.maps.boundary_map`, of fields that a network takes.
    """
    difference = fields[..., :, 2:] - fields[..., :, :-2]
    across = difference[..., :-2, :] + difference[..., 1:-1, :] + difference[..., 2:, :]
    difference = fields[..., 2:, :] - fields[..., :-2, :]
    down = difference[..., :, :-2] + difference[..., :, 1:-1] + difference[..., :, 2:]
    return functional.pad(((across.square() + down.square()) ** 0.5).sum(dim=2), (1, 1, 1, 1))


def motion_target(fields: Tensor, times: int, rows: int, columns: int) -> Tensor:
    """Boundaries of fields (n, s, 2, h, w) at the places of a map, (n, times, rows, columns)."""
    strength = field_boundaries(fields).float()
    pooled = functional.adaptive_avg_pool2d(strength, (rows, columns))
    return pooled.unflatten(1, (times, strength.shape[1] // times)).mean(dim=2)
