"""The networks on vectors by head: how each is pretrained, whether it is a Transformer, what it takes; no PyTorch."""

from collections.abc import Mapping

from moclip.params.heads.motion_vit import MotionVitParams
from moclip.params.motion_net import MotionNetParams, as_vit
from stages._entry import section

SHARED = "motion_only"
OWN: Mapping[str, tuple[str, bool]] = {
    "motion_mcl": ("mcl", False),
    "motion_vit": ("none", True),
    "motion_mae": ("mae", True),
}
"""Heads with a network of their own; all others share that of `SHARED`, set by `motion_net` and `motion_pretrain`."""


def is_transformer(head: str) -> bool:
    """Whether the network of a head is one."""
    return OWN[head][1] if head in OWN else section("motion_net", MotionNetParams).arch == "vit"


def network_params(head: str) -> MotionNetParams:
    """Of the network of a head, and of its training with labels."""
    params = section("motion_net", MotionNetParams)
    return as_vit(params, section("motion_vit", MotionVitParams)) if is_transformer(head) else params
