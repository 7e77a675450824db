"""The paper's input and test protocol, on stored grids."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moclip.base.random import stream, torch_stream
from moclip.motion import features as motion_eval
from moclip.motion.features import describe_crops, describe_split, describe_videos
from moclip.motion.net import MotionNet, features_and_logits
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.motion.transforms import encode_bytes, mirror, resize
from tests.support.motion_clips import MOTION, SEED, params, write_clips

IDS = ["up1", "down0", "up2", "down3", "up4"]
PAPER = {"input_px": 28, "encoding": "bytes", "mirror": "complement", "train_crops": "cut", "eval_crops": 10}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MotionStore:
    return write_clips(tmp_path_factory.mktemp("motion") / "store")


@pytest.fixture
def sampler(store: MotionStore) -> FieldSampler:
    return FieldSampler(store, MOTION, params(**PAPER))


@pytest.fixture
def net(sampler: FieldSampler) -> MotionNet:
    """Untrained, but with batch statistics of such inputs, so that what differs between inputs shows."""
    torch.manual_seed(0)
    net = MotionNet("small", 2, 20.0, "bytes")
    for _ in range(40):
        net(sampler(IDS, 3))
    return net


def test_bytes_are_encoded_before_fields_are_resized_and_stay_bytes(sampler: FieldSampler) -> None:
    native = torch.from_numpy(np.moveaxis(sampler.store.clip("up1").mv[[1, 4, 7]], -1, 1) / np.float32(2))
    (found,) = sampler(["up1"], 3)
    assert torch.equal(found, resize(encode_bytes(native, 20.0), 28).round())
    assert found.min() >= 0
    assert found.max() <= 255


def test_training_sees_random_cuts_that_follow_from_the_generators(sampler: FieldSampler) -> None:
    draws = [sampler.augmented(IDS, 3, stream(seed), torch_stream(seed)) for seed in (0, 0, 1)]
    assert draws[0].shape == (5, 3, 2, 28, 28)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(draws[0], draws[0].round())


def ten_by_hand(sampler: FieldSampler, net: MotionNet, video: str, mirrored: bool) -> torch.Tensor:
    """Second formula: every crop of every snippet as an input of its own, logits averaged, as the paper's code does."""
    large = resize(encode_bytes(sampler.read([video], 3)[0], 20.0), 32).round()
    images = [large, mirror(large, 255) if mirrored else large]
    inputs = [
        image[segment, :, y : y + 28, x : x + 28]
        for image in images
        for y, x in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))
        for segment in range(3)
    ]
    return features_and_logits(net.eval(), torch.stack(inputs)[:, None])[1].mean(dim=0)


def test_ten_crops_average_the_logits_of_all_inputs(sampler: FieldSampler, net: MotionNet) -> None:
    features, logits = describe_crops(net, sampler, IDS, SEED)
    assert features.shape == (5, net.classifier.in_features)
    expected = torch.stack([ten_by_hand(sampler, net, video, mirrored=True) for video in IDS])
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_coin_mirrors_some_videos_and_depends_on_seed_and_video_alone(sampler: FieldSampler, net: MotionNet) -> None:
    tossed = replace(sampler, params=params(**PAPER, mirrored_crops="coin"))
    _, logits = describe_crops(net, tossed, IDS, SEED)
    both = torch.stack([ten_by_hand(sampler, net, video, mirrored=True) for video in IDS]).numpy()
    heads = torch.stack([ten_by_hand(sampler, net, video, mirrored=False) for video in IDS]).numpy()
    is_both, is_heads = (np.isclose(logits, one, atol=1e-5).all(axis=1) for one in (both, heads))
    assert (is_both != is_heads).all()
    assert 0 < is_both.sum() < 5
    _, backwards = describe_crops(net, tossed, IDS[::-1], SEED)
    np.testing.assert_allclose(backwards[::-1], logits, rtol=1e-4, atol=1e-5)
    _, other_seed = describe_crops(net, tossed, IDS, (1, "motion", 1))
    assert not np.allclose(other_seed, logits, atol=1e-5)


def test_held_out_videos_are_seen_in_crops_and_train_videos_whole(sampler: FieldSampler, net: MotionNet) -> None:
    features, logits = describe_split(net, sampler, IDS[:2], IDS[2:], SEED)
    np.testing.assert_array_equal(features[:2], describe_videos(net, sampler, IDS[:2])[0])
    np.testing.assert_array_equal(logits[2:], describe_crops(net, sampler, IDS[2:], SEED)[1])
    whole = replace(sampler, params=params(**{**PAPER, "eval_crops": 1}))
    np.testing.assert_array_equal(
        describe_split(net, whole, IDS[:2], IDS[2:], SEED)[1], describe_videos(net, whole, IDS)[1]
    )


def test_large_fields_go_through_the_network_a_few_at_a_time(
    sampler: FieldSampler, net: MotionNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def watched(net: MotionNet, fields: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(fields))
        return features_and_logits(net, fields)

    monkeypatch.setattr(motion_eval, "features_and_logits", watched)
    at_once = describe_crops(net, sampler, IDS, SEED)
    assert sizes == [5] * 10
    monkeypatch.setattr(motion_eval, "CELLS_PER_PASS", 2 * 3 * 28 * 28 + 1)  # two videos of three snippets
    sizes.clear()
    apart = describe_crops(net, sampler, IDS, SEED)
    assert sizes == [2] * 20 + [1] * 10
    for one, other in zip(at_once, apart, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
