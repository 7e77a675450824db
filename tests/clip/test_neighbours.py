"""Frames that see those beside them, over the whole of CLIP's image encoder and without training."""

from typing import Any

import numpy as np
import pytest
import torch
from open_clip import image_transform

from moclip.base.errors import StoreError
from moclip.clip.encoder import Encoder
from moclip.clip.neighbours import clip_features
from moclip.training.frozen import Frozen
from tests.support.towers import resnet, vit

N, T = 2, 5
FAMILIES = pytest.mark.parametrize("family", [vit, resnet])


def encoder(family: Any) -> Encoder:
    model = family()
    side = model.visual.image_size
    return Encoder(Frozen(model), image_transform(side, is_train=False), None, 20.0)


def pictures(count: int = N * T, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 48, 64, 3), dtype=np.uint8))


def of(frames: list[np.ndarray]) -> list[list[np.ndarray]]:
    return [frames[start : start + T] for start in range(0, len(frames), T)]


@FAMILIES
def test_static_videos_have_clips_own_feature_where_ends_repeat(family):
    clip, frames = encoder(family), pictures(N)
    found = clip_features(clip, [[frame] * T for frame in frames], "repeat")
    alone = clip.images(frames)
    assert found.shape == (N, T, alone.shape[1])
    np.testing.assert_allclose(found, np.repeat(alone[:, None], T, axis=1), rtol=0, atol=2e-6 * np.abs(alone).max())


def test_zeros_change_a_static_video_where_the_ends_reach_alone():
    """Three blocks of a ViT: of nine frames, the outer three on each side."""
    clip, frame = encoder(vit), pictures(1)[0]
    found, alone = clip_features(clip, [[frame] * 9], "zeros")[0], clip.images([frame])[0]
    apart = np.linalg.norm(found - alone, axis=1) / np.linalg.norm(alone)
    assert (apart[[0, 1, 2, 6, 7, 8]] > 1e-4).all()
    assert apart[3:6].max() < 1e-5
    assert apart[0] > 0.05


@FAMILIES
@pytest.mark.parametrize("edges", ["repeat", "zeros"])
def test_reversed_videos_have_reversed_features(family, edges):
    clip, frames = encoder(family), pictures(T)
    found = clip_features(clip, [frames], edges)
    turned = clip_features(clip, [frames[::-1]], edges)
    np.testing.assert_allclose(turned[:, ::-1], found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("family", "reach"), [(vit, 3), (resnet, 1)])
def test_the_first_frame_reaches_as_many_as_there_are_attentions(family, reach):
    clip, frames = encoder(family), pictures(T)
    changed = [pictures(1, seed=1)[0], *frames[1:]]
    found, other = (clip_features(clip, [own], "repeat")[0] for own in (frames, changed))
    apart = np.abs(found - other).max(axis=1)
    assert (apart[: reach + 1] > 1e-5).all()
    assert (apart[reach + 1 :] < 1e-6).all()


def test_videos_of_a_batch_do_not_see_each_other():
    clip, videos = encoder(vit), of(pictures())
    together = clip_features(clip, videos, "repeat")
    apart = np.concatenate([clip_features(clip, [video], "repeat") for video in videos])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-5)


def test_damaged_weights_are_refused():
    clip = encoder(vit)
    with torch.no_grad():
        clip.model.backbone.visual.proj.fill_(float("inf"))
    with pytest.raises(StoreError, match="features of neighbouring frames are not finite"):
        clip_features(clip, of(pictures()), "repeat")
