"""Zero-shot classification: scaled cosine between image features and class features."""

import numpy as np


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
