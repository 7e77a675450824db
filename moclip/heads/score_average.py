"""Late fusion without training: the weighted mean of two heads' probabilities, the weight chosen on validation.

NumPy alone. Axes: n video, k class.
"""

import numpy as np

from moclip.base.errors import DataError
from moclip.heads.selection import Trial, trial
from moclip.results.predictions import Predictions


def average(clip: np.ndarray, motion: np.ndarray, motion_weight: float) -> np.ndarray:
    """log((1 - w) softmax(clip) + w softmax(motion)) of logits (n, k); the share w is 0 to 1.

    >>> average(np.zeros((1, 2)), np.log([[1.0, 3.0]]), 0.5).round(3).tolist()  # log of 3/8 and 5/8
    [[-0.981, -0.47]]
    """
    with np.errstate(divide="ignore"):  # log 0 is -inf, which adds nothing
        shares = np.log([1 - motion_weight, motion_weight])
    return np.logaddexp(shares[0] + log_softmax(clip), shares[1] + log_softmax(motion))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities (n, k), as float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    logs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def try_weights(clip: Predictions, motion: Predictions, steps: int) -> list[Trial]:
    """Try shares of motion 0, 1/steps, ..., 1.

    Args:
        clip: Predictions of CLIP's head on the validation part.
        motion: Those of the motion network on the same videos.
        steps: Number of equal steps from 0 to 1.

    Raises:
        DataError: nothing is held out, or the two are about different videos.
    """
    check_same_videos(clip, motion)
    if not len(clip.ids):
        raise DataError(
            "score_average.motion_weight: null chooses the weight on validation, and this split has no validation "
            "part; raise data.val_groups, bring more groups, or give a number"
        )
    weights = [step / steps for step in range(steps + 1)]
    return [trial(weight, average(clip.logits, motion.logits, weight), clip.labels) for weight in weights]


def check_same_videos(clip: Predictions, motion: Predictions) -> None:
    """Refuse predictions of different videos, labels or classes; rows must stand in one order.

    Raises:
        DataError: names the first video that differs.
    """
    if clip.classes.tolist() != motion.classes.tolist():
        raise DataError("score_average: the two heads have different classes; run both stages again")
    pairs = [list(zip(p.ids.tolist(), p.labels.tolist(), strict=True)) for p in (clip, motion)]
    if pairs[0] != pairs[1]:
        both = zip(*pairs, strict=False)
        differ = next((str(a[0]) for a, b in both if a != b), "the last of the longer list")
        raise DataError(f"score_average: the two heads differ in videos or labels, first at {differ}; run both again")
