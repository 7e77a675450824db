"""The motion network on one split, a task for a process of its own; what is finished is kept, and not done again."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from moclip.base.files import atomic_path, fingerprint, sha256_file, write_json
from moclip.data.splits import PARTS, Split, read_split
from moclip.heads import motion_only
from moclip.heads.fitted import Account, Seed
from moclip.motion.features import SEED_NAME
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.params.compute import ComputeParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.params.run import Seed as SeedNumber
from moclip.store.features import Features, write_features
from moclip.training.checkpoint import checkpoint_in
from moclip.training.device import Compute
from stages._entry import section, work_directory
from stages._layout import split_file
from stages._live import Live
from stages._predictions import predictions, write_account, write_split
from stages.dvc.code import running_code

HEAD = "motion_only"


@dataclass(frozen=True)
class Task:
    """One split: its number, and the files that its training reads."""

    number: int
    classes: Path
    split: Path
    motion: Path

    def __str__(self) -> str:
        return f"split {self.number}"

    @property
    def seed(self) -> Seed:
        """Of all draws of this training."""
        return section("seed", SeedNumber), SEED_NAME, self.number

    def sampler(self, store: MotionStore) -> FieldSampler:
        """Fields of all videos, with the parameters of network and device."""
        motion, params = section("motion", MotionParams), section("motion_net", MotionNetParams)
        return FieldSampler(store, motion, params, Compute.of(section("compute", ComputeParams)))

    def work(self) -> Path:
        """Directory of this training: no other may take its results, or go on with half of them."""
        store = MotionStore.open(self.motion)
        sampler = self.sampler(store)
        weights = sampler.params.checkpoint
        key = fingerprint(
            [sha256_file(path) for path in (self.classes, self.split)],
            store.digest,
            sampler.motion.model_dump(),
            sampler.params.model_dump(),
            str(sampler.compute),
            weights and sha256_file(Path(weights)),
            self.seed,
            running_code("stages.train_motion"),
        )
        return work_directory(f"train_motion-{key}")


def train(task: Task) -> None:
    """Train one split, unless it is done, and keep all that it gives."""
    work, split = task.work(), read_split(task.split, task.classes)
    sampler = task.sampler(MotionStore.open(task.motion))
    with checkpoint_in(work) as checkpoint:
        if finished(work).is_dir():
            return
        live = Live(HEAD, task.number, sampler.params.epochs, task.classes)
        fitted = motion_only.fit(sampler, split, task.seed, live, checkpoint)
        features, logits = motion_only.describe(fitted, sampler, split, task.seed)
        with atomic_path(finished(work)) as folder:
            keep(folder, task.number, fitted, features, logits, split)


def finished(work: Path) -> Path:
    """Where a training that is done keeps its results."""
    return work / "finished"


def keep(
    folder: Path, number: int, fitted: motion_only.MotionOnly, features: Features, logits: Features, split: Split
) -> None:
    """Write model, features and predictions of one split below `folder`."""
    fitted.save(split_file(folder / "model", number, ""))
    write_features(split_file(folder / "features", number, ".npz"), features.ids.tolist(), features.values)
    facts = {
        "arch": fitted.net.arch,
        "parameters": fitted.cost().parameters,
        "field": list(fitted.field or ()),
        "input_macs": fitted.input_macs(),
        "inputs": fitted.made_for.motion_net.eval_segments * fitted.made_for.motion_net.eval_crops,
    }
    write_json(split_file(folder / "features", number, ".json"), facts)
    _, val, test = (split.part(part) for part in PARTS)
    of_test, of_val = (predictions(part, logits.of(part.ids)) for part in (test, val))
    write_split(folder / "preds", number, of_test, of_val, fitted.history)
    write_account(folder / "preds", Account.of_motion(facts))


def publish(task: Task, model: Path, features: Path, preds: Path) -> None:
    """Copy what a finished split keeps to where the graph declares it."""
    source = finished(task.work())
    for name, target in (("model", model), ("features", features), ("preds", preds)):
        shutil.copytree(source / name, target, dirs_exist_ok=True)
