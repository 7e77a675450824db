"""The head `motion_permuted`: fusion's MLP with each video's motion replaced by that of another one.

What its size alone gives over a head on CLIP.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moclip.base.random import stream
from moclip.data.splits import PARTS
from moclip.heads.fitted import Seed, Videos
from moclip.heads.train import Mlp, OnEpoch, Source, fit_mlp, ignore, load, read_examples
from moclip.params.heads.fusion import HeadParams
from moclip.store.features import Features

__all__ = ["fit", "load"]


@dataclass
class Permuted(Mlp):
    """An MLP that sees permuted motion in the held-out parts too."""

    seed: Seed

    def sees(self, videos: Videos) -> Videos:
        """The same permutation as in training."""
        return permuted(videos, self.seed)


def fit(videos: Videos, params: HeadParams, seed: Seed, on_epoch: OnEpoch = ignore, **_: Any) -> Permuted:
    """Train on CLIP features and permuted motion features.

    Raises:
        DataError: as `moclip.heads.train.fit_mlp`.
        StoreError: the features lack a video; it is named.
    """
    source = Source(read_examples(permuted(videos, seed), "clip", "motion"))
    trained = fit_mlp(source, len(videos.split.classes), params, seed, on_epoch)
    fitted = Permuted(trained.head, seed)
    fitted.history = trained.history
    return fitted


def permuted(videos: Videos, seed: Seed) -> Videos:
    """The same videos, each with the motion feature of a random video of the same part; none crosses from part to part.

    Raises:
        StoreError: the features lack a video; it is named.
    """
    number, _, split = seed
    ids, values = [], []
    for part in PARTS:
        own = videos.split.part(part).ids
        ids += own
        drawn = stream(number, "motion_permuted", split, part).permutation(own).tolist()
        values.append(videos.streams["motion"].of(drawn))
    motion = Features("permuted motion", np.array(ids), np.concatenate(values))
    return replace(videos, streams={**videos.streams, "motion": motion})
