import numpy as np
import pytest

from moclip.base.errors import VideoError
from moclip.motion import grid as motion
from moclip.video import decode as video
from moclip.video.reencode import reencode
from moclip.video.vectors import FrameState
from tests.support.clips import encode, read_motion, scrolling


def test_the_recipe_gives_its_size_codec_and_key_frames(tmp_path):
    source = encode(tmp_path / "in.mp4", scrolling(30, 2, 1), "libx264", rate=30)
    assert reencode(source, tmp_path / "out.avi") == 30.0
    info = video.probe(tmp_path / "out.avi")
    assert (info.codec, info.width, info.height, info.frames) == ("mpeg4", 340, 256, 30)
    vectors = read_motion(tmp_path / "out.avi")
    assert np.flatnonzero(vectors.state == FrameState.KEY).tolist() == [0, 12, 24]
    assert not vectors.future_frames.any()


def test_content_keeps_its_motion_in_the_new_size(tmp_path):
    source = encode(tmp_path / "in.avi", scrolling(10, 4, -4, width=340, height=256))
    reencode(source, tmp_path / "out.avi")
    grid = motion.rasterise(video.stream_motion(tmp_path / "out.avi"), 16)
    inner = grid.mv[1:, 2:-2, 2:-2].reshape(-1, 2)
    assert np.median(inner, axis=0).tolist() == [8, -8]


def test_the_quality_is_the_finest_that_the_encoder_takes(tmp_path):
    frames = scrolling(6, 1, 0, width=340, height=256)
    source = encode(tmp_path / "in.avi", frames, "ffv1")
    reencode(source, tmp_path / "out.avi")
    error = video.read_frames(tmp_path / "out.avi", range(6)).astype(float) - video.read_frames(source, range(6))
    assert np.abs(error).mean() < 3


def test_equal_frames_give_equal_bytes(tmp_path):
    source = encode(tmp_path / "in.avi", scrolling(14, 2, 1))
    for name in ("a.avi", "b.avi"):
        reencode(source, tmp_path / name)
    assert (tmp_path / "a.avi").read_bytes() == (tmp_path / "b.avi").read_bytes()


def test_a_video_that_does_not_decode_leaves_nothing(tmp_path):
    source = encode(tmp_path / "in.avi", scrolling(14, 2, 1))
    source.write_bytes(source.read_bytes()[:-9000])
    with pytest.raises(VideoError, match=r"in\.avi"):
        reencode(source, tmp_path / "out.avi")
    assert [path.name for path in tmp_path.iterdir()] == ["in.avi"]
