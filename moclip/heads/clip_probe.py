"""The head `clip_probe`: fusion's MLP on CLIP features alone, the control that the paper lacks."""

from typing import Any

from moclip.heads.fitted import Seed, Videos
from moclip.heads.train import Mlp, OnEpoch, Source, fit_mlp, ignore, load, read_examples
from moclip.params.heads.fusion import HeadParams

__all__ = ["fit", "load"]


def fit(videos: Videos, params: HeadParams, seed: Seed, on_epoch: OnEpoch = ignore, **_: Any) -> Mlp:
    """Train on the features of the stream `clip`.

    Raises:
        DataError: as `moclip.heads.train.fit_mlp`.
        StoreError: the features lack a video; it is named.
    """
    return fit_mlp(Source(read_examples(videos, "clip")), len(videos.split.classes), params, seed, on_epoch)
