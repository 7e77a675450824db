"""CLIP's image tower on video, and a loss that keeps it near CLIP.

Axes: n video, t frame, l token, c width, d joint space, k class.

Source: Weng et al., Open-VCLIP (ICML 2023, arXiv 2302.00624) and Open-VCLIP++ (arXiv 2310.05010), as read in its code.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from moclip.clip.encoder import build
from moclip.clip.top import ClipTop, Edges

Tower = Callable[[Tensor], Tensor]
"""From the kept stream (n, t, l, c) to unit features' mean over frames (n, d)."""


class VideoTower(nn.Module):
    """The mean over frames of CLIP's unit features, whose attention may see the frames beside each.

    Args:
        clip: open_clip's configuration of the model.
        cut: Its last blocks, above the kept stream.
        neighbours: What stands in at both ends; None, frames do not see each other.
    """

    def __init__(self, clip: Mapping[str, Any], cut: int, neighbours: Edges | None) -> None:
        super().__init__()
        with torch.device("meta"):  # no draws for a CLIP whose weights are put in right after
            top = ClipTop(build(clip), cut)
        self.top = top.to_empty(device="cpu")
        self.neighbours = neighbours

    def forward(self, stream: Tensor) -> Tensor:
        """Features (n, d) of the kept residual stream (n, t, l, c); they are shorter than 1 where frames differ."""
        return functional.normalize(self.top.pooled(stream, self.neighbours), dim=-1).mean(dim=1)


class OpenVclipNet(nn.Module):
    """Logits of the classes by their texts.

    Args:
        tower: Arguments of `VideoTower`.
        classes: How many.
        width: d.
        logit_scale: CLIP's inverse temperature.
    """

    texts: Tensor

    def __init__(self, tower: Mapping[str, Any], classes: int, width: int, logit_scale: float) -> None:
        super().__init__()
        self.tower = VideoTower(**tower)
        self.logit_scale = logit_scale
        self.register_buffer("texts", torch.zeros(classes, width))

    def forward(self, stream: Tensor) -> Tensor:
        """Logits (n, k) of the kept residual stream (n, t, l, c)."""
        logits: Tensor = self.logit_scale * self.tower(stream) @ self.texts.T
        return logits


def regularised(
    loss: Callable[[Tower], Tensor],
    tower: nn.Module,
    anchor: Mapping[str, Tensor],
    share: Tensor | float,
    weight: float,
    chain_rule: bool = True,
) -> Tensor:
    """The loss at the weights, plus `weight` times the loss at weights interpolated towards the anchor.

    Args:
        loss: Of a tower; it is asked twice.
        tower: Its parameters are the weights.
        anchor: By name of each parameter, where they came from.
        share: Of the anchor, below 1.
        weight: 0 leaves the loss as it is, to the bit.
        chain_rule: Whether the second gradient has its factor 1 - share. The published code omits it: its loss is
            L(w) + weight / (1 - share) * L(share * anchor + (1 - share) * w).
    """
    total = loss(tower)
    if weight == 0:
        return total
    near = {name: share * anchor[name] + (1 - share) * own for name, own in tower.named_parameters()}
    factor = weight if chain_rule else weight / (1 - share)
    return total + factor * loss(lambda stream: functional_call(tower, near, (stream,)))


def matching_loss(videos: Tensor, sentences: Tensor, logit_scale: float) -> Tensor:
    """Symmetric cross entropy of videos (n, d) and their sentences (n, d), each normalised, a scalar.

    A sentence that stands several times in a batch needs no shared target: equal sentences have equal features.
    """
    logits = logit_scale * functional.normalize(videos, dim=-1) @ functional.normalize(sentences, dim=-1).T
    target = torch.arange(len(logits), device=logits.device)
    loss: Tensor = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    return loss
