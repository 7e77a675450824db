"""What both ways of pretraining share: the train videos alone, no label, kills, and what a training takes up of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from moclip.base.errors import DataError, ParamsError, StoreError
from moclip.base.random import make_deterministic
from moclip.data.splits import Member, Split
from moclip.heads.motion_only import Network, fit, learn_without_labels, load
from moclip.motion.net import MotionNet
from moclip.motion.pretrain.start import Pretraining
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.motion.train import network_of, train_motion_net
from moclip.params.motion_net import as_vit
from moclip.training import checkpoint as checkpoints
from moclip.training.checkpoint import Checkpoint
from moclip.training.history import Epoch
from tests.motion.test_mae import settings as of_mae
from tests.motion.test_mcl import settings as of_mcl
from tests.motion.test_vit import shape
from tests.support.motion_clips import MOTION, SEED, TEST, TRAIN, VAL, params, write_clips

SPLIT = Split([*TRAIN.members, *VAL.members, *TEST.members], TRAIN.classes)
VIT = shape(patch=1)
MAE = Pretraining(of_mae(epochs=3, batch_videos=8, masks_per_read=2, decoder_width=16, warmup_epochs=0.0), "train")
MCL = Pretraining(of_mcl(epochs=3), "train")
NETWORKS = {"mcl": Network(None, MCL), "mae": Network(VIT, MAE)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MotionStore:
    return write_clips(tmp_path_factory.mktemp("motion") / "store")


def sampler_of(store: MotionStore, method: str, **changes: Any) -> FieldSampler:
    own = params(**changes)
    return FieldSampler(store, MOTION, as_vit(own, VIT) if method == "mae" else own)


def learnt(store: MotionStore, method: str, split: Split = SPLIT, **changes: Any) -> dict[str, Tensor]:
    return learn_without_labels(sampler_of(store, method), split, NETWORKS[method], SEED, **changes)[0]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", NETWORKS)
def test_it_learns_the_same_bytes_from_the_same_seed_and_no_classifier(store: MotionStore, method: str) -> None:
    own = sampler_of(store, method)
    found, history = learn_without_labels(own, SPLIT, NETWORKS[method], SEED)
    make_deterministic(*SEED)
    start = network_of(own.params, 2, NETWORKS[method].vit).learnt()
    assert found.keys() == start.keys()
    assert not any(name.startswith("classifier") for name in found)
    changed = [name for name in found if not torch.equal(found[name], start[name])]
    assert len(changed) > 0.9 * len(found)
    assert [epoch.epoch for epoch in history] == [0, 1, 2]
    assert same(found, learnt(store, method))


@pytest.mark.parametrize("method", NETWORKS)
def test_no_label_is_looked_at(store: MotionStore, method: str) -> None:
    members = [replace(member, label=1 - member.label) for member in SPLIT.members]
    assert same(learnt(store, method), learnt(store, method, Split(members, SPLIT.classes)))


@pytest.mark.parametrize("method", NETWORKS)
def test_held_out_videos_are_not_looked_at_unless_all_are_asked_for(store: MotionStore, method: str) -> None:
    absent = [Member("absent7", 0, "test", "g"), Member("absent8", 0, "val", "h")]
    split = Split([*TRAIN.members, *absent], TRAIN.classes)
    assert same(learnt(store, method), learnt(store, method, split))
    everything = replace(NETWORKS[method].pretraining, videos="all")
    with pytest.raises(StoreError, match="absent"):
        learn_without_labels(sampler_of(store, method), split, Network(NETWORKS[method].vit, everything), SEED)
    assert set(everything.ids(SPLIT)) == set(SPLIT.ids)
    assert everything.facts()["videos"] == "all"


@pytest.mark.parametrize("method", NETWORKS)
def test_killed_pretraining_ends_with_the_bytes_of_an_undisturbed_one(
    store: MotionStore, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SAVE_EVERY_S", 0.0)
    saved = Checkpoint.save_if_due

    def killed(self: Checkpoint, capture: Any) -> None:
        saved(self, capture)
        raise KeyboardInterrupt

    state = Checkpoint(tmp_path / "state.pt")
    monkeypatch.setattr(Checkpoint, "save_if_due", killed)
    for _ in range(2):  # it goes on twice, an epoch each
        with pytest.raises(KeyboardInterrupt):
            learnt(store, method, checkpoint=state)
    monkeypatch.setattr(Checkpoint, "save_if_due", saved)
    own = sampler_of(store, method)
    found, history = learn_without_labels(own, SPLIT, NETWORKS[method], SEED, Checkpoint(tmp_path / "state.pt"))
    assert len(history) == 3
    assert same(found, learnt(store, method))


def test_training_takes_up_what_was_learnt_and_its_classifier_starts_as_without(store: MotionStore) -> None:
    found = learnt(store, "mcl")
    own = sampler_of(store, "mcl", train="classifier", epochs=1, lr=1e-9)
    nets = [train_motion_net(own, TRAIN, VAL, SEED, learnt=before)[0] for before in (found, None)]
    assert same(nets[0].learnt(), found)
    assert not same(nets[1].learnt(), found)
    for one, other in zip(nets[0].classifier.parameters(), nets[1].classifier.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=0)


def test_what_another_network_learnt_is_refused(store: MotionStore) -> None:
    net = MotionNet("small", 2, 20.0)
    with pytest.raises(StoreError, match=r"is of another network, first in backbone\..*; pretrain again"):
        net.begin_from(learnt(store, "mae"))
    with pytest.raises(ParamsError, match=r"mae needs motion_net\.arch: vit"):
        learn_without_labels(sampler_of(store, "mcl"), SPLIT, Network(None, MAE), SEED)
    with pytest.raises(DataError, match="1 videos to learn from; it needs two or more"):
        MCL.ids(Split(TRAIN.members[:1], TRAIN.classes))


@pytest.mark.parametrize("method", NETWORKS)
def test_linear_protocol_leaves_every_weight_and_statistic_below_the_classifier(
    store: MotionStore, method: str
) -> None:
    found = learnt(store, method)
    epochs: list[Epoch] = []
    fitted = fit(
        sampler_of(store, method, train="classifier"),
        SPLIT,
        SEED,
        epochs.append,
        network=NETWORKS[method],
        learnt=found,
    )
    assert same(fitted.net.learnt(), found)
    classifier = sum(one.numel() for one in fitted.net.classifier.parameters())
    assert fitted.cost().parameters == classifier, "what training changed"
    assert len(epochs) == fitted.made_for.motion_net.epochs
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]


@pytest.mark.parametrize("method", NETWORKS)
def test_saved_network_says_how_it_was_pretrained_and_answers_alike(
    store: MotionStore, method: str, tmp_path: Path
) -> None:
    own = sampler_of(store, method)
    fitted = fit(own, SPLIT, SEED, network=NETWORKS[method], learnt=learnt(store, method))
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.learnt == NETWORKS[method].pretraining.facts()
    assert loaded.learnt["method"] == method
    fields = own(TEST.ids, own.params.eval_segments)
    assert torch.equal(loaded.net(fields), fitted.net.eval()(fields))
    inputs = 1 if method == "mae" else own.params.eval_segments
    assert fitted.cost().macs == inputs * fitted.input_macs()


def test_without_pretraining_nothing_is_said_of_it(store: MotionStore, tmp_path: Path) -> None:
    fitted = fit(sampler_of(store, "mcl", epochs=1), SPLIT, SEED)
    fitted.save(tmp_path / "model")
    assert '"learnt"' not in (tmp_path / "model/config.json").read_text()
    assert '"train"' not in (tmp_path / "model/config.json").read_text()
