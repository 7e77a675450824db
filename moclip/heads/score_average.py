"""The head `score_average`: the weighted mean of two heads' probabilities, the weight chosen by validation's top-1.

Axes: n video, k class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax

from moclip.base.errors import DataError, StoreError
from moclip.base.files import read_facts, write_json
from moclip.heads.fitted import Cost, Fitted, Seed, Videos
from moclip.heads.selection import Trial, most_right, record, trial
from moclip.params.heads.score_average import ScoreAverageParams

CONFIG = "config.json"


@dataclass
class ScoreAverage(Fitted):
    """The share of motion's probabilities; its streams are the logits (n, k) of CLIP's head and of motion's."""

    motion_weight: float
    is_chosen: bool
    streams = ("clip", "motion")

    def logits(self, inputs: Mapping[str, Any]) -> np.ndarray:
        """Log-probabilities (n, k) of two heads' logits."""
        return average(inputs["clip"], inputs["motion"], self.motion_weight)

    def save(self, directory: Path) -> None:
        """Write the weight."""
        write_json(directory / CONFIG, {"motion_weight": self.motion_weight, "is_chosen": self.is_chosen})

    def cost(self) -> Cost:
        """The weight, where it was chosen."""
        return Cost(int(self.is_chosen), 0)


def fit(videos: Videos, params: ScoreAverageParams, seed: Seed, **_: Any) -> ScoreAverage:
    """Choose the weight on the val part, unless the parameters name it.

    Raises:
        StoreError: a head has no logits of a video; it is named.
        DataError: nothing is held out to choose on.
    """
    weight = params.motion_weight
    trials: Sequence[Trial] = ()
    if weight is None:
        val, labels = videos.inputs("val"), videos.split.part("val").labels
        trials = try_weights(val["clip"], val["motion"], labels, params.weight_steps)
        weight = most_right(trials).setting
    fitted = ScoreAverage(weight, bool(trials))
    fitted.choice = record("motion_weight", weight, trials)
    return fitted


def load(directory: Path) -> ScoreAverage:
    """Read what `ScoreAverage.save` wrote.

    Raises:
        StoreError: the file is missing, or is no such config.
    """
    config = read_facts(directory / CONFIG)
    try:
        return ScoreAverage(float(config["motion_weight"]), bool(config["is_chosen"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"{directory / CONFIG}: holds no weight ({error}); run the stage score_average again"
        ) from error


def average(clip: np.ndarray, motion: np.ndarray, motion_weight: float) -> np.ndarray:
    """log((1 - w) softmax(clip) + w softmax(motion)) of logits (n, k); the share w is 0 to 1.

    >>> average(np.zeros((1, 2)), np.log([[1.0, 3.0]]), 0.5).round(3).tolist()  # log of 3/8 and 5/8
    [[-0.981, -0.47]]
    """
    with np.errstate(divide="ignore"):  # log 0 is -inf, which adds nothing
        shares = np.log([1 - motion_weight, motion_weight])
    logs = [log_softmax(logits.astype(np.float64), axis=1) for logits in (clip, motion)]
    return np.logaddexp(shares[0] + logs[0], shares[1] + logs[1])


def try_weights(clip: np.ndarray, motion: np.ndarray, labels: np.ndarray, steps: int) -> Sequence[Trial]:
    """Try shares of motion 0, 1/steps, ..., 1 on the validation part's logits (n, k) and labels (n,).

    Raises:
        DataError: nothing is held out.
    """
    if not len(labels):
        raise DataError(
            "score_average.motion_weight: null chooses the weight on validation, and this split has no validation "
            "part; raise data.val_groups, bring more groups, or give a number"
        )
    weights = [step / steps for step in range(steps + 1)]
    return [trial(weight, average(clip, motion, weight), labels) for weight in weights]
