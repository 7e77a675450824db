import math
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import VideoError
from moclip.motion.grid import rasterise
from moclip.video import decode as video
from moclip.video.reencode import reencode
from moclip.video.turn import Turn, turn_of
from tests.support.clips import encode, read_motion, remux, scrolling

ONE = 1 << 16
# Name: where a step right and a step down of the stored picture lead, and FFmpeg's words for a picture's own header.
TURNS = {
    "as it is": ((1, 0), (0, 1), "rotate=0"),
    "clockwise": ((0, 1), (-1, 0), "rotate=-90"),
    "half": ((-1, 0), (0, -1), "rotate=180"),
    "counterclockwise": ((0, -1), (1, 0), "rotate=90"),
    "mirrored": ((-1, 0), (0, 1), "flip=horizontal"),
    "upside down": ((1, 0), (0, -1), "flip=vertical"),
    "transposed": ((0, 1), (1, 0), None),
    "transposed over the other corner": ((0, -1), (-1, 0), None),
}


def matrix(right: tuple[float, float], down: tuple[float, float]) -> list[int]:
    a, b, c, d = (round(ONE * entry) for entry in (*right, *down))
    return [a, b, 0, c, d, 0, 0, 0, 1 << 30]


def content(entries: list[int]) -> bytes:
    return np.array(entries, dtype="<i4").tobytes()


def laid(picture: np.ndarray, right: tuple[int, int], down: tuple[int, int]) -> np.ndarray:
    """A picture turned pixel by pixel."""
    height, width = picture.shape[:2]
    places = {}
    for y in range(height):
        for x in range(width):
            places[x * right[0] + y * down[0], x * right[1] + y * down[1]] = picture[y, x]
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    size = [max(place[axis] for place in places) + 1 - low for axis, low in ((1, top), (0, left))]
    out = np.zeros((*size, *picture.shape[2:]), dtype=picture.dtype)
    for (x, y), value in places.items():
        out[y - top, x - left] = value
    return out


@pytest.mark.parametrize("name", TURNS)
def test_pictures_turn_as_the_matrix_lays_each_of_their_points(name):
    right, down, _ = TURNS[name]
    picture = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    turn = turn_of(content(matrix(right, down)))
    np.testing.assert_array_equal(turn.picture(picture), laid(picture, right, down))
    assert turn.size(7, 5) == laid(picture, right, down).shape[1::-1]
    assert turn.is_none == (name == "as it is")


@pytest.mark.parametrize("name", TURNS)
def test_vectors_and_their_places_turn_with_the_picture(name):
    right, down, _ = TURNS[name]
    turn = turn_of(content(matrix(right, down)))
    assert turn.vector(3, 4) == (3 * right[0] + 4 * down[0], 3 * right[1] + 4 * down[1])
    marked = np.zeros((48, 80), dtype=np.uint8)
    marked[16:32, 48:64] = 1  # a block whose centre is at (56, 24)
    y, x = np.argwhere(turn.picture(marked)).mean(axis=0) + 0.5
    assert turn.point(56, 24, 80, 48) == (x, y)


@pytest.mark.parametrize("scale", [0.5, 1, 2])
def test_a_matrix_that_scales_too_turns_alike(scale):
    assert turn_of(content(matrix((0, scale), (-scale, 0)))) == Turn(0, -1, 1, 0)


def test_a_matrix_of_zeros_turns_nothing():
    assert turn_of(bytes(36)) == Turn()


@pytest.mark.parametrize("degrees", [45, 30, -80])
def test_other_angles_are_no_turn(degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    with pytest.raises(ValueError, match=f"turned by {degrees} degrees"):
        turn_of(content(matrix((c, s), (-s, c))))


def turned(folder: Path, ending: str, name: str, codec: str) -> Path:
    """A film of content that moves by (3, 4), with the turn in its container, or in AVI in its pictures."""
    right, down, words = TURNS[name]
    options = {"bf": "2", "refs": "1"} if codec == "libx264" else {}
    frames = scrolling(8, 3, 4, 176, 128)
    if ending == "avi":
        stored = encode(folder / "stored.mp4", frames, codec, options=options)
        return remux(stored, folder / "film.avi", f"h264_metadata=display_orientation=insert:{words}")
    return encode(folder / f"film.{ending}", frames, codec, options=options, matrix=matrix(right, down))


CASES = [
    *(("mp4", name, "libx264") for name in TURNS),
    *(("mov", name, "mpeg4") for name in TURNS),
    *(("mkv", name, "libx264") for name in TURNS if not name.startswith("transposed") and name != "upside down"),
    *(("avi", name, "libx264") for name, words in TURNS.items() if words[2] and name != "as it is"),
]


@pytest.mark.parametrize(("ending", "name", "codec"), CASES)
def test_a_film_gives_the_motion_and_the_pictures_that_are_shown(tmp_path, ending, name, codec):
    right, down, _ = TURNS[name]
    plain = encode(
        tmp_path / "plain.mp4",
        scrolling(8, 3, 4, 176, 128),
        codec,
        options={"bf": "2", "refs": "1"} if codec == "libx264" else {},
    )
    path = turned(tmp_path, ending, name, codec)
    turn = Turn(right[0], down[0], right[1], down[1])
    before, after = (rasterise([read_motion(one)], 16, "both") for one in (plain, path))
    dx, dy = turn.vector(before.mv[..., 0], before.mv[..., 1])
    expected = [turn.picture(np.stack([x, y], axis=-1)) for x, y in zip(dx, dy, strict=True)]
    np.testing.assert_array_equal(after.mv, expected)
    assert (after.width, after.height) == turn.size(176, 128)
    moving = after.mv[1:, 1:-1, 1:-1].reshape(-1, 2) / 2
    assert np.median(moving, axis=0) == pytest.approx(turn.vector(3, 4), abs=0.25)
    shown = video.read_frames(path, [4])
    np.testing.assert_array_equal(shown[0], turn.picture(video.read_frames(plain, [4])[0]))
    info = video.probe(path)
    assert (info.width, info.height) == turn.size(176, 128)


def test_the_middle_frame_and_the_re_encoded_film_are_as_shown(tmp_path):
    path = turned(tmp_path, "mp4", "clockwise", "libx264")
    middle = video.Middle()
    for _ in video.stream_motion(path, middle=middle):
        pass
    np.testing.assert_array_equal(middle.picture(path, 8), video.read_frames(path, [4])[0])
    reencode(path, tmp_path / "small.avi")
    small = read_motion(tmp_path / "small.avi")
    moved = [-small.records[f"motion_{axis}"] / small.records["motion_scale"] for axis in "xy"]
    scale = np.array([340 / 128, 256 / 176])
    assert [np.median(axis) for axis in moved] == pytest.approx(scale * (-4, 3), abs=0.5)


def test_a_slanted_film_is_refused_by_name(tmp_path):
    path = encode(tmp_path / "slant.mp4", scrolling(5, 1, 0), matrix=matrix((0.7071, 0.7071), (-0.7071, 0.7071)))
    for read in (read_motion, video.probe):
        with pytest.raises(VideoError, match=r"slant.mp4 .*shown turned by 45 degrees.*quarter turns.*Convert it once"):
            read(path)


def test_a_turn_that_changes_in_mid_film_is_refused(tmp_path):
    parts = []
    for words in ("rotate=90", "rotate=180"):
        stored = encode(tmp_path / "stored.mp4", scrolling(5, 1, 0), "libx264", options={"bf": "0"})
        turned = remux(stored, tmp_path / "turned.mp4", f"h264_metadata=display_orientation=insert:{words}")
        part = remux(turned, tmp_path / "part.h264", "h264_mp4toannexb")
        parts.append(part.read_bytes())
    path = tmp_path / "film.h264"
    path.write_bytes(b"".join(parts))
    with pytest.raises(VideoError, match="turned changes at frame 5"):
        read_motion(path)
