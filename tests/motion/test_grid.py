import numpy as np
import pytest

from moclip.base.errors import ParamsError
from moclip.motion import grid as motion
from moclip.video import decode as video
from moclip.video.vectors import VECTOR_DTYPE, FrameState, MotionVectors
from tests.support.clips import encode, read_motion, scrolling


def vectors(
    frames: list[list[tuple[int, ...]]],
    width: int = 64,
    height: int = 48,
    past: list[int] | None = None,
    future: list[int] | None = None,
) -> MotionVectors:
    """Frames of (dst_x, dst_y, w, h, motion_x, motion_y, scale, source); none means a key frame."""
    rows = [row for frame in frames for row in frame]
    records = np.zeros(len(rows), dtype=VECTOR_DTYPE)
    names = ("dst_x", "dst_y", "w", "h", "motion_x", "motion_y", "motion_scale", "source")
    for index, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            records[name][index] = value
    counts = [len(frame) for frame in frames]
    state = [FrameState.VECTORS if count else FrameState.KEY for count in counts]
    return MotionVectors(
        records=records,
        offsets=np.cumsum([0, *counts]),
        state=np.array(state, dtype=np.uint8),
        past_frames=np.array(past or [1] * len(frames), dtype=np.int32),
        future_frames=np.array(future or [0] * len(frames), dtype=np.int32),
        width=width,
        height=height,
        fps=25.0,
        codec="mpeg4",
    )


def rasterise(made: MotionVectors, *options) -> motion.MotionGrid:
    return motion.rasterise([made], *options)


def block(x: int, y: int, w: int, h: int, mx: int, my: int, scale: int = 2, source: int = -1):
    return (x, y, w, h, mx, my, scale, source)


def test_a_block_of_a_cell_fills_its_cell_with_content_motion_in_half_pixels():
    grid = rasterise(vectors([[], [block(24, 40, 16, 16, -6, 5)]]), 16)
    assert grid.mv.shape == (2, 3, 4, 2)
    assert grid.mv.dtype == np.int8
    expected = np.zeros((2, 3, 4, 2))
    expected[1, 2, 1] = (6, -5)
    np.testing.assert_array_equal(grid.mv, expected)
    assert grid.key.tolist() == [True, False]


def test_what_a_grid_shows_of_itself_is_one_line():
    grid = rasterise(vectors([[], [block(24, 40, 16, 16, -6, 5)]]), 16)
    assert repr(grid) == ("MotionGrid(2 frames (1 key), 4 x 3 cells of 16 px, 64 x 48 px, 25 fps, 0 clipped)")


def test_small_blocks_of_a_cell_are_averaged():
    corners = [(20, 20, 1), (28, 20, 2), (20, 28, 3), (28, 28, 8)]
    frame = [block(x, y, 8, 8, -value, 0) for x, y, value in corners]
    assert rasterise(vectors([frame]), 16).mv[0, 1, 1].tolist() == [4, 0]  # 14 / 4, to even
    small = rasterise(vectors([frame]), 8).mv[0]
    assert [small[y // 8, x // 8, 0] for x, y, _ in corners] == [1, 2, 3, 8]
    assert np.count_nonzero(small) == 4


def test_blocks_count_by_their_area_and_blocks_that_are_missing_do_not():
    frame = [block(24, 20, 16, 8, -6, 0), block(20, 28, 8, 8, -12, 0)]
    assert rasterise(vectors([frame]), 16).mv[0, 1, 1].tolist() == [8, 0]  # (2*6 + 12) / 3


@pytest.mark.parametrize(("w", "h"), [(16, 16), (16, 8), (8, 16), (8, 8)])
def test_a_block_fills_every_small_cell_that_it_covers(w, h):
    frame = [block(16 + w // 2, 8 + h // 2, w, h, -2, 4)]
    cells = np.argwhere(rasterise(vectors([frame]), 8).mv[0, ..., 0])
    assert cells.tolist() == [[1 + y, 2 + x] for y in range(h // 8) for x in range(w // 8)]


def test_blocks_beyond_the_picture_are_left_out():
    frame = [block(56, 40, 16, 16, -2, 0), block(72, 8, 16, 16, -9, 0), block(-8, 8, 16, 16, -9, 0)]
    for cell_px in (8, 16):
        grid = rasterise(vectors([frame], width=52, height=44), cell_px)
        assert set(grid.mv.ravel().tolist()) == {0, 2}


@pytest.mark.parametrize(("scale", "stored"), [(1, 8), (2, 4), (4, 2), (8, 1)])
def test_fractions_of_a_pixel_become_half_pixels(scale, stored):
    grid = rasterise(vectors([[block(8, 8, 16, 16, -4, 4, scale)]]), 16)
    assert grid.mv[0, 0, 0].tolist() == [stored, -stored]


def test_motion_beyond_a_byte_is_clipped_and_counted_never_wrapped():
    frame = [
        block(8, 8, 16, 16, -300, 300),
        block(24, 8, 16, 16, -128, 0),
        block(40, 8, 16, 16, -127, 127),
    ]
    grid = rasterise(vectors([frame]), 16)
    assert grid.mv[0, 0, :3].tolist() == [[127, -127], [127, 0], [127, -127]]
    assert grid.clipped == 2


def test_references_choose_vectors_and_divide_them_by_their_distance():
    frame = [block(8, 8, 16, 16, -12, 0, 2, -1), block(8, 8, 16, 16, 6, 0, 2, 1)]
    made = vectors([[], frame], past=[1, 3], future=[0, 2])
    cells = {name: rasterise(made, 16, name).mv[1, 0, 0, 0] for name in motion.REFERENCES}
    assert cells == {"backward": 4, "forward": 3, "both": 4}  # 12 / 3, 6 / 2 turned, 3.5 to even


def test_without_a_known_distance_a_vector_is_taken_as_it_is():
    frame = [block(8, 8, 16, 16, -12, 0, 2, -1), block(24, 8, 16, 16, 6, 0, 2, 1)]
    made = vectors([frame], past=[0], future=[0])
    assert rasterise(made, 16, "both").mv[0, 0, :2, 0].tolist() == [12, 6]


def test_b_frames_whose_vectors_are_lost_share_the_motion_of_their_next_reference(tmp_path):
    path = encode(tmp_path / "b.avi", scrolling(20, 4, -2), options={"bf": "1", "g": "99"})
    made = read_motion(path)
    lost = made.future_frames > 0
    assert lost.sum() > 5
    grid = rasterise(made, 16)
    inner = grid.mv[1:, 2:-2, 2:-2]
    assert np.median(inner[lost[1:]].reshape(-1, 2), axis=0).tolist() == [8, -4]
    assert np.median(inner[~lost[1:]].reshape(-1, 2), axis=0).tolist() == [8, -4]
    assert not rasterise(made, 16, "forward").mv.any()


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video"])
@pytest.mark.parametrize("cell_px", [8, 16])
def test_runs_of_a_video_make_the_grid_of_the_whole(tmp_path, codec, cell_px):
    path = encode(tmp_path / "clip.mkv", scrolling(20, 3, 1), codec, options={"bf": "2"})
    whole = rasterise(read_motion(path), cell_px, "both")
    runs = motion.rasterise(video.stream_motion(path, chunk_bytes=20_000), cell_px, "both")
    np.testing.assert_array_equal(whole.mv, runs.mv)
    np.testing.assert_array_equal(whole.state, runs.state)


def test_unknown_options_are_refused():
    made = vectors([[block(8, 8, 16, 16, 1, 1)]])
    with pytest.raises(ParamsError, match=r"cell_px must be one of \[8, 16\], got 4"):
        rasterise(made, 4)
    with pytest.raises(ParamsError, match=r"reference must be one of .*got 'past'"):
        rasterise(made, 16, "past")
