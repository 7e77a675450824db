"""The head `evl_fusion`: the fusion head with the feature of `evl` in the place of CLIP's.

What CLIP's levels tell over time, and motion vectors, together. The feature of a train video comes from a decoder that
has seen its label, as its motion feature comes from a motion network that has.
"""

from typing import Any

from moclip.base.errors import ParamsError
from moclip.heads.fitted import Seed, Videos
from moclip.heads.train import Mlp, OnEpoch, Source, fit_mlp, ignore, load, read_examples
from moclip.params.heads.fusion import HeadParams

__all__ = ["fit", "load"]


def fit(videos: Videos, params: HeadParams, seed: Seed, on_epoch: OnEpoch = ignore, **_: Any) -> Mlp:
    """Train on both features.

    Args:
        videos: With the streams `appearance`, features of `evl`, and `motion`.
        params: Of the MLP and its training; `inputs` is that of `fusion` alone.
        seed: Of weights and order.
        on_epoch: As for `moclip.training.loop.fit`.

    Raises:
        DataError: as `moclip.heads.train.fit_mlp`.
        ParamsError: motion features are to be augmented; those of `evl` are cached.
        StoreError: the features lack a video; it is named.
    """
    if params.views or params.online:
        raise ParamsError(
            "evl_fusion takes cached features, and fusion.views or fusion.online augments those of `fusion` alone; "
            "set views: 0 and online: false, or take evl_fusion out of `heads`"
        )
    source = Source(read_examples(videos, "appearance", "motion"))
    return fit_mlp(source, len(videos.split.classes), params, seed, on_epoch)
