from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moclip.base.errors import DataError
from moclip.clip import cache as clip_cache
from moclip.clip.cache import image_features
from moclip.data.manifest import Video
from moclip.data.measure import measure
from moclip.data.ucf101 import find_ucf101
from moclip.store.pictures import Pictures, PictureStore, join_pictures, write_pictures
from moclip.video.bounded.worker import call
from moclip.video.crop import Box, cut_square
from moclip.video.decode import read_frames


@dataclass
class MeanColour:
    """Stands for CLIP: a frame's mean colour. Counts frames, and fails once it was given `limit` of them."""

    limit: float = float("inf")
    batches: list[int] = field(default_factory=list)

    def images(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        if sum(self.batches) + len(frames) > self.limit:
            raise KeyboardInterrupt
        self.batches.append(len(frames))
        return np.stack([frame.mean(axis=(0, 1)) for frame in frames]).astype(np.float32)


@pytest.fixture(scope="module")
def videos(demo_folder: Path) -> list[Video]:
    clips = list(find_ucf101(demo_folder, "demo").clips.values())[::5]
    return measure(clips, demo_folder, jobs=1)[::-1]  # not sorted: the order must be the caller's


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_cache, "CHUNK_VIDEOS", 3)


def encode(encoder: Any, videos: Sequence[Video], root: Path, work: Path) -> tuple[list[str], np.ndarray]:
    return image_features(encoder, videos, root, work, batch_images=2)


def test_features_of_middle_frames_in_the_order_given(videos, demo_folder, tmp_path):
    encoder = MeanColour()
    ids, values = encode(encoder, videos, demo_folder, tmp_path / "w")
    assert ids == [video.id for video in videos]
    assert len(videos) == 8
    assert encoder.batches == [2, 1, 2, 1, 2], "chunks of three videos, batches of two images"
    for video, value in zip(videos, values, strict=True):
        middle = read_frames(demo_folder / video.path, [6])[0]
        np.testing.assert_allclose(value, middle.mean(axis=(0, 1)), rtol=1e-5)


def mean_colour(video: Video, root: Path, index: int) -> np.ndarray:
    return read_frames(root / video.path, [index])[0].mean(axis=(0, 1))


def test_several_frames_count_alike_and_a_file_is_decoded_once(videos, demo_folder, tmp_path, monkeypatch):
    reads: list[Path] = []

    def counted(path: Path, *what: Any, **how: bool) -> np.ndarray:
        reads.append(path)
        return call(path, *what, **how)

    monkeypatch.setattr(clip_cache, "call", counted)
    _, values = image_features(MeanColour(), videos, demo_folder, tmp_path, frame="uniform:3", batch_images=4)
    assert sorted(reads) == sorted(demo_folder / video.path for video in videos)
    for video, value in zip(videos, values, strict=True):
        colours = [mean_colour(video, demo_folder, index) for index in (2, 6, 10)]
        expected = np.mean([colour / np.sqrt((colour**2).sum()) for colour in colours], axis=0)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("box", [None, Box(0.0, 0.0, 0.2, 0.2)])
def test_kept_frames_give_the_features_of_decoded_ones_and_need_no_video(videos, demo_folder, tmp_path, box):
    more: Any = {"batch_images": 2, "box_of": lambda video, frame: box}
    for rule, points in (("middle", [6]), ("uniform:3", [2, 6, 10])):
        pictures = [
            (video.id, Pictures(np.array(points), read_frames(demo_folder / video.path, points))) for video in videos
        ]
        blocks = [tmp_path / rule / f"{number}.block" for number in range(2)]
        for block, own in zip(blocks, (pictures[:5], pictures[5:]), strict=True):
            write_pictures(block, own, "")
        join_pictures(tmp_path / rule / "store", blocks, {})
        decoded = image_features(MeanColour(), videos, demo_folder, tmp_path / rule / "a", frame=rule, **more)
        kept = PictureStore(tmp_path / rule / "store")
        found = image_features(
            MeanColour(), videos, tmp_path / "none", tmp_path / rule / "b", frame=rule, kept=kept, **more
        )
        assert found[0] == decoded[0]
        assert found[1].tobytes() == decoded[1].tobytes()
    other = [*videos[:1], replace(videos[1], id="other"), replace(videos[2], frames=4)]
    with pytest.raises(
        DataError, match=r"2 videos cannot be used(.|\n)*lacks other(.|\n)*not \[2\]; `dvc repro -f extract"
    ):
        image_features(
            MeanColour(), other, demo_folder, tmp_path / "c", kept=PictureStore(tmp_path / "middle/store"), **more
        )


def test_random_frame_follows_from_seed_and_video_alone(videos, demo_folder, tmp_path):
    def features(name: str, some: list[Video], seed: int) -> np.ndarray:
        work = tmp_path / name
        return image_features(MeanColour(), some, demo_folder, work, frame="random", seed=seed, batch_images=2)[1]

    first, other = features("a", videos, 0), features("b", videos, 1)
    np.testing.assert_array_equal(first, features("c", videos[::-1], 0)[::-1])
    np.testing.assert_array_equal(first[:2], features("d", videos[:2], 0))
    assert (first != other).any(axis=1).sum() > len(videos) / 2
    for video, value in zip(videos, first, strict=True):
        every = [mean_colour(video, demo_folder, index) for index in range(12)]
        assert min(np.abs(value - colour).max() for colour in every) < 1e-3, "a frame of this video"


def test_interrupted_work_goes_on_where_it_stopped(videos, demo_folder, tmp_path):
    whole = encode(MeanColour(), videos, demo_folder, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        encode(MeanColour(limit=5), videos, demo_folder, tmp_path / "w")
    assert sorted(path.name for path in (tmp_path / "w").glob("*.npz")) == ["chunk-00000.npz"]
    second = MeanColour()
    resumed = encode(second, videos, demo_folder, tmp_path / "w")
    assert sum(second.batches) == 5, "the finished chunk is not encoded again"
    assert resumed[0] == whole[0]
    np.testing.assert_array_equal(resumed[1], whole[1], strict=True)
    third = MeanColour()
    encode(third, videos, demo_folder, tmp_path / "w")
    assert third.batches == []


def test_files_that_do_not_match_the_manifest_are_all_named_and_leave_no_chunk(videos, demo_folder, tmp_path):
    wrong = [*videos[:4], replace(videos[4], sha256="0" * 64), replace(videos[5], path="UCF-101/gone.avi"), *videos[6:]]
    with pytest.raises(DataError, match="2 videos cannot be used") as caught:
        encode(MeanColour(), wrong, demo_folder, tmp_path / "w")
    assert f"video {videos[4].id}: " in str(caught.value)
    assert "has changed since the manifest was written" in str(caught.value)
    assert f"video {videos[5].id}: " in str(caught.value)
    assert sorted(path.name for path in (tmp_path / "w").glob("*.npz")) == ["chunk-00000.npz"]


def test_chunks_of_other_videos_are_not_taken_for_these(videos, demo_folder, tmp_path):
    encode(MeanColour(), videos, demo_folder, tmp_path / "w")
    with pytest.raises(Exception, match=r"chunk-00000\.npz: lacks 3 of 3 videos"):
        encode(MeanColour(), videos[::-1], demo_folder, tmp_path / "w")


def test_frames_and_squares_that_motion_chooses_are_what_the_encoder_sees(videos, demo_folder, tmp_path):
    boxes = {None: None, "corner": Box(0.0, 0.0, 0.2, 0.2)}
    for name, box in boxes.items():
        peaks = {video.id: np.array([2, 9]) for video in videos}
        asked: list[tuple[str, int]] = []

        def box_of(video: str, frame: int, box: Box | None = box, asked: list[tuple[str, int]] = asked) -> Box | None:
            asked.append((video, frame))
            return box

        _, values = image_features(
            MeanColour(), videos, demo_folder, tmp_path / f"{name}", batch_images=2, peaks=peaks, box_of=box_of
        )
        assert sorted(asked) == sorted((video.id, frame) for video in videos for frame in (2, 9))
        for video, value in zip(videos, values, strict=True):
            pictures = read_frames(demo_folder / video.path, [2, 9])
            colours = [cut_square(picture, box).mean(axis=(0, 1)) for picture in pictures]
            units = [colour / np.linalg.norm(colour) for colour in colours]
            np.testing.assert_allclose(value, np.mean(units, axis=0), rtol=1e-4)
