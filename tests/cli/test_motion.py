import argparse
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moclip.base.errors import ParamsError, VideoError
from moclip.cli import motion as motion_command
from moclip.motion import draw as motion_view
from moclip.motion.extract import MotionOptions, read_grid
from moclip.video import decode as video
from tests.support.clips import encode, grey, scrolling

LEGEND_PX = 53  # of a line or two


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    motion_command.add_arguments(parser)
    return motion_command.run(parser.parse_args([str(argument) for argument in arguments]))


def pixels(path: Path, mode: str = "RGB") -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert(mode)).astype(int)


def test_arrays_hold_pixels_per_frame_with_halves(tmp_path):
    path = encode(tmp_path / "a.avi", scrolling(14, 3, -2), options={"g": "12"}, rate=30)
    assert run(path, "--out", tmp_path / "a.npz", "--cell-px", 8) == 0
    with np.load(tmp_path / "a.npz") as saved:
        assert sorted(saved.files) == ["cell_px", "fps", "key_frame", "mv_px"]
        assert saved["mv_px"].dtype == np.float32
        assert saved["mv_px"].shape == (14, 18, 22, 2)
        assert np.median(saved["mv_px"][1:12, 4:-4, 4:-4].reshape(-1, 2), axis=0).tolist() == [3, -2]
        assert np.flatnonzero(saved["key_frame"]).tolist() == [0, 12]
        assert (saved["cell_px"], saved["fps"]) == (8, 30.0)
        expected = read_grid(path, MotionOptions(cell_px=8)).mv / 2
        np.testing.assert_array_equal(saved["mv_px"], expected)


def test_arrays_of_h264_are_per_frame_unless_asked_for_as_coded(tmp_path):
    options = {"bf": "3", "refs": "1", "x264-params": "b-adapt=0:b-pyramid=none:scenecut=0"}
    path = encode(tmp_path / "a.mp4", grey(scrolling(18, 3, 4)), "libx264", options=options)
    found = {}
    for distance in ("nearest", "as_coded"):
        assert run(path, "--out", tmp_path / "a.npz", "--distance", distance) == 0
        with np.load(tmp_path / "a.npz") as saved:
            last_of_group = saved["mv_px"][4::4]
            found[distance] = np.median(last_of_group[last_of_group.any(axis=-1)], axis=0)
    assert found["nearest"] == pytest.approx((3, 4), abs=0.25)
    assert found["as_coded"] == pytest.approx((12, 16), abs=1)


def test_a_film_of_a_turned_video_is_turned(tmp_path):
    clockwise = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    path = encode(tmp_path / "a.mp4", scrolling(8, 3, 4), "libx264", matrix=clockwise)
    assert run(path, "--mp4", tmp_path / "film.mp4", "--png", tmp_path / "sheet.png") == 0
    film = video.probe(tmp_path / "film.mp4")
    assert (film.width, film.height, film.frames) == (2 * 144, 2 * 176, 8)
    assert pixels(tmp_path / "sheet.png").shape[:2] == (2 * 176 + LEGEND_PX, 2 * 2 * 144)


def test_a_picture_shows_colour_and_arrows_where_content_moves_and_none_where_it_rests(tmp_path):
    still = np.full((144, 176, 3), 128, dtype=np.uint8)
    square = scrolling(1, 0, 0, width=48, height=64)[0]
    frames = []
    for index in range(16):
        frame = still.copy()
        frame[40:104, 4 + 6 * index : 52 + 6 * index] = square
        frames.append(frame)
    path = encode(tmp_path / "a.avi", frames, options={"g": "99", "qscale": "2"})
    assert run(path, "--png", tmp_path / "a.png") == 0
    picture = pixels(tmp_path / "a.png", "HSV")
    assert picture.shape == (2 * 2 * 144 + LEGEND_PX, 3 * 2 * 176, 3)
    last = picture[288:576, 704:]
    coloured = last[..., 1] > 60
    assert not coloured[:40].any()  # rest above the square
    hue = last[..., 0][coloured]
    assert coloured.sum() > 5000
    assert np.mean((hue < 20) | (hue > 236)) > 0.9  # right is red


def test_a_film_has_every_frame_in_twice_the_size_also_an_odd_one(tmp_path):
    path = encode(tmp_path / "a.avi", scrolling(9, 3, 1, width=170, height=130), rate=15)
    assert run(path, "--mp4", tmp_path / "a.mp4") == 0
    assert video.probe(tmp_path / "a.mp4") == video.VideoInfo("h264", 340, 260, 15.0, 9)


def test_a_codec_without_vectors_is_drawn_after_reencoding(tmp_path):
    path = encode(tmp_path / "a.webm", scrolling(8, 3, 1), "libvpx")
    with pytest.raises(VideoError, match="vp8"):
        run(path, "--png", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
    assert run(path, "--png", tmp_path / "a.png", "--reencode") == 0
    assert pixels(tmp_path / "a.png").shape == (2 * 256 + LEGEND_PX, 2 * 2 * 340, 3)


def test_a_short_video_makes_a_picture_too(tmp_path):
    path = encode(tmp_path / "a.avi", scrolling(2, 3, 1))
    assert run(path, "--png", tmp_path / "a.png") == 0
    assert pixels(tmp_path / "a.png").shape == (288 + 2 * 18 + 12 + 18, 352, 3), "the legend has three lines"


def test_a_picture_says_what_its_colours_are_and_where_it_went(tmp_path, capsys):
    path = encode(tmp_path / "a.avi", scrolling(8, 3, 0, width=48, height=48))
    assert run(path, "--png", tmp_path / "a.png", "--out", tmp_path / "a.npz") == 0
    assert capsys.readouterr().out.splitlines() == [f"written: {tmp_path / name}" for name in ("a.npz", "a.png")]
    picture = pixels(tmp_path / "a.png", "HSV")
    assert picture.shape[1] == 320, "wide enough for words, also below small pictures"
    disc = picture[96:][6:47, 6:47]
    centre, edge = disc[20, 20], disc[20, 38]
    assert centre[1] < 20
    assert edge[1] > 200
    assert (edge[0] < 8) or (edge[0] > 248), "right is red"
    words = picture[96:, 53:, 2]
    assert (words < 100).sum() > 500
    (tmp_path / "videos").mkdir()
    path.rename(tmp_path / "videos/a.avi")
    assert run(tmp_path / "videos", "--png", tmp_path / "out") == 0
    assert capsys.readouterr().out == f"written: {tmp_path / 'out'}, 1 videos\n"


def test_a_folder_is_done_as_far_as_it_goes_and_its_bad_videos_are_listed(tmp_path, caplog):
    folder = tmp_path / "videos"
    (folder / "deep").mkdir(parents=True)
    encode(folder / "a.avi", scrolling(5, 1, 0))
    encode(folder / "deep" / "b.MP4", scrolling(5, 1, 0), "libx264", container="mp4")
    (folder / "bad.avi").write_bytes(b"no video")
    (folder / "notes.txt").write_text("no video either")
    with caplog.at_level(logging.INFO), pytest.raises(VideoError, match=r"1 of 3 videos(.|\n)*bad\.avi"):
        run(folder, "--out", tmp_path / "out")
    made = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.npz")]
    assert sorted(made) == [Path("a.avi.npz"), Path("deep/b.MP4.npz")]
    assert re.search(r"motion: 3/3 video in .* frames/s, 1 bad$", caplog.messages[-1])


LONGEST_BYTES = 255  # of a name, on all file systems of Linux and macOS


def test_names_that_are_not_utf8_or_as_long_as_can_be_end_no_other(tmp_path, caplog):
    source = encode(tmp_path / "a.avi", scrolling(5, 1, 0))
    (folder := tmp_path / "videos").mkdir()
    names = [b"caf\xe9.avi", *(b"n" * (size - 4) + b".avi" for size in (240, LONGEST_BYTES - 4, LONGEST_BYTES))]
    names += ["é".encode() * 120 + b".avi", "动作 😀 عربي.avi".encode(), b" \n.avi", b"a:b.avi", b"-o.avi"]
    for name in names:
        shutil.copy(source, os.fsencode(folder) + b"/" + name)
    for option, ending in (("--out", b".npz"), ("--png", b".png"), ("--mp4", b".mp4")):
        with caplog.at_level(logging.INFO), pytest.raises(VideoError, match="1 of 9 videos") as refused:
            run(folder, option, out := tmp_path / option)
        assert f"{'n' * (LONGEST_BYTES - 4)}.avi: File name too long; choose a shorter name" in str(refused.value)
        made = [os.fsencode(path.name) for path in out.iterdir()]
        assert sorted(made) == sorted(name + ending for name in names if len(name) < 252)
    assert "caf\\xe9.avi: 5 frames" in caplog.text


def test_a_link_that_leads_to_itself_ends_no_other(tmp_path):
    (tmp_path / "in").mkdir()
    encode(tmp_path / "in/b.avi", scrolling(4, 1, 1))
    (tmp_path / "in/a.avi").symlink_to("a.avi")
    with pytest.raises(VideoError, match=r"1 of 2 videos(.|\n)*a\.avi"):
        run(tmp_path / "in", "--out", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.avi.npz"]


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(ParamsError, match="--out, --png and --mp4"):
        run(tmp_path / "a.avi")
    with pytest.raises(VideoError, match="no videos in it"):
        run(tmp_path, "--out", tmp_path / "out")
    with pytest.raises(VideoError, match="no such file"):
        run(tmp_path / "a.avi", "--out", tmp_path / "a.npz")


def test_looking_at_motion_loads_nothing_heavy():
    heavy = ("torch", "pandas", "matplotlib", "pydantic", "scipy")
    code = f"import sys, moclip.motion.draw; print([m for m in {heavy} if m in sys.modules])"
    root = Path(motion_view.__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


@pytest.mark.parametrize("closed", ["clip.avi", "."])
def test_a_video_that_may_not_be_read_says_so(tmp_path: Path, closed: str) -> None:
    (folder := tmp_path / "closed").mkdir()
    path = encode(folder / "clip.avi", scrolling(12, 3, -2))
    words: list[str | Path] = [Path(sys.executable).with_name("moclip"), "motion", path, "--out", tmp_path / "out.npz"]
    if os.geteuid() == 0:  # to whom nothing is closed
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv (util-linux) to give up root's rights")
        words = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *words]
    (folder / closed).chmod(0)
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    finally:
        (folder / closed).chmod(0o700)
    assert done.returncode == 1
    assert done.stderr.lower().startswith(f"error: {path}: permission denied; check who may read".lower())
