"""Stretches copied out of videos: from a key frame, with the same pictures; refused where a container has no times."""

from pathlib import Path

import av
import numpy as np
import pytest

from moclip.base.errors import VideoError
from moclip.video.cut import cut, ending_of
from moclip.video.decode import probe, read_frames
from tests.support.clips import encode, scrolling

FORMS = [("a.avi", "mpeg4", {"g": "12", "bf": "0"}), ("a.mp4", "h264", {"g": "12"}), ("a.mkv", "h264", {"g": "12"})]
FORMS += [("a.ts", "mpeg2video", {"g": "12"}), ("a.mov", "mpeg4", {"g": "12"})]


@pytest.mark.parametrize(("name", "codec", "options"), FORMS)
def test_a_stretch_has_the_pictures_of_the_video_from_a_key_frame_on(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = encode(tmp_path / name, scrolling(60, 3, 1), codec, options=options)
    with av.open(str(path)) as file:
        first_s = float(next(file.decode(video=0)).time or 0.0)
    made = cut(path, (1.1, 1.8), tmp_path / f"out{ending_of(path)}", first_s)
    begin = round(made.start_s * 25)
    assert begin <= 27
    assert begin > 27 - 13
    frames = probe(made.path).frames
    assert frames >= round(0.7 * 25)
    inside = min(frames, 45 - begin)
    np.testing.assert_array_equal(
        read_frames(made.path, range(inside)), read_frames(path, range(begin, begin + inside))
    )


def test_sound_comes_along(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", scrolling(30, 3, 1), audio=True)
    made = cut(path, (0.0, 0.6), tmp_path / "out.mkv")
    with av.open(str(made.path)) as file:
        assert len(file.streams.audio) == 1


def test_a_stream_without_a_container_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.h264", scrolling(30, 3, 1), "h264", container="h264")
    with pytest.raises(VideoError, match=r"cannot be cut without re-encoding \(a stream of the form 'h264'\)"):
        cut(path, (0.0, 0.5), tmp_path / "out.h264")
    assert not (tmp_path / "out.h264").exists()


def test_what_cannot_be_copied_leaves_nothing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", scrolling(30, 3, 1))
    with pytest.raises(VideoError, match="cannot be cut without re-encoding"):
        cut(path, (0.0, 0.5), tmp_path / "nowhere" / "out.avi")
