"""The head `fusion`: one small MLP on CLIP and motion features together.

Its motion features may differ from epoch to epoch; `moclip.heads.views` has both ways.
"""

from typing import Any

from moclip.heads.fitted import Resources, Seed, Videos
from moclip.heads.train import Mlp, OnEpoch, Source, fit_mlp, ignore, load, read_examples
from moclip.params.heads.fusion import HeadParams

__all__ = ["fit", "load"]


def fit(
    videos: Videos,
    params: HeadParams,
    seed: Seed,
    on_epoch: OnEpoch = ignore,
    resources: Resources | None = None,
    **_: Any,
) -> Mlp:
    """Train on the streams that `params.inputs` names.

    Args:
        videos: With the streams `clip` and `motion`.
        params: Of the MLP and its training.
        seed: Of weights, order and views.
        on_epoch: As for `moclip.training.loop.fit`.
        resources: What computes motion features anew, with `params.views` or `params.online`.

    Raises:
        DataError: as `moclip.heads.train.fit_mlp`.
        StoreError: the features lack a video; it is named.
    """
    names = ("clip", "motion") if params.inputs == "both" else (params.inputs,)
    examples, classes = read_examples(videos, *names), len(videos.split.classes)
    if not (params.views or params.online):
        return fit_mlp(Source(examples), classes, params, seed, on_epoch)
    from moclip.heads.views import fit_augmented  # here: cached features need no second of the motion network's imports

    assert resources is not None, "augmented views need the motion network and its fields"
    return fit_augmented(examples, classes, params, seed, on_epoch, resources)
