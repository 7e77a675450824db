"""The head `frames_zero_shot`: the mean of the zero-shot logits of the same frames that heads on frames see.

Their base: more frames shall not pass for a better head.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moclip.heads import zero_shot
from moclip.heads.fitted import Cost, Seed, Videos
from moclip.heads.frames import FRAMES


@dataclass
class FramesZeroShot(zero_shot.ZeroShot):
    """CLIP itself on several frames."""

    streams = (FRAMES,)

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of frames (n, t, d)."""
        frames = inputs[FRAMES].astype(np.float32)
        unit = frames / np.linalg.norm(frames, axis=-1, keepdims=True)
        logits: np.ndarray = self.texts.logit_scale * unit.mean(axis=1) @ self.texts.features.T
        return logits

    def cost(self) -> Cost:
        """One product of the mean feature and the text features."""
        return Cost(0, self.texts.features.size)


def fit(videos: Videos, params: None, seed: Seed, **_: Any) -> FramesZeroShot:
    """Take the text features of the classes; raises as `moclip.heads.zero_shot.fit`."""
    return FramesZeroShot(zero_shot.fit(videos, params, seed).texts)


def load(directory: Path) -> FramesZeroShot:
    """Read what it saved; raises as `moclip.heads.zero_shot.load`."""
    return FramesZeroShot(zero_shot.load(directory).texts)
