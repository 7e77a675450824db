"""Files that are cut off, joined, trimmed, or have several videos: which are read, how far, and what is said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import VideoError
from moclip.motion.extract import MotionOptions, VideoFile, extract, read_grid
from moclip.motion.store import MotionStore
from moclip.video import decode as video
from moclip.video.bounded.limits import Limits, using
from moclip.video.container import read_container
from moclip.video.file.extent import extent
from moclip.video.file.shard import find
from tests.support.clips import encode, scrolling
from tests.support.containers import cut, joined, remux, streamed, trimmed, with_cover, with_second_video

STREAMED = "states no length, so that a missing end cannot be noticed"
ROUGH = "states its length in seconds alone, so that a few missing frames at its end cannot be noticed"
CONTAINERS = {
    "avi": ("mpeg4", "avi"),
    "mkv": ("libx264", "matroska,webm"),
    "webm": ("libvpx", "matroska,webm"),
    "mp4": ("libx264", "mov,mp4,m4a,3gp,3g2,mj2"),
    "3gp": ("libx264", "mov,mp4,m4a,3gp,3g2,mj2"),
    "wmv": ("wmv2", "asf"),
    "flv": ("flv", "flv"),
    "ts": ("libx264", "mpegts"),
    "m2ts": ("libx264", "mpegts"),
    "mpg": ("mpeg2video", "mpeg"),
    "vob": ("mpeg2video", "mpeg"),
    "ivf": ("libvpx", "ivf"),
}


def clip(folder: Path, ending: str, frames: int = 24) -> Path:
    return encode(folder / f"clip.{ending}", scrolling(frames, 3, -2), CONTAINERS[ending][0])


@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path, ending: str) -> None:
    path = clip(tmp_path, ending)
    size = path.stat().st_size
    assert video.probe(path).frames == 24
    place = find(path)
    assert place is not None
    assert extent(place, CONTAINERS[ending][1]).lacks == ""
    for share in range(4, 30):
        place = size * share // 30
        if ending in ("ts", "m2ts") and place % (188 if ending == "ts" else 192) == 0:
            place += 1  # at the end of a packet nothing tells
        part = cut(path, tmp_path / f"part.{ending}", place)
        with pytest.raises(VideoError, match=rf"part\.{ending}.*(cut off|does not decode|no video container|damaged)"):
            video.probe(part)


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_an_index_that_is_cut_at_any_byte_is_no_bug(tmp_path: Path, ending: str) -> None:
    """The index stands at the end; cut in the middle of it, the file may not say which codec it has."""
    path = encode(tmp_path / f"whole.{ending}", scrolling(12, 3, -2), "libx264")
    content = path.read_bytes()
    for size in range(content.rindex(b"moov"), len(content), 3):
        part = cut(path, tmp_path / f"part.{ending}", size)
        with pytest.raises(VideoError, match=r"cut off|no video container"):
            video.probe(part)


def test_a_codec_without_a_decoder_is_named_beside_other_streams(tmp_path: Path) -> None:
    path = with_second_video(tmp_path / "two.avi", (64, 64), (176, 144), None)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"FMP4", b"XYZ1"))
    with pytest.raises(VideoError, match=r"two\.avi \(no video\): its codec has no decoder here\. Convert it once"):
        video.probe(path)


def test_what_is_stated_and_what_is_found_are_named_in_seconds_and_bytes(tmp_path: Path) -> None:
    path = clip(tmp_path, "mkv", frames=40)
    size = path.stat().st_size
    part = cut(path, tmp_path / "part.mkv", size * 6 // 10)
    with pytest.raises(
        VideoError, match=rf"cut off: it states 1\.60 s, (0|1)\.\d\d s are there; {size - size * 6 // 10} of {size} "
    ):
        video.probe(part)
    tags = clip(tmp_path, "flv")
    content = tags.read_bytes()
    place = next(place for place in _tags(content) if place >= len(content) * 6 // 10)
    with pytest.raises(VideoError, match=r"cut off: it states 0\.96 s, 0\.\d\d s are there"):
        video.probe(cut(tags, tmp_path / "part.flv", place))


def _tags(content: bytes) -> list[int]:
    """Where the tags of an FLV begin, and where the last one ends."""
    places = [13]
    while places[-1] < len(content):
        places.append(places[-1] + 15 + int.from_bytes(content[places[-1] + 1 : places[-1] + 4], "big"))
    return places


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_the_last_frames_of_an_flv_are_missed_by_its_size_in_bytes(tmp_path: Path, lost: int) -> None:
    path = clip(tmp_path, "flv")
    content = path.read_bytes()
    assert (video.probe(path).frames, video.probe(path).note) == (24, "")
    part = cut(path, tmp_path / "part.flv", _tags(content)[-1 - lost])
    missing = len(content) - part.stat().st_size
    with pytest.raises(VideoError, match=rf"cut off: it states 0\.96 s, .* {missing} of {len(content)} bytes are"):
        video.probe(part)
    assert video.probe(part, damaged=True).frames == 24 - lost


def test_an_flv_that_states_seconds_alone_is_read_with_a_word(tmp_path: Path) -> None:
    path = clip(tmp_path, "flv")
    content = path.read_bytes().replace(b"filesize", b"filesizX")
    path.write_bytes(content)
    assert (video.probe(path).frames, video.probe(path).note) == (24, ROUGH)
    part = cut(path, tmp_path / "part.flv", _tags(content)[-2])
    assert (video.probe(part).frames, video.probe(part).note) == (23, ROUGH)
    with pytest.raises(VideoError, match=r"cut off: it states 0\.96 s, 0\.68 s are there"):
        video.probe(cut(path, tmp_path / "part.flv", _tags(content)[-7]))


def _frames_of_ivf(content: bytes) -> list[int]:
    """Where the frames of an IVF begin, and where the last one ends."""
    places = [32]
    while places[-1] < len(content):
        places.append(places[-1] + 12 + int.from_bytes(content[places[-1] : places[-1] + 4], "little"))
    return places


def _ivf(path: Path, count: int, step: int) -> Path:
    """The same film with another number in its header, and `step` ticks from frame to frame."""
    content = bytearray(path.read_bytes())
    content[24:28] = count.to_bytes(4, "little")
    content[16:20] = (25 * step).to_bytes(4, "little")
    for number, place in enumerate(_frames_of_ivf(bytes(content))[:-1]):
        content[place + 4 : place + 12] = (number * step).to_bytes(8, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("count", "step", "note", "lost"),
    [
        (24, 1, "", "counts 24 frames or ticks, 23 frames of 23 ticks are there"),
        (24 * 40, 40, "", "counts 960 frames or ticks, 23 frames of 920 ticks are there"),  # an older FFmpeg
        (24, 2, "", None),  # libvpx: frames of two ticks; without the last, the number could be of ticks
        (0, 1, STREAMED, None),
        (0xFFFFFFFF, 1, STREAMED, None),
    ],
)
def test_the_last_frame_of_an_ivf_is_missed_by_what_its_header_counts(
    tmp_path: Path, count: int, step: int, note: str, lost: str | None
) -> None:
    path = _ivf(clip(tmp_path, "ivf"), count, step)
    assert (video.probe(path).frames, video.probe(path).note) == (24, note)
    part = cut(path, tmp_path / "part.ivf", _frames_of_ivf(path.read_bytes())[-2])
    if lost is None:
        assert (video.probe(part).frames, video.probe(part).note) == (23, STREAMED)
        return
    with pytest.raises(VideoError, match=rf"cut off: it states .*{lost}"):
        video.probe(part)


@pytest.mark.parametrize(
    ("source", "form", "ending"),
    [
        ("libx264", "matroska", "mkv"),
        ("libvpx", "webm", "webm"),
        ("wmv2", "asf", "wmv"),
        ("mpeg4", "avi", "avi"),
        ("mpeg2video", "mpegts", "ts"),
        ("mpeg2video", "vob", "vob"),
    ],
)
def test_a_stream_that_states_no_length_is_whole_and_said_to_be_one(
    tmp_path: Path, source: str, form: str, ending: str
) -> None:
    whole = encode(tmp_path / f"whole.{'wmv' if form == 'asf' else 'mkv'}", scrolling(20, 3, -2), source)
    path = streamed(whole, tmp_path / f"stream.{ending}", form)
    found = video.probe(path)
    assert (found.frames, found.damage, found.note) == (20, "", STREAMED)
    size = path.stat().st_size
    with pytest.raises(VideoError, match=r"part\..*(torn|damaged|does not decode)"):
        video.probe(cut(path, tmp_path / f"part.{ending}", size * 7 // 10 + 1))


def test_fragments_are_whole_and_a_torn_one_is_not(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    whole = encode(tmp_path / "whole.mp4", scrolling(40, 3, -2), "libx264", options={"g": "10"})
    path = remux(whole, tmp_path / "fragments.mp4", options=options)
    assert video.probe(path).frames == 40
    with pytest.raises(VideoError, match=r"part\.mp4.*(cut off|does not decode|damaged)"):
        video.probe(cut(path, tmp_path / "part.mp4", path.stat().st_size * 6 // 10))


def test_an_edit_list_that_ends_early_shows_what_it_shows(tmp_path: Path) -> None:
    path = trimmed(tmp_path / "trimmed.mp4", 0.5)
    assert video.probe(path) == video.VideoInfo("h264", 176, 144, 25.0, 20)
    assert len(read_grid(path, MotionOptions()).mv) == 20
    assert video.read_frames(path, [19]).shape == (1, 144, 176, 3)
    part = cut(path, tmp_path / "part.mp4", path.stat().st_size - 60)
    with pytest.raises(VideoError, match=r"part\.mp4"):
        video.probe(part)


def test_headers_that_count_ticks_and_chunks_without_a_picture_lack_nothing(tmp_path: Path) -> None:
    source = encode(tmp_path / "source.mp4", scrolling(20, 3, -2))
    assert video.probe(remux(source, tmp_path / "ticks.avi")).frames == 20
    times = [*range(10), *range(15, 22), *range(30, 33)]
    path = encode(tmp_path / "dropped.avi", scrolling(20, 3, -2), times=times)
    assert video.probe(path).frames == 20
    with pytest.raises(VideoError, match=r"cut off"):
        video.probe(cut(path, tmp_path / "part.avi", path.stat().st_size * 8 // 10))


@pytest.mark.parametrize(
    ("ending", "codec", "size"), [("ts", "libx264", 188), ("m2ts", "libx264", 192), ("ts", "mpeg2video", 188)]
)
def test_segments_laid_end_to_end_are_one_film_and_lost_packets_are_told_from_joints(
    tmp_path: Path, ending: str, codec: str, size: int
) -> None:
    parts = [encode(tmp_path / f"{i}.{ending}", scrolling(8 + i, 3, -2), codec) for i in range(4)]
    path = joined(tmp_path / f"joined.{ending}", parts)
    assert video.probe(path).frames == 8 + 9 + 10 + 11
    content = path.read_bytes()
    middle = len(content) // size // 2 * size
    (tmp_path / f"lost.{ending}").write_bytes(content[:middle] + content[middle + 3 * size :])
    with pytest.raises(VideoError, match=r"damaged|does not decode"):
        video.probe(tmp_path / f"lost.{ending}")


@pytest.mark.parametrize(
    ("first", "second", "default", "codec", "read", "why"),
    [
        ((64, 64), (176, 144), 1, "mpeg4", 1, "the default one"),
        ((64, 64), (176, 144), 0, "mpeg4", 0, "the default one"),
        ((64, 64), (176, 144), None, "mpeg4", 1, "the largest"),
        ((176, 144), (64, 64), None, "mpeg4", 0, "the largest"),
        ((320, 240), (176, 144), 0, "mjpeg", 1, "the one that moves"),
    ],
)
def test_of_several_videos_that_is_taken_which_players_take(
    tmp_path: Path,
    first: tuple[int, int],
    second: tuple[int, int],
    default: int | None,
    codec: str,
    read: int,
    why: str,
) -> None:
    path = with_second_video(tmp_path / "two.mkv", first, second, default, codec)
    width, height = (first, second)[read]
    found = video.probe(path)
    assert (found.width, found.height, found.frames) == (width, height, (10, 20)[read])
    assert found.note == f"of 2 videos in the file stream {read} is read, {why} ({width} x {height})"
    assert video.read_frames(path, [9]).shape == (1, height, width, 3)
    middle = video.Middle()
    grid = read_grid(path, MotionOptions(), middle=middle)
    assert middle.picture(path, len(grid.mv)).shape == (height, width, 3)
    assert read_container(path).gop_frames in (10, 12)


def test_a_choice_among_several_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = with_second_video(tmp_path / "two.mkv", (64, 64), (176, 144), 1)
    caplog.set_level("INFO")
    for _ in range(2):
        video.probe(path)
    assert caplog.text.count("two.mkv: of 2 videos in the file stream 1 is read") == 1


def test_a_cover_is_no_film_and_a_song_with_one_is_no_video(tmp_path: Path) -> None:
    film = encode(tmp_path / "film.mp4", scrolling(20, 3, -2), "libx264")
    covered = with_cover(tmp_path / "covered.mp4", film)
    assert video.probe(covered) == video.VideoInfo("h264", 176, 144, 25.0, 20)
    np.testing.assert_array_equal(read_grid(covered, MotionOptions()).mv, read_grid(film, MotionOptions()).mv)
    for read in (video.probe, lambda path: read_grid(path, MotionOptions())):
        with pytest.raises(VideoError, match=r"song\.mp4.*no video stream \(sound alone, or with a cover picture\)"):
            read(with_cover(tmp_path / "song.mp4", None))


def test_a_picture_that_is_too_large_comes_with_a_command_that_makes_it_small_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip(tmp_path, "avi")
    with (
        using(Limits(pixels=176 * 144 - 1)),
        pytest.raises(VideoError, match=r"`ffmpeg -i IN -vf scale=124:100 OUT\.avi`"),
    ):
        video.probe(path)


def test_one_frame_comes_with_a_remedy_that_needs_no_lists(tmp_path: Path) -> None:
    path = encode(tmp_path / "one.avi", scrolling(1, 0, 0))
    with pytest.raises(
        VideoError, match=r"it has one frame, so no motion\. Two frames are needed: .*data\.short_videos"
    ):
        read_grid(path, MotionOptions())


def _cut(path: Path, folder: Path) -> Path:
    return cut(path, folder / f"bad{path.suffix}", path.stat().st_size * 8 // 10)


def _spoilt(path: Path, folder: Path) -> Path:
    content = bytearray(path.read_bytes())
    middle = len(content) * 6 // 10
    content[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    (folder / f"bad{path.suffix}").write_bytes(content)
    return folder / f"bad{path.suffix}"


@pytest.mark.parametrize("harm", [_cut, _spoilt])
@pytest.mark.parametrize("ending", ["mkv", "avi", "mpg", "ts"])
def test_all_readers_see_the_same_frames_of_a_damaged_video(
    tmp_path: Path, ending: str, harm: Callable[[Path, Path], Path]
) -> None:
    path = clip(tmp_path, ending)
    bad = harm(path, tmp_path)
    with pytest.raises(VideoError, match=r"data\.damaged: keep"):
        video.probe(bad)
    found = video.probe(bad, damaged=True)
    assert 0 < found.frames < 24
    assert found.damage
    grid = read_grid(bad, MotionOptions(), damaged=True)
    assert len(grid.mv) == found.frames
    # A picture that decodes without an error may show damage all the same; those before it are what they were.
    np.testing.assert_array_equal(grid.mv[0], read_grid(path, MotionOptions()).mv[0])
    if harm is _cut:
        np.testing.assert_array_equal(video.read_frames(bad, [0], damaged=True), video.read_frames(path, [0]))
    assert len(video.read_frames(bad, [found.frames - 1], damaged=True)) == 1
    with pytest.raises(VideoError, match=rf"frame {found.frames} was asked for|data\.damaged"):
        video.read_frames(bad, [found.frames], damaged=True)
    extract([VideoFile("bad", bad, None, True)], tmp_path / "store", tmp_path / "work", MotionOptions(), jobs=1)
    np.testing.assert_array_equal(MotionStore.open(tmp_path / "store").clip("bad").mv, grid.mv)


def test_nothing_that_decodes_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "bad.avi"
    path.write_bytes(clip(tmp_path, "avi").read_bytes()[:6000])
    with pytest.raises(VideoError, match=r"bad\.avi"):
        video.probe(path, damaged=True)
