"""Frames that the motion pass keeps: those that decoding anew gives, and motion as it is without them."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import ParamsError, StoreError, VideoError
from moclip.base.files import sha256_file
from moclip.motion import extract as module
from moclip.motion.extract import MotionOptions, VideoFile, extract
from moclip.store.pictures import PictureStore, pictures_in
from moclip.video.decode import probe, read_frames
from moclip.video.frames import evaluation_frames
from tests.support.clips import encode, scrolling
from tests.support.containers import cut, streamed
from tests.support.trees import content

QUARTER = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
RULE, BLOCK = "uniform:3", 4
PLAIN = MotionOptions()
RUN = """
import sys
from pathlib import Path
from moclip.motion import extract as module
from tests.motion.test_kept_frames import BLOCK, videos_in
module.BLOCK_VIDEOS = BLOCK
folder, place = map(Path, sys.argv[1:])
module.extract(
    videos_in(folder), place / "store", place / "work", module.MotionOptions(), jobs=1, pictures=place / "kept"
)
"""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_VIDEOS", BLOCK)


def videos_in(folder: Path) -> list[VideoFile]:
    """Videos as a stage names them: the damaged ones as the manifest does, by looking."""
    found = []
    for path in sorted(folder.iterdir()):
        info = probe(path, damaged=True)
        keep = tuple(np.unique(evaluation_frames(RULE, info.frames)).tolist())
        found.append(VideoFile(path.stem, path, sha256_file(path), bool(info.damage), keep))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codecs with and without B-frames, a turned film, one whose container states nothing, and damaged ones."""
    here, besides = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("besides")
    mpeg4 = {"g": "12", "bf": "0"}
    encode(here / "a_mpeg4.avi", scrolling(30, 3, -1), options=mpeg4)
    encode(here / "b_mpeg4_b_frames.avi", scrolling(25, 2, 1), options={"g": "99", "bf": "2"})
    h264 = encode(here / "c_h264_b_frames.mp4", scrolling(28, 3, 1), "libx264", options={"bf": "3", "refs": "4"})
    encode(here / "d_turned.mp4", scrolling(20, 2, 0), "libx264", matrix=QUARTER)
    streamed(h264, here / "e_unstated.ts", "mpegts")
    encode(here / "f_cropped.mp4", scrolling(12, 1, 1, 170, 130), "libx264", options={"bf": "2"})
    encode(here / "g_mpeg2.mpg", scrolling(14, 2, 1), "mpeg2video", options={"bf": "2"})
    whole = encode(besides / "whole.avi", scrolling(30, 1, -2), options=mpeg4)
    cut(whole, here / "h_cut.avi", whole.stat().st_size * 2 // 3)
    cut(here / "e_unstated.ts", here / "i_cut.ts", (here / "e_unstated.ts").stat().st_size // 2)
    encode(here / "j_short.avi", scrolling(2, 1, 0))  # frames of the rule come twice
    return here


@pytest.fixture(scope="module")
def videos(folder: Path) -> list[VideoFile]:
    found = videos_in(folder)
    assert [item.id for item in found if item.damaged] == ["h_cut", "i_cut"]
    assert found[-1].keep == (0, 1)
    return found


@pytest.fixture(scope="module")
def without(videos: Sequence[VideoFile], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store of the motion where no frame is kept."""
    place = tmp_path_factory.mktemp("without")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_VIDEOS", BLOCK)
        extract(videos, place / "store", place / "work", MotionOptions(), jobs=1)
    return content(place / "store")


@pytest.fixture(scope="module")
def kept(videos: Sequence[VideoFile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an extraction kept frames."""
    place = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_VIDEOS", BLOCK)
        keep(videos, place)
    return place


def keep(videos: Sequence[VideoFile], place: Path, options: MotionOptions = PLAIN, jobs: int = 1) -> int:
    """Extract and keep; how many videos were decoded."""
    return extract(videos, place / "store", place / "work", options, jobs=jobs, pictures=place / "kept").decoded


def test_kept_frames_are_those_that_decoding_anew_gives_and_motion_is_the_same(kept, videos, without):
    assert content(kept / "store") == without
    store = PictureStore(pictures_in(kept / "kept"))
    for item in videos:
        wanted = np.array(item.keep)
        expected = read_frames(item.path, item.keep, damaged=item.damaged)
        np.testing.assert_array_equal(store.of(item.id, wanted), expected, strict=True, err_msg=item.id)
        backward = np.concatenate([wanted[::-1], wanted])
        np.testing.assert_array_equal(store.of(item.id, backward), np.concatenate([expected[::-1], expected]))
    assert not list(kept.glob("work/*/*.pictures")), "blocks have them"


def test_of_reencoded_motion_the_frames_are_of_the_video_itself(kept, videos, tmp_path):
    assert keep(videos, tmp_path, MotionOptions(source="reencoded"), jobs=2) == len(videos)
    assert content(tmp_path / "kept") == content(kept / "kept")


def test_frames_that_are_there_are_not_decoded_for_again_whatever_the_motion(kept, videos, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a frame is kept again")

    (tmp_path / "kept").symlink_to(kept / "kept")
    before = content(kept / "kept")
    monkeypatch.setattr(module, "write_pictures", refuse)
    assert keep(videos, tmp_path, MotionOptions(cell_px=8)) == len(videos)
    assert keep(videos, tmp_path, MotionOptions(cell_px=8)) == 0
    assert content(kept / "kept") == before


def test_motion_that_is_there_is_decoded_for_frames_that_are_not(kept, videos, without, tmp_path):
    extract(videos, tmp_path / "store", tmp_path / "work", MotionOptions(), jobs=1)
    times = {block: block.stat().st_mtime_ns for block in tmp_path.glob("work/*/*.block")}
    assert keep(videos, tmp_path) == len(videos)
    assert content(tmp_path / "kept") == content(kept / "kept")
    assert content(tmp_path / "store") == without
    assert {block: block.stat().st_mtime_ns for block in times} == times
    (tmp_path / "kept" / "000001.block").unlink()
    assert keep(videos, tmp_path) == BLOCK, "videos of the block that is missing"
    assert content(tmp_path / "kept") == content(kept / "kept")


@pytest.mark.parametrize("finished", [1, 5, 10])
def test_kill_9_changes_no_byte_and_decodes_no_kept_video_again(kept, folder, videos, without, tmp_path, finished):
    running = subprocess.Popen([sys.executable, "-c", RUN, folder, tmp_path], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 300
    while len(grids := list(tmp_path.glob("work/*/[!.]*.grid"))) < finished:
        assert time.monotonic() < deadline
        assert running.poll() is None or len(grids) >= finished
        time.sleep(0.001)
    running.kill()
    running.wait()
    grids = list(tmp_path.glob("work/*/[!.]*.grid"))
    assert keep(videos, tmp_path) <= len(videos) - len(grids)
    assert content(tmp_path / "store") == without
    assert content(tmp_path / "kept") == content(kept / "kept")
    assert not list(tmp_path.glob("*/.*")) + list(tmp_path.glob("work/*/.*"))


def test_a_torn_file_of_kept_frames_is_made_again(kept, videos, tmp_path):
    keep(videos, tmp_path)
    block = tmp_path / "kept" / "000000.block"
    whole = block.read_bytes()
    block.unlink()  # it is linked into the store
    block.write_bytes(whole[:-10])
    assert keep(videos, tmp_path) == BLOCK
    assert content(tmp_path / "kept") == content(kept / "kept")


def test_a_frame_behind_the_end_is_named_with_the_remedy(videos, tmp_path):
    short = VideoFile("short", videos[0].path, None, False, (3, 30))
    with pytest.raises(VideoError, match=r"a_mpeg4\.avi: frame 30 was asked for, of 30\. Prepare the manifest again\."):
        keep([short], tmp_path)
    with pytest.raises(ParamsError, match="frames are to be kept, and none is named of 'none'"):
        keep([videos[0], VideoFile("none", videos[1].path)], tmp_path)
    assert not (tmp_path / "store").exists()


def test_a_frame_that_was_not_kept_is_an_error_with_the_remedy(kept, videos, tmp_path):
    store = PictureStore(pictures_in(kept / "kept"))
    with pytest.raises(StoreError, match=r"has frames \[5, 15, 25\] of a_mpeg4, not \[15, 16\]; `dvc repro -f extr"):
        store.of("a_mpeg4", np.array([15, 16]))
    with pytest.raises(StoreError, match=r"not \[26\]"):
        store.of("a_mpeg4", np.array([26]))
    with pytest.raises(StoreError, match=r"lacks other; `dvc repro -f extract_motion` keeps them again, and clip\.k"):
        store.of("other", np.array([0]))
    with pytest.raises(StoreError, match="no such store; `dvc repro -f extract_motion`"):
        PictureStore(pictures_in(tmp_path))
