"""The motion network on one split, a task for a process of its own; what is finished is kept, and not done again.

A pretraining is kept apart from the training that takes it up: another training of the same network finds it there.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from moclip.base.files import atomic_path, fingerprint, sha256_file, write_json
from moclip.base.progress import one_of
from moclip.data.splits import PARTS, Split, read_split
from moclip.heads import motion_only
from moclip.heads.fitted import Account, Seed
from moclip.motion.features import SEED_NAME
from moclip.motion.pretrain.start import Pretraining
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.params.compute import ComputeParams
from moclip.params.heads.motion_mae import MotionMaeParams
from moclip.params.heads.motion_mcl import MotionMclParams
from moclip.params.heads.motion_vit import MotionVitParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams, MotionPretrainParams
from moclip.params.run import Seed as SeedNumber
from moclip.params.run import SeedsParams, Splits, repeat_seed
from moclip.store.features import Features, write_features
from moclip.training.checkpoint import Checkpoint, checkpoint_in
from moclip.training.device import Compute
from moclip.training.history import write_history
from moclip.training.ranks import ALONE, Ranks
from stages import _ranks
from stages._entry import section, work_directory
from stages._layout import place_among, repeat_directory, split_file
from stages._live import Live, log_epoch
from stages._networks import OWN, is_transformer, network_params
from stages._predictions import predictions, write_account, write_split
from stages.dvc.code import running_code

LEARNT, HISTORY = "learnt.safetensors", "pretraining.csv"


@dataclass(frozen=True)
class Task:
    """One training of a head on a split: the split's number, the files that it reads, which repeat it is (0: none)."""

    head: str
    number: int
    classes: Path
    split: Path
    motion: Path
    repeat: int = 0

    def __str__(self) -> str:
        return f"split {self.number}" + (f", training {self.repeat + 1}" if self.repeat else "")

    @cached_property
    def network(self) -> motion_only.Network:
        """What the head's network is, and what it learns before labels."""
        given = section("motion_pretrain", MotionPretrainParams)
        method = OWN[self.head][0] if self.head in OWN else given.method
        known: Mapping[str, MotionMclParams | MotionMaeParams | None] = {
            "none": None,
            "mcl": section("motion_mcl", MotionMclParams),
            "mae": section("motion_mae", MotionMaeParams),
        }
        params = known[method]
        vit = section("motion_vit", MotionVitParams) if is_transformer(self.head) else None
        return motion_only.Network(vit, None if params is None else Pretraining(params, given.videos))

    @property
    def params(self) -> MotionNetParams:
        """Of the network and its training with labels."""
        return network_params(self.head)

    @property
    def seed(self) -> Seed:
        """Of all draws of this training."""
        return repeat_seed(section("seed", SeedNumber), self.repeat), SEED_NAME, self.number

    def sampler(self, store: MotionStore) -> FieldSampler:
        """Fields of all videos, with the parameters of network and device."""
        compute = Compute.of(section("compute", ComputeParams))
        return FieldSampler(store, section("motion", MotionParams), self.params, compute)

    @property
    def place(self) -> tuple[int, int]:
        """Which of the stage's trainings this is, from 1, and how many there are."""
        return place_among(section("splits", Splits), self.number, self.repeat, section("seeds", SeedsParams).motion)

    def words(self) -> list[str]:
        """The task as arguments of `stages.commands.rank`."""
        names = {"head": self.head, "number": self.number, "classes": self.classes, "split": self.split}
        options = {**names, "motion": self.motion, "repeat": self.repeat}
        return [word for name, value in options.items() for word in (f"--{name}", str(value))]

    def work(self) -> Path:
        """Directory of this training: no other may take its results, or go on with half of them."""
        sampler = self.sampler(MotionStore.open(self.motion))
        return work_directory(f"train_motion-{self._key(sampler, sampler.params.model_dump())}")

    def work_before(self) -> Path:
        """The same of its pretraining, which hangs on no label, and on nothing of the training with labels."""
        sampler = self.sampler(MotionStore.open(self.motion))
        read = {"arch", "pretrained", "checkpoint", "input_px", "bound_px", "encoding", "mirror", "segments"}
        return work_directory(f"pretrain_motion-{self._key(sampler, sampler.params.model_dump(include=read))}")

    def _key(self, sampler: FieldSampler, params: Mapping[str, Any]) -> str:
        weights, network = sampler.params.checkpoint, self.network
        return fingerprint(
            [sha256_file(path) for path in (self.classes, self.split)],
            MotionStore.open(self.motion).digest,
            sampler.motion.model_dump(),
            params,
            network.vit and network.vit.model_dump(),
            network.pretraining and network.pretraining.facts(),
            sampler.compute.key,
            weights and sha256_file(Path(weights)),
            self.seed,
            running_code("stages.train_motion"),
        )


def train(task: Task) -> None:
    """Train one split, unless it is done, and keep all that it gives."""
    work, ranks = task.work(), _ranks.asked()
    with one_of("training", *task.place), checkpoint_in(work) as checkpoint:
        if finished(work).is_dir():
            return
        before(task)
        if ranks is None:
            train_as(task, checkpoint)
        else:
            _ranks.launch(ranks, task.params.batch_parts, [*task.words(), "--stage", str(os.getpid())], str(task))


def train_as(task: Task, checkpoint: Checkpoint, ranks: Ranks = ALONE) -> None:
    """Train what `before` was done for, as one of some ranks; the one that leads keeps what it gives."""
    sampler, split = task.sampler(MotionStore.open(task.motion)), read_split(task.split, task.classes)
    learnt = None if task.network.pretraining is None else load_file(finished(task.work_before()) / LEARNT)
    is_shown = ranks.leads and not task.repeat
    live = Live(task.head, task.number, sampler.params.epochs, task.classes) if is_shown else log_epoch
    fitted = motion_only.fit(
        sampler, split, task.seed, live, checkpoint, network=task.network, learnt=learnt, ranks=ranks
    )
    if not ranks.leads:
        return
    features, logits = motion_only.describe(fitted, sampler, split, task.seed)
    with atomic_path(finished(task.work())) as folder:
        keep(folder, task, fitted, features, logits, split)
        if learnt is not None:
            own = split_file(folder / "model", task.number, "")
            shutil.copyfile(finished(task.work_before()) / HISTORY, own / HISTORY)


def before(task: Task) -> None:
    """Let the network learn what it learns without labels, unless that is done, or nothing comes before."""
    if task.network.pretraining is None:
        return
    work = task.work_before()
    with checkpoint_in(work) as checkpoint:
        if not finished(work).is_dir():
            sampler, split = task.sampler(MotionStore.open(task.motion)), read_split(task.split, task.classes)
            learnt, history = motion_only.learn_without_labels(sampler, split, task.network, task.seed, checkpoint)
            with atomic_path(finished(work)) as folder:
                folder.mkdir()
                save_file({name: value.contiguous() for name, value in learnt.items()}, folder / LEARNT)
                write_history(folder / HISTORY, history)


def finished(work: Path) -> Path:
    """Where a training that is done keeps its results."""
    return work / "finished"


def keep(
    folder: Path, task: Task, fitted: motion_only.MotionOnly, features: Features, logits: Features, split: Split
) -> None:
    """Write model, features and predictions of one split below `folder`."""
    fitted.save(split_file(folder / "model", task.number, ""))
    write_features(split_file(folder / "features", task.number, ".npz"), features.ids.tolist(), features.values)
    facts = {
        "arch": fitted.net.arch,
        "parameters": fitted.cost().parameters,
        "field": list(fitted.field or ()),
        "input_macs": fitted.input_macs(),
        "inputs": fitted.inputs,
    }
    write_json(split_file(folder / "features", task.number, ".json"), facts)
    _, val, test = (split.part(part) for part in PARTS)
    of_test, of_val = (predictions(part, logits.of(part.ids)) for part in (test, val))
    write_split(folder / "preds", task.number, of_test, of_val, fitted.history)
    account = Account.of_motion(facts)
    shared = task.head not in OWN  # what a report tells of the motion network is of the one that heads share
    write_account(folder / "preds", account if shared else replace(account, streams={task.head: facts}))


def publish(task: Task, model: Path, features: Path | None, preds: Path) -> None:
    """Copy what a finished split keeps to where the graph declares it; some networks' features nobody takes."""
    source = finished(task.work())
    declared = {"model": model, "features": features, "preds": preds}
    for name, target in ((name, target) for name, target in declared.items() if target is not None):
        shutil.copytree(source / name, repeat_directory(target, task.repeat), dirs_exist_ok=True)
