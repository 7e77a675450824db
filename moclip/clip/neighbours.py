"""CLIP's features of a video's frames when each frame's attention also sees the frames beside it.

No weight is added. Axes: n video, t frame, d joint space.

Source: Weng et al., Open-VCLIP (ICML 2023), as read in its code (`expand_temporal_view`): every block of a ViT; of a
ResNet, which attends in its pool alone, that pool.
"""

from collections.abc import Sequence

import numpy as np
import torch

from moclip.base.errors import StoreError
from moclip.clip.encoder import Encoder
from moclip.clip.tokens import blocks_of, residual
from moclip.clip.top import ClipTop, Edges


@torch.inference_mode()
def clip_features(encoder: Encoder, videos: Sequence[Sequence[np.ndarray]], edges: Edges) -> np.ndarray:
    """Projected features, not normalised, (n, t, d) float32, of RGB frames (h, w, 3) uint8 in order of time.

    Args:
        encoder: The frozen CLIP.
        videos: As many frames of each.
        edges: What stands in for the frame that the first and the last one lack, as of `ClipTop.pooled`.

    Raises:
        ParamsError: the encoder is of a family without places.
        StoreError: features are not finite.
    """
    model = encoder.model.backbone
    cut = len(blocks_of(model.visual))
    pixels = encoder.pixels([frame for video in videos for frame in video])
    with encoder.compute.autocast():
        stream = residual(model, pixels, cut).unflatten(0, (len(videos), -1))
        found = ClipTop(model, cut).eval().pooled(stream, edges)
    if not torch.isfinite(found).all():
        raise StoreError("CLIP's features of neighbouring frames are not finite; its weights are damaged or do not fit")
    features: np.ndarray = found.float().cpu().numpy()
    return features
