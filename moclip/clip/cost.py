"""What CLIP's image encoder costs, counted on PyTorch's meta device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from moclip.clip.encoder import build, known_config
from moclip.clip.tiny import CONFIG as DEMO_CLIP
from moclip.training.flops import multiply_adds


@dataclass(frozen=True)
class ClipCost:
    """CLIP's image encoder: width of its features, parameters, multiply-adds of one frame."""

    width: int
    parameters: int
    frame_macs: int


def clip_cost(model: str, config: Mapping[str, Any] | None = None) -> ClipCost | None:
    """Cost of a CLIP by its name, `demo` included; None where nobody knows how that model is built.

    Args:
        model: The name.
        config: Of a model that is in no table, in open_clip's form.
    """
    config = config or (DEMO_CLIP["model_cfg"] if model == "demo" else known_config(model))
    if config is None:
        return None
    size = config["vision_cfg"]["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    with torch.device("meta"):
        clip = build(config).eval()
        macs = multiply_adds(lambda: clip.encode_image(torch.empty(1, 3, height, width)))
        return ClipCost(config["embed_dim"], sum(p.numel() for p in clip.visual.parameters()), macs)
