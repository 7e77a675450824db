import gc
import re
from pathlib import Path

import av
import numpy as np
import pytest

from moclip.base.errors import VideoError
from moclip.video import decode as video
from moclip.video.bounded.limits import Limits, using
from moclip.video.vectors import VECTOR_DTYPE, FrameState, MotionVectors
from tests.support.clips import encode, encode_audio, read_motion, scrolling, texture

REAL = Path(__file__).parents[3] / "shared" / "data" / "ucf101" / "UCF-101"

FORMATS = {
    "mpeg4": ("mpeg4", "avi", {}),
    "mpeg4 with B-frames": ("mpeg4", "avi", {"bf": "2"}),
    "mpeg4 with 8x8 blocks": ("mpeg4", "avi", {"flags": "+mv4", "mbd": "rd"}),
    "mpeg4 in quarter pixels": ("mpeg4", "avi", {"flags": "+qpel"}),
    "h264": ("libx264", "mp4", {"bf": "0", "refs": "1"}),
    "h264 with B-frames and references": ("libx264", "mp4", {"bf": "3", "refs": "4"}),
    "mpeg2": ("mpeg2video", "mpeg", {"bf": "2"}),
    "mpeg2 interlaced": ("mpeg2video", "ts", {"flags": "+ildct+ilme"}),
    "mpeg1": ("mpeg1video", "mpeg", {}),
    "h263": ("h263", "avi", {}),
    "msmpeg4": ("msmpeg4", "avi", {}),
    "wmv2": ("wmv2", "asf", {}),
    "flv": ("flv", "flv", {}),
    "snow": ("snow", "avi", {}),
}


def one_clip(folder: Path, name: str) -> Path:
    codec, ending, options = FORMATS[name]
    return encode(folder / f"clip.{ending}", scrolling(20, 3, -2), codec, options=options)


def assert_same_vectors(a: MotionVectors, b: MotionVectors) -> None:
    np.testing.assert_array_equal(a.offsets, b.offsets)
    np.testing.assert_array_equal(a.state, b.state)
    for field in VECTOR_DTYPE.names:
        np.testing.assert_array_equal(a.records[field], b.records[field], err_msg=field)


@pytest.mark.parametrize("name", FORMATS)
def test_the_fast_path_gives_the_vectors_of_the_plain_path(tmp_path, name):
    path = one_clip(tmp_path, name)
    plain = read_motion(path, fast=False)
    assert len(plain.records) > 300
    assert_same_vectors(read_motion(path), plain)


def test_the_fast_path_gives_the_vectors_of_the_plain_path_on_real_clips():
    paths = sorted(REAL.glob("*/*.avi"))[::16]
    if not paths:
        pytest.skip("no ../shared/data/ucf101 beside the project")
    for path in paths:
        assert_same_vectors(read_motion(path), read_motion(path, fast=False))


@pytest.mark.parametrize("name", FORMATS)
def test_content_that_moves_right_and_up_has_that_sign_and_size(tmp_path, name):
    vectors = read_motion(one_clip(tmp_path, name))
    frame = np.repeat(np.arange(20), np.diff(vectors.offsets))
    past = (vectors.records["source"] == -1) & (vectors.past_frames[frame] == 1)
    moved = [-vectors.records[f"motion_{axis}"] / vectors.records["motion_scale"] for axis in "xy"]
    if past.any():
        assert [np.median(axis[past]) for axis in moved] == pytest.approx([3, -2], abs=0.25)
    else:
        assert name == "mpeg4 with B-frames"


def test_a_moving_square_moves_in_its_own_blocks_alone(tmp_path):
    still, square = texture(144, 176), texture(48, 48, seed=1)
    frames = []
    for index in range(5):
        frame = still.copy()
        frame[48:96, 32 + 5 * index : 80 + 5 * index] = square
        frames.append(frame)
    vectors = read_motion(encode(tmp_path / "square.avi", frames, options={"qscale": "2"}))
    last = vectors.records[vectors.offsets[4] :]
    dx = -last["motion_x"] / last["motion_scale"]
    inside = (abs(last["dst_y"] - 72) < 24) & (abs(last["dst_x"] - 76) < 16)
    far = last["dst_x"] > 128
    assert inside.sum() >= 2
    assert set(dx[inside]) == {5.0}
    assert far.sum() > 5
    assert set(dx[far]) == {0.0}


def test_states_tell_key_frames_from_frames_whose_blocks_are_all_intra(tmp_path):
    frames = [np.full((144, 176, 3), value, dtype=np.uint8) for value in (0, 255, 0, 255)]
    path = encode(tmp_path / "flash.avi", frames, options={"g": "99", "sc_threshold": "1000000000"})
    vectors = read_motion(path)
    assert vectors.state[0] == FrameState.KEY
    assert vectors.state.tolist()[1:] == [FrameState.NONE] * 3
    moving = read_motion(encode(tmp_path / "b.avi", scrolling(14, 1, 0), options={"g": "12"}))
    assert np.flatnonzero(moving.state == FrameState.KEY).tolist() == [0, 12]
    assert set(moving.state) == {FrameState.KEY, FrameState.VECTORS}


def test_distances_to_the_references_follow_the_picture_types(tmp_path):
    path = encode(tmp_path / "b.mpg", scrolling(10, 2, 0), "mpeg2video", options={"bf": "2", "g": "99"})
    vectors = read_motion(path)
    pictures = vectors.future_frames > 0
    for index in range(1, 10):
        before = index - 1
        while pictures[before]:
            before -= 1
        assert vectors.past_frames[index] == index - before
    assert pictures.any()
    assert (vectors.past_frames > 1).any()


def test_what_is_exported_for_b_frames_of_mpeg4_is_no_motion(tmp_path):
    vectors = read_motion(one_clip(tmp_path, "mpeg4 with B-frames"))
    bidirectional = vectors.future_frames > 0
    assert bidirectional.sum() > 5
    assert set(vectors.state[bidirectional]) == {FrameState.NONE}
    assert not np.diff(vectors.offsets)[bidirectional].any()


def test_runs_are_the_whole_in_pieces_that_end_with_a_reference(tmp_path):
    path = one_clip(tmp_path, "mpeg2")
    whole = read_motion(path)
    runs = [
        (run.records.copy(), run.state, run.past_frames, run.future_frames)
        for run in video.stream_motion(path, chunk_bytes=20_000)
    ]
    assert len(runs) > 3
    for column, expected in zip(
        zip(*runs, strict=True),
        (whole.records, whole.state, whole.past_frames, whole.future_frames),
        strict=True,
    ):
        np.testing.assert_array_equal(np.concatenate(column), expected)
    assert all(run[3][-1] == 0 for run in runs)


def test_a_run_of_b_frames_alone_does_not_grow_without_end(tmp_path, monkeypatch):
    path = encode(tmp_path / "b.mpg", scrolling(20, 3, -2), "mpeg2video", options={"bf": "8", "b_strategy": "0"})
    monkeypatch.setattr(video, "MOST_CHUNKS", 1)
    lengths = [len(run.state) for run in video.stream_motion(path, chunk_bytes=1)]
    assert lengths == [1] * 20


def test_pictures_do_not_pile_up_in_memory(tmp_path):
    path = encode(tmp_path / "long.avi", scrolling(200, 1, 0))

    def held() -> int:
        # By type: isinstance asks each object for its class, and torch has objects that warn when asked anything.
        return sum(issubclass(type(thing), av.VideoFrame) for thing in gc.get_objects())

    gc.collect()
    assert held() == 0
    gc.freeze()  # a million objects of other tests, which are not looked through at each turn
    try:
        most = 0
        for _ in video.stream_motion(path, chunk_bytes=20_000):
            most = max(most, held())
        assert 0 < most < 40
        assert held() == 0
    finally:
        gc.unfreeze()


def test_frames_come_back_exactly_by_their_place(tmp_path):
    path = one_clip(tmp_path, "mpeg4 with B-frames")
    everything = video.read_frames(path, range(20))
    assert everything.shape == (20, 144, 176, 3)
    assert everything.dtype == np.uint8
    source = np.stack(scrolling(20, 3, -2)).astype(float)
    error = np.abs(everything[:, None].astype(float) - source[None]).mean(axis=(2, 3, 4))
    assert error.argmin(axis=1).tolist() == list(range(20))
    np.testing.assert_array_equal(video.read_frames(path, [7, 2, 7]), everything[[7, 2, 7]])


@pytest.mark.parametrize("indices", [[20], [-1], []])
def test_frames_outside_the_video_are_refused(tmp_path, indices):
    path = one_clip(tmp_path, "mpeg4")
    with pytest.raises(VideoError, match=r"20|indices"):
        video.read_frames(path, indices)


def test_probe_counts_what_decodes_and_states_the_full_size(tmp_path):
    path = encode(tmp_path / "a.avi", scrolling(17, 1, 0, width=170, height=130), rate=15)
    assert video.probe(path) == video.VideoInfo("mpeg4", 170, 130, 15.0, 17)


@pytest.mark.parametrize(("width", "height"), [(178, 146), (162, 130), (18, 34)])
def test_sizes_that_are_no_multiple_of_a_block_are_read(tmp_path, width, height):
    path = encode(tmp_path / "odd.avi", scrolling(6, 2, 1, width, height))
    vectors = read_motion(path)
    assert (vectors.width, vectors.height) == (width, height)
    assert_same_vectors(vectors, read_motion(path, fast=False))


def test_a_variable_frame_rate_counts_frames(tmp_path):
    times = [0, 1, 2, 7, 8, 20, 21, 22, 40, 41]
    path = encode(tmp_path / "vfr.mkv", scrolling(10, 3, 0), options={"g": "99"}, times=times)
    assert video.probe(path).frames == 10
    vectors = read_motion(path)
    assert len(vectors.state) == 10
    assert vectors.past_frames.tolist() == [1] * 10


def test_sound_beside_the_pictures_does_no_harm(tmp_path):
    path = encode(tmp_path / "sound.avi", scrolling(8, 1, 0), audio=True)
    assert video.probe(path).frames == 8


def test_metadata_that_is_not_utf8_is_ignored(tmp_path):
    path = one_clip(tmp_path, "mpeg4")
    content = path.read_bytes()
    mark = re.search(rb"ISFT....Lavf", content, re.DOTALL)
    assert mark
    path.write_bytes(content.replace(b"Lavf", b"\xff\xfe\xe9\x80", 1))
    assert video.probe(path).frames == 20


@pytest.mark.parametrize(
    ("codec", "ending", "named"),
    [
        ("libx265", "mp4", "hevc"),
        ("libvpx", "webm", "vp8"),
        ("libvpx-vp9", "webm", "vp9"),
        ("libsvtav1", "mp4", "av1"),
        ("ffv1", "avi", "ffv1"),
    ],
)
def test_codecs_without_vectors_are_refused_by_name(tmp_path, codec, ending, named):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = encode(tmp_path / f"clip.{ending}", scrolling(5, 1, 0), codec, options=options)
    with pytest.raises(VideoError, match=f"clip.{ending} \\({named}\\).*no motion vectors.*reencoded"):
        read_motion(path)
    assert video.read_frames(path, [4]).shape == (1, 144, 176, 3)


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    middle = len(content) // 3
    content[middle : middle + 4000] = rng.bytes(4000)
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("ffconcat version 1.0\nfile other.avi\n" * 50)


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (cut, "cut off"),
        (damage, r"damaged|does not decode"),
        (empty, "empty"),
        (text, "no video container"),
        (gone, "no such file"),
    ],
)
@pytest.mark.parametrize("read", [video.probe, read_motion])
def test_broken_files_are_refused_with_file_and_reason(tmp_path, harm, reason, read):
    path = one_clip(tmp_path, "mpeg4")
    harm(path)
    with pytest.raises(VideoError, match=f"clip.avi.*({reason})"):
        read(path)


def test_a_file_that_is_cut_is_refused_in_other_containers(tmp_path):
    path = one_clip(tmp_path, "h264")
    cut(path)
    with pytest.raises(VideoError, match=r"clip\.mp4"):
        read_motion(path)


def test_sound_alone_is_refused(tmp_path):
    with pytest.raises(VideoError, match=r"sound.avi.*no video stream"):
        video.probe(encode_audio(tmp_path / "sound.avi"))


def test_one_frame_has_no_motion(tmp_path):
    path = encode(tmp_path / "one.avi", scrolling(1, 0, 0))
    assert video.probe(path).frames == 1
    with pytest.raises(VideoError, match="one frame"):
        read_motion(path)


def test_a_size_that_changes_in_mid_stream_is_refused(tmp_path):
    parts = []
    for name, width in (("a", 176), ("b", 178)):
        frames = scrolling(5, 1, 0, width=width)
        parts.append(encode(tmp_path / f"{name}.m4v", frames, container="m4v").read_bytes())
    path = tmp_path / "both.m4v"
    path.write_bytes(b"".join(parts))
    with pytest.raises(VideoError, match="size changes at frame 5"):
        read_motion(path)


def test_pictures_beyond_the_limit_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = one_clip(tmp_path, "mpeg4")
    with using(Limits(pixels=176 * 144 - 1)), pytest.raises(VideoError, match="176 x 144 pixels"):
        read_motion(path)


def test_frames_beyond_the_limit_are_refused(tmp_path, monkeypatch):
    path = one_clip(tmp_path, "mpeg4")
    monkeypatch.setattr(video, "MAX_GRID_BYTES", 22 * 18 * 2 * 19)
    with pytest.raises(VideoError, match="more than 19 frames"):
        list(video.stream_motion(path))


def test_a_name_that_looks_like_a_protocol_is_a_name(tmp_path):
    path = one_clip(tmp_path, "mpeg4").rename(tmp_path / "concat:a|b.avi")
    assert video.probe(path).frames == 20
