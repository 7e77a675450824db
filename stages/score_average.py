"""Stage `score_average`: the weighted mean of CLIP's and motion's probabilities on one split."""

from dataclasses import replace

import numpy as np

from moclip.files import write_json
from moclip.history import write_history
from moclip.predictions import read_predictions, write_predictions
from moclip.schema.controls import ScoreAverageParams
from moclip.score_average import average, check_same_videos, try_weights
from moclip.selection import best, record
from stages._entry import arguments, run, section


def main() -> None:
    args = arguments("clip", "clip_val", "motion", "motion_val", "chosen", "history", "preds")
    params = section("score_average", ScoreAverageParams)
    clip, motion = read_predictions(args.clip), read_predictions(args.motion)
    check_same_videos(clip, motion)
    weight, trials = params.motion_weight, []
    if weight is None:
        clip_val, motion_val = (read_predictions(path, may_be_empty=True) for path in (args.clip_val, args.motion_val))
        trials = try_weights(clip_val, motion_val, params.weight_steps)
        weight = best(trials).setting
    write_json(args.chosen, record("motion_weight", weight, trials))
    write_history(args.history, [])  # nothing is trained
    logits = average(clip.logits, motion.logits, weight).astype(np.float32)
    write_predictions(args.preds, replace(clip, logits=logits))


if __name__ == "__main__":
    run(main)
