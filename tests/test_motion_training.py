from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from moclip.errors import DataError, StoreError
from moclip.models.store import save_model
from moclip.motion import MotionGrid
from moclip.motion_eval import Labelled, describe_videos
from moclip.motion_fields import FieldSampler
from moclip.motion_store import MotionStore, write_store
from moclip.motion_training import train_motion_net
from moclip.schema.motion import MotionParams
from moclip.schema.training import MotionNetParams
from moclip.video import FrameState
from tests.imports import ROOT

MOTION = MotionParams(source="original", cell_px=16, reference="backward", accumulate="none", window_frames=None)
MOTION_NET: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["motion_net"]
SEED = (0, "motion", 1)
FRAMES = 9


def params(**changes: Any) -> MotionNetParams:
    values = {**MOTION_NET, "segments": 2, "eval_segments": 3, "epochs": 4, "batch_videos": 8, "lr": 0.01}
    return MotionNetParams(**{**values, **changes})


def grid(half_pels: int, seed: int, width: int = 96) -> MotionGrid:
    """Vertical motion of `half_pels` with noise; upright, so that mirroring keeps the class."""
    rng = np.random.default_rng(seed)
    mv = rng.integers(-4, 5, (FRAMES, 4, width // 16, 2)).astype(np.int8)
    mv[..., 1] += half_pels
    state = np.full(FRAMES, FrameState.VECTORS, dtype=np.uint8)
    return MotionGrid(mv, state, 0, 16, width, 64, 25.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MotionStore:
    """Videos down0, up0, down1, ... and one of another size."""
    path: Path = tmp_path_factory.mktemp("motion") / "store"
    clips = [(f"{name}{i}", grid(sign * 12, i)) for i in range(12) for name, sign in (("down", 1), ("up", -1))]
    write_store(path, [*clips, ("wide", grid(0, 0, width=128))], {"source": "original"})
    return MotionStore.open(path)


def part(start: int, end: int) -> Labelled:
    pairs = [(f"{name}{i}", label) for i in range(start, end) for label, name in enumerate(("down", "up"))]
    return Labelled([video for video, _ in pairs], [label for _, label in pairs])


TRAIN, VAL, TEST = part(0, 8), part(8, 10), part(10, 12)


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
        net, history = train_motion_net(sampler, TRAIN, VAL, 2, seed)
        histories.append(history)
        save_model(tmp_path / name, net, net.config())
        assert not net.training
        features, logits = describe_videos(net, sampler, TEST.ids)
        assert (features.shape, logits.shape) == ((4, net.classifier.in_features), (4, 2))
        assert logits.argmax(axis=1).tolist() == TEST.labels
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c
    assert histories[0] == histories[1]
    assert [epoch.epoch for epoch in histories[0]] == [0, 1, 2, 3]


def test_description_depends_on_the_video_alone(store):
    sampler = FieldSampler(store, MOTION, params())
    net, _ = train_motion_net(sampler, TRAIN, VAL, 2, SEED)
    net.train()  # describe_videos must not rely on its caller
    whole = describe_videos(net, sampler, TEST.ids)
    backwards = describe_videos(net, replace(sampler, params=params(batch_videos=3)), TEST.ids[::-1])
    for one, other in zip(whole, backwards, strict=True):
        np.testing.assert_allclose(one, other[::-1], rtol=1e-4, atol=1e-5)


def test_empty_train_part_and_missing_validation_are_refused(store):
    sampler, nothing = FieldSampler(store, MOTION, params()), Labelled([], [])
    with pytest.raises(DataError, match="train part of this split has no video"):
        train_motion_net(sampler, nothing, VAL, 2, SEED)
    with pytest.raises(DataError, match="needs a validation part"):
        train_motion_net(sampler, TRAIN, nothing, 2, SEED)
    _, history = train_motion_net(replace(sampler, params=params(epochs=1, select="last")), TRAIN, nothing, 2, SEED)
    assert len(history) == 1
