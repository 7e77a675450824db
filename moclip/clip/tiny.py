"""Train a tiny CLIP from scratch on captioned stills, for a demo that needs no download."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor
from torch.nn import functional

from moclip.base.random import make_deterministic, torch_stream
from moclip.clip.encoder import build
from moclip.params.demo_clip import DemoClipParams
from moclip.training.history import Epoch
from moclip.training.loop import Batch, Schedule, batch_count, fit, shuffled

IMAGE_PX = 64
MAX_LOGIT_SCALE = 100.0  # CLIP's own bound

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": IMAGE_PX, "layers": [1, 1, 1, 1], "width": 8, "patch_size": 32},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {
        "mean": list(OPENAI_DATASET_MEAN),
        "std": list(OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "squash",
    },
}


def train_demo_clip(
    images: np.ndarray,
    captions: Sequence[str],
    params: DemoClipParams,
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> open_clip.CLIP:
    """Contrastive training from random weights.

    Args:
        images: Stills, uint8 (n, 64, 64, 3).
        captions: One per still.
        params: Size and schedule.
        seed: Of weights and order.
        on_epoch: As for `moclip.training.loop.fit`.
    """
    make_deterministic(seed, "demo_clip")
    model = build(CONFIG["model_cfg"])
    tokens = open_clip.SimpleTokenizer(context_length=CONFIG["model_cfg"]["text_cfg"]["context_length"])(list(captions))
    pixels = _normalised(images)

    def batches(epoch: int) -> Iterator[Batch]:
        order = shuffled(len(images), params.batch_images, torch_stream(seed, "demo_clip", epoch))
        return ((pixels[chosen], tokens[chosen]) for chosen in order)

    fit(
        model,
        batches,
        batch_count(len(images), params.batch_images),
        Schedule(params.epochs, params.lr, weight_decay=0.05),
        loss=lambda _, batch: contrastive_loss(model, *batch),
        on_epoch=on_epoch,
        after_step=lambda: model.logit_scale.data.clamp_(max=math.log(MAX_LOGIT_SCALE)),
        title="train CLIP",
    )
    return model


def contrastive_loss(model: open_clip.CLIP, pixels: Tensor, tokens: Tensor) -> Tensor:
    """Symmetric cross-entropy of matching stills and captions, a scalar.

    Captions that stand several times in a batch need no shared targets: equal captions have equal
    features, and the sum over them is the same either way.
    """
    image = functional.normalize(model.encode_image(pixels), dim=1)
    text = functional.normalize(model.encode_text(tokens), dim=1)
    logits = model.logit_scale.exp() * image @ text.T
    target = torch.arange(len(logits))
    loss: Tensor = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    return loss


def _normalised(images: np.ndarray) -> Tensor:
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return ((pixels - mean) / std).contiguous()
