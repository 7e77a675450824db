"""The head `zero_shot`: scaled cosine between a video's CLIP feature and the classes' text features."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.files import read_npz, write_npz
from moclip.heads.fitted import ClassTexts, Cost, Fitted, Seed, Videos

TEXTS = "texts.npz"


@dataclass
class ZeroShot(Fitted):
    """CLIP itself: nothing is fitted."""

    texts: ClassTexts
    streams = ("clip",)

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Logits (n, k) of CLIP features (n, d)."""
        return zero_shot_logits(inputs["clip"], self.texts.features, self.texts.logit_scale)

    def save(self, directory: Path) -> None:
        """Write the text features."""
        scale = np.array(self.texts.logit_scale)
        write_npz(directory / TEXTS, features=self.texts.features, logit_scale=scale)

    def cost(self) -> Cost:
        """One product of feature and text features."""
        return Cost(0, self.texts.features.size)


def fit(videos: Videos, params: None, seed: Seed, **_: Any) -> ZeroShot:
    """Take the text features of the classes.

    Raises:
        StoreError: there are none, as with precomputed image features alone.
    """
    if videos.texts is None:
        raise StoreError(
            "zero_shot needs text features of the classes, and there are none, because clip.precomputed lacks the "
            "arrays 'class' and 'text'; add them, or take zero_shot out of `heads`"
        )
    return ZeroShot(videos.texts)


def load(directory: Path) -> ZeroShot:
    """Read what `ZeroShot.save` wrote.

    Raises:
        StoreError: the file is missing or damaged.
    """
    arrays = read_npz(directory / TEXTS, "features", "logit_scale")
    return ZeroShot(ClassTexts(arrays["features"], float(arrays["logit_scale"])))


def zero_shot_logits(images: np.ndarray, classes: np.ndarray, logit_scale: float) -> np.ndarray:
    """Logits (n, k) of image features (n, d) against unit class features (k, d).

    Args:
        images: Image features; their length does not matter.
        classes: One unit vector per class.
        logit_scale: CLIP's learned inverse temperature (100 for OpenAI's models).

    >>> zero_shot_logits(np.array([[3.0, 4.0]]), np.eye(2), 100.0).tolist()
    [[60.0, 80.0]]
    """
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    return logit_scale * unit @ classes.T
