from dataclasses import replace

import numpy as np
import pytest
import torch

from moclip.base.errors import DataError, StoreError
from moclip.base.random import make_deterministic
from moclip.data.splits import Member, Split
from moclip.motion.features import describe_split, describe_videos
from moclip.motion.net import MotionNet
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.motion.train import train_motion_net
from moclip.params.motion_net import MotionInput
from moclip.training.device import Compute
from moclip.training.history import CLASSIFIER_COLUMNS, columns, optimism_points
from moclip.training.weights import save_model
from tests.support.motion_clips import MOTION, SEED, TEST, TRAIN, VAL, params, write_clips


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MotionStore:
    return write_clips(tmp_path_factory.mktemp("motion") / "store")


def test_sampler_takes_segment_centres_in_the_order_asked_for(store):
    fields = FieldSampler(store, MOTION, params())(["up1", "down0"], 3)
    assert fields.shape == (2, 3, 2, 4, 6)
    expected = store.clip("up1").mv[[1, 4, 7]] / 2
    np.testing.assert_array_equal(fields[0].numpy(), np.moveaxis(expected, -1, 1))
    assert fields[0, :, 1].mean() < -4
    assert fields[1, :, 1].mean() > 4


def test_sampler_with_a_generator_draws_other_frames(store):
    sampler = FieldSampler(store, MOTION, params())
    draws = [sampler(["up1"], 3, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_sampler_accumulates_as_the_parameters_say(store):
    window = MOTION.model_copy(update={"accumulate": "window", "window_frames": 3})
    single, several = (FieldSampler(store, motion, params())(["down0"], 1) for motion in (MOTION, window))
    assert several[0, 0, 1].mean() > 2 * single[0, 0, 1].mean()


def test_grids_of_several_sizes_need_a_common_one(store):
    with pytest.raises(DataError, match=r"wide has a grid of \(4, 8\), up1 one of \(4, 6\); set motion_net\.input_px"):
        FieldSampler(store, MOTION, params())(["up1", "wide"], 1)
    assert FieldSampler(store, MOTION, params(input_px=16))(["up1", "wide"], 1).shape == (2, 1, 2, 16, 16)


def test_store_that_lacks_a_video_names_it(store):
    with pytest.raises(StoreError, match="absent7"):
        FieldSampler(store, MOTION, params())(["up1", "absent7"], 1)


def test_network_learns_and_same_seed_gives_same_bytes(store, tmp_path):
    sampler = FieldSampler(store, MOTION, params())
    histories = []
    for name, seed in (("a", SEED), ("b", SEED), ("c", (1, "motion", 1))):
        net, history = train_motion_net(sampler, TRAIN, VAL, seed)
        histories.append(history)
        save_model(tmp_path / name, net, net.config())
        assert not net.training
        features, logits = describe_videos(net, sampler, TEST.ids)
        assert (features.shape, logits.shape) == ((4, net.classifier.in_features), (4, 2))
        assert logits.argmax(axis=1).tolist() == TEST.labels.tolist()
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c
    assert histories[0] == histories[1]
    assert [epoch.epoch for epoch in histories[0]] == [0, 1, 2, 3]


def test_paper_protocol_learns_and_records_what_selection_on_test_adds(store, caplog):
    paper = params(
        **{"input_px": 32, "encoding": "bytes", "mirror": "complement", "train_crops": "cut", "eval_crops": 10},
        **{"mirrored_crops": "coin", "optimizer": "adam", "eps": 1e-3, "schedule": "steps", "lr_drop_epochs": [3]},
        **{"lr_scale_stem": 0.5, "lr_scale_rest": 0.5, "select": "test", "epochs": 5},
    )
    sampler = FieldSampler(store, MOTION, paper)
    net, history = train_motion_net(sampler, TRAIN, VAL, SEED, test=TEST)
    assert "SELECT: TEST" in caplog.text
    assert [epoch.lr for epoch in history] == pytest.approx([0.01, 0.01, 0.01, 0.001, 0.001])
    assert max(epoch["test_top1_pct"] for epoch in history) == 100.0
    assert optimism_points(history) is not None
    _, logits = describe_split(net, sampler, TRAIN.ids, TEST.ids, SEED)
    assert logits[len(TRAIN.ids) :].argmax(axis=1).tolist() == TEST.labels.tolist()


def test_test_part_is_not_looked_at_unless_it_selects(store, tmp_path):
    sampler = FieldSampler(store, MOTION, params(epochs=1))
    absent = Split([Member("absent7", 0, "test", "g")], TRAIN.classes)
    for name, test in (("with", absent), ("without", None)):
        net, history = train_motion_net(sampler, TRAIN, VAL, SEED, test=test)
        assert columns(history) == CLASSIFIER_COLUMNS
        save_model(tmp_path / name, net, net.config())
    assert (tmp_path / "with/model.safetensors").read_bytes() == (tmp_path / "without/model.safetensors").read_bytes()


def test_bf16_and_channels_last_come_close_to_full_precision(store):
    losses = []
    for compute in (Compute(), Compute(channels_last=True), Compute(amp=torch.bfloat16)):
        sampler = FieldSampler(store, MOTION, params(epochs=1), compute)
        net, (epoch,) = train_motion_net(sampler, TRAIN, VAL, SEED)
        features, logits = describe_videos(net, sampler, TEST.ids)
        assert (features.dtype, logits.dtype) == (np.float32, np.float32)
        losses.append(epoch["train_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=3e-2)
    assert losses[2] != losses[0]


def test_efficientnet_trains_with_parts_at_rates_of_their_own(store):
    sizes = {"arch": "efficientnet_b0", "input_px": 32, "epochs": 1, "batch_videos": 16, "segments": 1}
    scales = {
        "lr_scale_stem": 0.1,
        "lr_scale_rest": 1e-6,
        "optimizer": "adam",
        "schedule": "steps",
        "lr_drop_epochs": [9],
    }
    sampler = FieldSampler(store, MOTION, params(**sizes, **scales, eval_segments=1, weight_decay=0.0))
    torch.manual_seed(0)
    net, _ = train_motion_net(sampler, TRAIN, VAL, SEED)
    make_deterministic(*SEED)
    start = MotionNet("efficientnet_b0", 2, 20.0)
    steps = {
        part: max((a - b).abs().max().item() for a, b in zip(held, start.parameter_groups()[part], strict=True))
        for part, held in net.parameter_groups().items()
    }
    assert steps["classifier"] == pytest.approx(0.01, rel=0.01)
    assert steps["stem"] == pytest.approx(0.001, rel=0.01)
    assert steps["rest"] < 1e-6


def test_description_depends_on_the_video_alone(store):
    sampler = FieldSampler(store, MOTION, params())
    net, _ = train_motion_net(sampler, TRAIN, VAL, SEED)
    net.train()  # describe_videos must not rely on its caller
    whole = describe_videos(net, sampler, TEST.ids)
    backwards = describe_videos(net, replace(sampler, params=params(batch_videos=3)), TEST.ids[::-1])
    for one, other in zip(whole, backwards, strict=True):
        np.testing.assert_allclose(one, other[::-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("parts", "said"), [(1, False), (4, True)])
def test_parts_of_batches_are_said_where_there_are_any_and_were_one_before(parts, said):
    made_for = MotionInput(motion=MOTION, motion_net=params(batch_parts=parts), seed=0, split=1)
    saved = made_for.saved()
    assert ("batch_parts" in saved["motion_net"]) == said
    assert "checkpoint" in saved["motion_net"], "null is said"
    assert MotionInput(**saved) == made_for


def test_empty_train_part_and_missing_validation_are_refused(store):
    sampler, nothing = FieldSampler(store, MOTION, params()), Split([], TRAIN.classes)
    with pytest.raises(DataError, match="train part of this split has no video"):
        train_motion_net(sampler, nothing, VAL, SEED)
    with pytest.raises(DataError, match="needs a validation part"):
        train_motion_net(sampler, TRAIN, nothing, SEED)
    _, history = train_motion_net(replace(sampler, params=params(epochs=1, select="last")), TRAIN, nothing, SEED)
    assert len(history) == 1
