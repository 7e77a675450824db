"""Small CLIPs of both families, untrained, for tests of what lies inside them."""

from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP
from torch import Tensor, nn

from moclip.clip.encoder import Encoder, build, load_encoder, save_encoder
from moclip.clip.tiny import CONFIG

TEXT = {"context_length": 8, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
VIT = {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8}


def resnet(seed: int = 0) -> CLIP:
    """The demo's ResNet: pictures of 64 px, a last map of 2 x 2 places, 64 numbers a feature."""
    return _told_apart(build(CONFIG["model_cfg"]), seed)


def resnet_encoder(folder: Path) -> Encoder:
    """The same as an encoder, whose files lie in a folder."""
    save_encoder(folder / "model", resnet(), CONFIG, {})
    return load_encoder(folder / "model")


def vit(seed: int = 0, **changes: Any) -> CLIP:
    """A ViT of 3 blocks: pictures of 32 px, 4 x 4 places, 24 numbers a feature."""
    return _told_apart(build({"embed_dim": 24, "vision_cfg": {**VIT, **changes}, "text_cfg": TEXT}), seed)


def pixels(model: CLIP, count: int = 4, seed: int = 0) -> Tensor:
    """Pictures (n, 3, h, w) of noise, of the size that the model takes."""
    side = model.visual.image_size
    side = side if isinstance(side, int) else side[0]
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def _told_apart(model: CLIP, seed: int) -> CLIP:
    """Random numbers where an untrained network has zeros and ones, so that what is left out or taken twice shows."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.visual.modules():
        for name, own in module.named_parameters(recurse=False):
            fan = own[0].numel() if own.dim() > 1 else 1
            start = 1.0 if isinstance(module, nn.LayerNorm | nn.BatchNorm2d) and name == "weight" else 0.0
            own.data = start + torch.randn(own.shape, generator=generator) * (fan**-0.5 if own.dim() > 1 else 0.2)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = 0.2 * torch.randn(module.running_mean.shape, generator=generator)
            module.running_var = 0.5 + torch.rand(module.running_var.shape, generator=generator)
    return model.eval().requires_grad_(False)
