"""What CLIP sees of a video's frames, each apart, in a store of blocks."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from moclip.base.errors import DataError, ParamsError, StoreError
from moclip.clip import frames as module
from moclip.clip.encoder import Encoder
from moclip.clip.frames import Array, cache_frames, frame_values, made_by
from moclip.clip.tokens import pooled, residual, spatial_tokens
from moclip.clip.top import ClipTop
from moclip.data.manifest import Video
from moclip.data.measure import measure
from moclip.data.ucf101 import find_ucf101
from moclip.params.frames import FramesParams
from moclip.store import blocks
from moclip.store.blocks import BlockStore
from moclip.training.frozen import Frozen
from moclip.video.decode import read_frames
from moclip.video.frames import segment_points
from tests.support.towers import resnet, resnet_encoder, vit
from tests.support.trees import content

PARAMS: dict[str, Any] = {
    "rule": "uniform:3",
    "grid": 1,
    "path": "value",
    "cut": 2,
    "select": "uniform",
    "keep": None,
    "order": "time",
}
SHAPES = {"global": (64,), "grid": (1, 1, 64), "residual": (64, 64)}
PROVENANCE = {"manifest": "abc"}


def params(**changes: Any) -> FramesParams:
    return FramesParams(**{**PARAMS, **changes})


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return resnet_encoder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def videos(demo_folder: Path) -> list[Video]:
    clips = list(find_ucf101(demo_folder, "demo").clips.values())[::5]
    return measure(clips, demo_folder, jobs=1)[::-1]  # not sorted: the order must be the caller's


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_VIDEOS", 3)


@pytest.fixture
def cache(encoder: Encoder, demo_folder: Path, tmp_path: Path) -> Any:
    def make(
        some: Sequence[Video], array: Any = "global", name: str = "a", encoder: Encoder = encoder, **changes: Any
    ) -> Path:
        own, out = params(**changes), tmp_path / name / "frames"
        cache_frames(
            *(encoder, some, demo_folder, tmp_path / name / "work", out, array, own),
            batch_images=4,
            provenance=PROVENANCE,
        )
        return out

    return make


def pictures(video: Video, root: Path, count: int = 3) -> list[np.ndarray]:
    return list(read_frames(root / video.path, segment_points(video.frames, count).tolist()))


@pytest.mark.parametrize("array", get_args(Array))
def test_each_array_has_the_values_of_each_frame_in_half_precision(cache, encoder, videos, demo_folder, array):
    store = BlockStore(cache(videos, array))
    assert store.ids == [video.id for video in videos]
    assert store.made_by == {**PROVENANCE, **made_by(array, params())}
    assert store.arrays[array] == {"dtype": "F16", "row": list(SHAPES[array])}
    points = store.rows("points", store.ids)
    for video, own, values in zip(videos, points, store.rows(array, store.ids), strict=True):
        assert (own.tolist(), own.dtype) == ([2, 6, 10], np.int32)
        images = pictures(video, demo_folder)
        expected = frame_values(encoder, array, params(), images)
        np.testing.assert_allclose(values, expected, rtol=2e-3, atol=2e-3)
        feature = encoder.images(images)
        if array == "global":
            np.testing.assert_allclose(values, feature, rtol=1e-3, atol=1e-3)
        if array == "residual":
            tokens = torch.from_numpy(values.astype(np.float32))
            found = ClipTop(encoder.model.backbone, 2).pooled(tokens[None])[0]
            assert functional.cosine_similarity(found, torch.from_numpy(feature)).min() > 0.9999


def test_arrays_are_the_tokens_and_the_stream_of_the_encoder(encoder):
    frames = list(np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8))
    model = encoder.model.backbone
    x = torch.stack([encoder.preprocess(Image.fromarray(frame)) for frame in frames])
    expected = {"grid": pooled(spatial_tokens(model, x), 2), "residual": residual(model, x, 2)}
    for name, values in expected.items():
        found = frame_values(encoder, name, params(grid=2), frames)
        assert np.array_equal(found, values.half().numpy())


def test_points_are_the_centres_of_segments_of_the_rule(cache, videos):
    store = BlockStore(cache(videos, rule="uniform:5"))
    for video, points in zip(videos, store.rows("points", store.ids), strict=True):
        np.testing.assert_array_equal(points, segment_points(video.frames, 5))


def test_videos_of_a_block_are_decoded_a_few_at_a_time(cache, videos, monkeypatch):
    whole = content(cache(videos, "global", "whole"))
    sizes: list[int] = []
    original = module.pictures_of

    def watched(some: Sequence[Video], *rest: Any) -> Any:
        sizes.append(len(some))
        return original(some, *rest)

    monkeypatch.setattr(module, "pictures_of", watched)
    monkeypatch.setattr(module, "FRAMES_HELD", 7)  # two videos of three frames
    assert list(content(cache(videos, "global", "few"))) == list(whole)
    assert sizes == [2, 1, 2, 1, 2]
    monkeypatch.setattr(module, "FRAMES_HELD", 1)
    sizes.clear()
    cache(videos, "global", "one")
    assert sizes == [1] * 8


def test_interrupted_work_goes_on_and_gives_the_bytes_of_work_at_once(cache, videos, tmp_path, monkeypatch):
    whole = content(cache(videos, "grid", "whole"))
    read: list[str] = []
    limit = 5
    original = module.pictures_of

    def watched(some: Sequence[Video], *rest: Any) -> Any:
        if len(read) + len(some) > limit:
            raise KeyboardInterrupt
        read.extend(video.id for video in some)
        return original(some, *rest)

    monkeypatch.setattr(module, "pictures_of", watched)
    with pytest.raises(KeyboardInterrupt):
        cache(videos, "grid")
    assert sorted(path.name for path in (tmp_path / "a" / "work").glob("*.block")) == ["000000.block"]
    assert not (tmp_path / "a" / "frames").exists()
    read.clear()
    resumed = cache(videos, "grid")
    assert read == [video.id for video in videos[3:]], "a finished block is not decoded again"
    assert content(resumed) == whole
    read.clear()
    assert content(cache(videos, "grid")) == whole
    assert read == []


def test_missing_and_changed_videos_are_all_named_and_leave_no_block(cache, videos, tmp_path):
    wrong = [*videos[:3], replace(videos[3], sha256="0" * 64), replace(videos[4], path="UCF-101/gone.avi"), *videos[5:]]
    with pytest.raises(DataError, match="2 videos cannot be used") as caught:
        cache(wrong)
    assert f"video {videos[3].id}: " in str(caught.value)
    assert "has changed since the manifest was written" in str(caught.value)
    assert f"video {videos[4].id}: " in str(caught.value)
    assert sorted(path.name for path in (tmp_path / "a" / "work").glob("*.block")) == ["000000.block"]
    assert not (tmp_path / "a" / "frames").exists()


def test_size_and_time_are_said_once_before_the_work_is_done(cache, videos, caplog):
    caplog.set_level(logging.INFO, "moclip.clip.frames")
    cache(videos, "residual")
    (said,) = [record.getMessage() for record in caplog.records if "images of" in record.getMessage()]
    gib = 24 * 64 * 64 * 2 / 2**30
    assert said.startswith(f"24 images of (64, 64): {gib:.2f} GiB, about ")
    assert said.endswith("images/s, decoding apart")


def test_forecast_counts_bytes_of_all_images(caplog):
    caplog.set_level(logging.INFO, "moclip.clip.frames")
    forecast = module._Forecast(106_560)
    for seconds in (2.0, 50.0):
        forecast.after(100, seconds, np.zeros((100, 50, 768), np.float16))
    (said,) = caplog.messages
    assert said == "106560 images of (50, 768): 7.62 GiB, about 35.5 minutes at 50 images/s, decoding apart"


def test_a_grid_or_a_cut_that_the_encoder_lacks_is_refused_before_a_store_is_there(cache, videos, tmp_path):
    with pytest.raises(ParamsError, match=r"frames\.grid: 3 x 3 places, but this CLIP's map has 2 x 2"):
        cache(videos, "grid", grid=3)
    with pytest.raises(ParamsError, match=r"frames\.cut: 5 blocks, but this CLIP's image encoder has 4"):
        cache(videos, "residual", cut=5)
    with pytest.raises(ParamsError, match=r"frames\.path: last needs a ViT"):
        cache(videos, "grid", path="last")
    assert not (tmp_path / "a" / "frames").exists()


def test_encoder_without_places_gives_global_features_alone(encoder):
    other = vit(pool_type="avg", image_size=64)
    without = replace(encoder, model=Frozen(other))
    frames = [np.zeros((64, 64, 3), np.uint8)]
    assert frame_values(without, "global", params(), frames).shape == (1, 24)
    for array in ("grid", "residual"):
        with pytest.raises(ParamsError, match="has no spatial tokens"):
            frame_values(without, array, params(), frames)


@pytest.mark.parametrize("array", get_args(Array))
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_value_beyond_half_precision_is_refused_with_its_video(cache, encoder, videos, array):
    model = resnet()
    for weight in (model.visual.attnpool.c_proj.weight, model.visual.layer2[0].bn3.bias):
        weight.data += 1e6
    with pytest.raises(StoreError, match=rf"000000\.block: '{array}' of {videos[0].id} is not finite in float16"):
        cache(videos, array, encoder=replace(encoder, model=Frozen(model)))


@pytest.mark.parametrize(
    ("array", "other"),
    [
        ("global", {"rule": "uniform:4"}),
        ("grid", {"grid": 2}),
        ("grid", {"path": "last"}),
        ("residual", {"cut": 1}),
        ("residual", {"rule": "uniform:4"}),
    ],
)
def test_what_an_array_hangs_on_tells_stores_apart(array, other):
    assert made_by(array, params(**other)) != made_by(array, params())


@pytest.mark.parametrize(
    ("array", "other"), [("global", {"grid": 2, "cut": 1}), ("grid", {"cut": 1}), ("residual", {"grid": 2})]
)
def test_what_an_array_does_not_hang_on_leaves_its_store_alone(array, other):
    assert made_by(array, params(**other, select="still", keep=2)) == made_by(array, params())
