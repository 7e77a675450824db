"""Train the motion network on one split; keep its predictions, and its frozen features of all videos."""

from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.files import fingerprint, sha256_file
from moclip.data.splits import PARTS, read_split
from moclip.motion.features import SEED_NAME, describe_split
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.motion.train import train_motion_net
from moclip.params.compute import ComputeParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionInput, MotionNetParams
from moclip.params.run import Seed
from moclip.store.features import write_features
from moclip.training.checkpoint import checkpoint_in
from moclip.training.device import Compute
from moclip.training.history import write_history
from moclip.training.weights import save_model
from stages._entry import arguments, run, section, work_directory
from stages._live import Live
from stages._results import write_test_predictions, write_val_predictions
from stages._resume import running_code


def main() -> None:
    args = arguments(
        "manifest",
        "classes",
        "split",
        "motion",
        "model",
        "features",
        "history",
        "preds",
        "val_preds",
        numbers=("number",),
    )
    params, motion = section("motion_net", MotionNetParams), section("motion", MotionParams)
    compute = Compute.of(section("compute", ComputeParams))
    seed = (section("seed", Seed), SEED_NAME, args.number)
    split = read_split(args.split, args.classes)
    train, val, test = (split.part(part) for part in PARTS)
    store = MotionStore.open(args.motion)
    sampler = FieldSampler(store, motion, params, compute)
    with checkpoint_in(work_directory(f"train_motion-{training_key(args, store.digest, sampler, seed)}")) as checkpoint:
        net, history = train_motion_net(
            sampler,
            train,
            val,
            seed,
            Live("motion_only", args.number, params.epochs, args.manifest),
            test=test,
            checkpoint=checkpoint,
        )
        features, logits = describe_split(net, sampler, train.ids, [*val.ids, *test.ids], seed)
        made_for = MotionInput(motion=motion, motion_net=params, seed=seed[0], split=args.number)
        save_model(args.model, net, {**net.config(), "input": made_for.model_dump()})
        write_features(args.features, [*train.ids, *val.ids, *test.ids], features)
        write_history(args.history, history)
        _, of_val, of_test = np.split(logits, np.cumsum([len(train.ids), len(val.ids)]))
        write_val_predictions(args.val_preds, val, of_val)
        write_test_predictions(args.preds, test, of_test)


def training_key(args: Any, store: str, sampler: FieldSampler, seed: tuple[int, str, int]) -> str:
    """Stands for all that a training's numbers follow from: its state may be taken up by no other."""
    weights = sampler.params.checkpoint
    return fingerprint(
        [sha256_file(path) for path in (args.classes, args.split)],
        store,
        sampler.motion.model_dump(),
        sampler.params.model_dump(),
        str(sampler.compute),
        weights and sha256_file(Path(weights)),
        seed,
        running_code(),
    )


if __name__ == "__main__":
    run(main)
