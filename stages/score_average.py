"""Stage `score_average`: the weighted mean of CLIP's and motion's probabilities, by split."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.files import write_json
from moclip.heads.score_average import average, check_same_videos, try_weights
from moclip.heads.selection import best, record
from moclip.params.heads.score_average import ScoreAverageParams
from moclip.params.run import Splits
from moclip.results.predictions import read_predictions, write_predictions
from moclip.training.history import write_history
from stages._entry import arguments, run, section
from stages._layout import Predicted, predicted


def main() -> None:
    args = arguments("clip", "motion", "chosen", "preds")
    params = section("score_average", ScoreAverageParams)
    chosen = {}
    for split in section("splits", Splits):
        made = predicted(args.preds, split)
        clip, motion = predicted(args.clip, split), predicted(args.motion, split)
        chosen[made.preds.stem] = average_streams(clip, motion, made.preds, params)
        write_history(made.history, [])  # nothing is trained
    write_json(args.chosen, chosen)


def average_streams(of_clip: Predicted, of_motion: Predicted, path: Path, params: ScoreAverageParams) -> dict[str, Any]:
    """Write the average of both streams' probabilities on test; return the choice of its weight as plain values."""
    clip, motion = read_predictions(of_clip.preds), read_predictions(of_motion.preds)
    check_same_videos(clip, motion)
    weight, trials = params.motion_weight, []
    if weight is None:
        clip_val, motion_val = (read_predictions(s.val_preds, may_be_empty=True) for s in (of_clip, of_motion))
        trials = try_weights(clip_val, motion_val, params.weight_steps)
        weight = best(trials).setting
    logits = average(clip.logits, motion.logits, weight).astype(np.float32)
    write_predictions(path, replace(clip, logits=logits))
    return record("motion_weight", weight, trials)


if __name__ == "__main__":
    run(main)
