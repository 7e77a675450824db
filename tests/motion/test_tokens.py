"""What the motion network knows of each frame, place by place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moclip.base.errors import DataError, ParamsError
from moclip.motion import tokens as module
from moclip.motion.net import MotionNet
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.motion.tokens import cache_motion_tokens, motion_tokens
from moclip.store import blocks
from moclip.store.blocks import BlockStore
from tests.motion.test_vit import net as transformer
from tests.support.motion_clips import MOTION, params, write_clips

IDS = ["up1", "down0", "up2", "down3", "up4", "down5", "up6"]
ARCHITECTURES = pytest.mark.parametrize(("arch", "cells"), [("small", 12), ("efficientnet_b0", 64)])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MotionStore:
    return write_clips(tmp_path_factory.mktemp("motion") / "store")


@pytest.fixture
def sampler(store: MotionStore) -> FieldSampler:
    return FieldSampler(store, MOTION, params(input_px=28))


def trained(sampler: FieldSampler, arch: str = "small") -> MotionNet:
    """Untrained, but with batch statistics of such inputs, so that what differs between inputs shows."""
    torch.manual_seed(0)
    net = MotionNet(arch, 2, 20.0)
    with torch.no_grad():
        for _ in range(40):
            net(sampler(IDS, 3))
    return net.eval().requires_grad_(False)


def test_a_transformer_has_no_map_of_each_frame_and_says_so(sampler: FieldSampler):
    with pytest.raises(ParamsError, match=r"motion_net\.arch: vit has no map of each frame"):
        motion_tokens(transformer(classes=2), sampler, IDS, 4, 1)


@ARCHITECTURES
def test_mean_of_maps_over_places_and_segments_is_the_feature(arch, cells):
    torch.manual_seed(0)
    net = MotionNet(arch, 3, 20.0).eval().requires_grad_(False)
    fields = 10 * torch.randn(2, 3, 2, cells, cells)
    maps = net.maps(fields)
    assert maps.shape[:3] == (2, 3, net.classifier.in_features)
    assert min(maps.shape[3:]) > 1
    torch.testing.assert_close(maps.mean(dim=(1, 3, 4)), net.features(fields), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(maps[1:, 2:], net.maps(fields[1:, 2:]), rtol=1e-4, atol=1e-5)


def test_maps_are_encoded_as_features_are():
    torch.manual_seed(0)
    net = MotionNet("small", 3, 20.0, "bytes").eval().requires_grad_(False)
    fields = torch.randint(0, 256, (2, 3, 2, 12, 16)).float()
    torch.testing.assert_close(net.maps(fields).mean(dim=(1, 3, 4)), net.features(fields), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 4])
def test_mean_of_single_tokens_over_frames_is_the_feature_at_the_same_points(sampler, frames):
    net = trained(sampler)
    found = motion_tokens(net, sampler, IDS, frames, 1)
    assert (found.shape, found.dtype) == ((7, frames, 1, 1, 96), np.float16)
    features = net.features(sampler(IDS, frames)).numpy()
    assert features.std(axis=0).max() > 0.05, "videos differ"
    np.testing.assert_allclose(found.astype(np.float32).mean(axis=(1, 2, 3)), features, rtol=2e-3, atol=1e-3)


def test_tokens_lie_where_their_places_lie(sampler):
    """The mean over each quarter of the map, rows first."""
    net = trained(sampler)
    maps = net.maps(sampler(IDS, 4)).numpy()
    height, width = maps.shape[3] // 2, maps.shape[4] // 2
    assert maps.shape[3:] == (2 * height + 1, 2 * width + 1), "an odd map: quarters share its middle"
    found = motion_tokens(net, sampler, IDS, 4, 2)
    for row, rows in enumerate((slice(None, height + 1), slice(height, None))):
        for column, columns in enumerate((slice(None, width + 1), slice(width, None))):
            expected = maps[:, :, :, rows, columns].mean(axis=(3, 4))
            np.testing.assert_allclose(found[:, :, row, column], expected, rtol=2e-3, atol=1e-3)


def test_network_that_was_in_training_is_used_as_it_answers(sampler):
    net = trained(sampler)
    expected = motion_tokens(net, sampler, IDS, 2, 1)
    np.testing.assert_array_equal(motion_tokens(net.train(), sampler, IDS, 2, 1), expected)
    assert not net.training


def test_grid_larger_than_the_map_is_refused(sampler, tmp_path):
    net = trained(sampler)
    with pytest.raises(
        ParamsError, match=r"tokens\.motion_grid: 8 x 8 places, but the motion network's map has 7 x 7; take fewer"
    ):
        keep(net, sampler, tmp_path, side=8)
    assert not (tmp_path / "store").exists()
    assert motion_tokens(net, sampler, IDS[:1], 2, 7).shape == (1, 2, 7, 7, 96)


def keep(net: MotionNet, sampler: FieldSampler, root: Path, ids: Sequence[str] = IDS, side: int = 2) -> BlockStore:
    cache_motion_tokens(net, sampler, ids, 3, side, root / "work", root / "store", {"network": "abc"})
    return BlockStore(root / "store")


def test_store_has_the_tokens_of_each_video_and_what_made_them(sampler, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_VIDEOS", 4)
    monkeypatch.setattr(module, "VIDEOS_AT_ONCE", 3)
    net = trained(sampler)
    stored = keep(net, sampler, tmp_path)
    assert (stored.ids, stored.made_by, stored.meta["blocks"]) == (IDS, {"network": "abc"}, 2)
    assert stored.arrays == {"motion": {"dtype": "F16", "row": [2, 2, 96]}}
    expected = motion_tokens(net, sampler, IDS, 3, 2)
    for values, own in zip(stored.rows("motion", IDS), expected, strict=True):
        np.testing.assert_allclose(values, own, rtol=2e-3, atol=1e-3)


def test_interrupted_work_goes_on_and_gives_the_bytes_of_work_at_once(sampler, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_VIDEOS", 3)
    net = trained(sampler)
    keep(net, sampler, tmp_path / "whole")
    seen: list[str] = []
    original = module.motion_tokens

    def watched(net: Any, sampler: Any, ids: Sequence[str], *rest: Any) -> np.ndarray:
        seen.extend(ids)
        if seen == IDS[:6]:
            raise KeyboardInterrupt
        return original(net, sampler, ids, *rest)

    monkeypatch.setattr(module, "motion_tokens", watched)
    with pytest.raises(KeyboardInterrupt):
        keep(net, sampler, tmp_path)
    seen.clear()
    keep(net, sampler, tmp_path)
    assert seen == IDS[3:], "a finished block is not described again"
    for file in (tmp_path / "whole" / "store").rglob("*"):
        if file.is_file():
            assert (
                tmp_path / "store" / file.relative_to(tmp_path / "whole" / "store")
            ).read_bytes() == file.read_bytes()


def test_videos_of_two_sizes_need_one_size_of_input(store, tmp_path):
    native = FieldSampler(store, MOTION, params(input_px=None))
    net = trained(native)
    with pytest.raises(DataError, match=r"wide has a grid of .*; set motion_net\.input_px"):
        keep(net, native, tmp_path, ["up1", "wide"], side=1)
    resized = FieldSampler(store, MOTION, params(input_px=28))
    assert keep(net, resized, tmp_path, ["up1", "wide"], side=1).ids == ["up1", "wide"]
