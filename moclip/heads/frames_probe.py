"""The head `frames_probe`: fusion's MLP on the mean of the same frames that heads on frames see; their trained base."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from moclip.heads import train
from moclip.heads.fitted import Seed, Stream, Videos
from moclip.heads.frames import FRAMES
from moclip.heads.train import Mlp, OnEpoch, Source, fit_mlp, ignore, read_examples
from moclip.params.heads.fusion import HeadParams


@dataclass(frozen=True)
class MeanOfFrames:
    """One feature a video: the mean of its frames' unit features."""

    frames: Stream

    def of(self, ids: Sequence[str]) -> np.ndarray:
        """Features (n, d) float32."""
        values = self.frames.of(ids).astype(np.float32)
        mean: np.ndarray = (values / np.linalg.norm(values, axis=-1, keepdims=True)).mean(axis=1)
        return mean


@dataclass
class FramesProbe(Mlp):
    """An MLP that sees the mean of frames."""

    def sees(self, videos: Videos) -> Videos:
        """The mean in place of the frames."""
        return averaged(videos)


def averaged(videos: Videos) -> Videos:
    """The same videos, with the mean of their frames as the stream `frames`."""
    return replace(videos, streams={**videos.streams, FRAMES: MeanOfFrames(videos.streams[FRAMES])})


def fit(videos: Videos, params: HeadParams, seed: Seed, on_epoch: OnEpoch = ignore, **_: Any) -> FramesProbe:
    """Train on the mean of the frames.

    Raises:
        DataError: as `moclip.heads.train.fit_mlp`.
        StoreError: the frames lack a video; it is named.
    """
    source = Source(read_examples(averaged(videos), FRAMES))
    trained = fit_mlp(source, len(videos.split.classes), params, seed, on_epoch)
    fitted = FramesProbe(trained.head)
    fitted.history = trained.history
    return fitted


def load(directory: Path) -> FramesProbe:
    """Read what it saved; raises as `moclip.heads.train.load`."""
    return FramesProbe(train.load(directory).head)
