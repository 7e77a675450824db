from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moclip.base.errors import ParamsError
from moclip.motion import grid as motion
from moclip.video import decode as video
from moclip.video.decode import FrameState, MotionVectors
from tests.support.clips import encode, scrolling


def vectors(
    frames: list[list[tuple[int, ...]]],
    width: int = 64,
    height: int = 48,
    past: list[int] | None = None,
    future: list[int] | None = None,
) -> MotionVectors:
    """Frames of (dst_x, dst_y, w, h, motion_x, motion_y, scale, source); none means a key frame."""
    rows = [row for frame in frames for row in frame]
    records = np.zeros(len(rows), dtype=video.VECTOR_DTYPE)
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


def block(x: int, y: int, w: int, h: int, mx: int, my: int, scale: int = 2, source: int = -1):
    return (x, y, w, h, mx, my, scale, source)


def test_a_block_of_a_cell_fills_its_cell_with_content_motion_in_half_pixels():
    grid = motion.rasterise(vectors([[], [block(24, 40, 16, 16, -6, 5)]]), 16)
    assert grid.mv.shape == (2, 3, 4, 2)
    assert grid.mv.dtype == np.int8
    expected = np.zeros((2, 3, 4, 2))
    expected[1, 2, 1] = (6, -5)
    np.testing.assert_array_equal(grid.mv, expected)
    assert grid.key.tolist() == [True, False]


def test_small_blocks_of_a_cell_are_averaged():
    corners = [(20, 20, 1), (28, 20, 2), (20, 28, 3), (28, 28, 8)]
    frame = [block(x, y, 8, 8, -value, 0) for x, y, value in corners]
    assert motion.rasterise(vectors([frame]), 16).mv[0, 1, 1].tolist() == [4, 0]  # 14 / 4, to even
    small = motion.rasterise(vectors([frame]), 8).mv[0]
    assert [small[y // 8, x // 8, 0] for x, y, _ in corners] == [1, 2, 3, 8]
    assert np.count_nonzero(small) == 4


def test_blocks_count_by_their_area_and_blocks_that_are_missing_do_not():
    frame = [block(24, 20, 16, 8, -6, 0), block(20, 28, 8, 8, -12, 0)]
    assert motion.rasterise(vectors([frame]), 16).mv[0, 1, 1].tolist() == [8, 0]  # (2*6 + 12) / 3


@pytest.mark.parametrize(("w", "h"), [(16, 16), (16, 8), (8, 16), (8, 8)])
def test_a_block_fills_every_small_cell_that_it_covers(w, h):
    frame = [block(16 + w // 2, 8 + h // 2, w, h, -2, 4)]
    cells = np.argwhere(motion.rasterise(vectors([frame]), 8).mv[0, ..., 0])
    assert cells.tolist() == [[1 + y, 2 + x] for y in range(h // 8) for x in range(w // 8)]


def test_blocks_beyond_the_picture_are_left_out():
    frame = [block(56, 40, 16, 16, -2, 0), block(72, 8, 16, 16, -9, 0), block(-8, 8, 16, 16, -9, 0)]
    for cell_px in (8, 16):
        grid = motion.rasterise(vectors([frame], width=52, height=44), cell_px)
        assert set(grid.mv.ravel().tolist()) == {0, 2}


@pytest.mark.parametrize(("scale", "stored"), [(1, 8), (2, 4), (4, 2), (8, 1)])
def test_fractions_of_a_pixel_become_half_pixels(scale, stored):
    grid = motion.rasterise(vectors([[block(8, 8, 16, 16, -4, 4, scale)]]), 16)
    assert grid.mv[0, 0, 0].tolist() == [stored, -stored]


def test_motion_beyond_a_byte_is_clipped_and_counted_never_wrapped():
    frame = [
        block(8, 8, 16, 16, -300, 300),
        block(24, 8, 16, 16, -128, 0),
        block(40, 8, 16, 16, -127, 127),
    ]
    grid = motion.rasterise(vectors([frame]), 16)
    assert grid.mv[0, 0, :3].tolist() == [[127, -127], [127, 0], [127, -127]]
    assert grid.clipped == 2


def test_references_choose_vectors_and_divide_them_by_their_distance():
    frame = [block(8, 8, 16, 16, -12, 0, 2, -1), block(8, 8, 16, 16, 6, 0, 2, 1)]
    made = vectors([[], frame], past=[1, 3], future=[0, 2])
    cells = {name: motion.rasterise(made, 16, name).mv[1, 0, 0, 0] for name in motion.REFERENCES}
    assert cells == {"backward": 4, "forward": 3, "both": 4}  # 12 / 3, 6 / 2 turned, 3.5 to even


def test_without_a_known_distance_a_vector_is_taken_as_it_is():
    frame = [block(8, 8, 16, 16, -12, 0, 2, -1), block(24, 8, 16, 16, 6, 0, 2, 1)]
    made = vectors([frame], past=[0], future=[0])
    assert motion.rasterise(made, 16, "both").mv[0, 0, :2, 0].tolist() == [12, 6]


def test_b_frames_whose_vectors_are_lost_share_the_motion_of_their_next_reference(tmp_path):
    path = encode(tmp_path / "b.avi", scrolling(20, 4, -2), options={"bf": "1", "g": "99"})
    made = video.read_motion(path)
    lost = made.future_frames > 0
    assert lost.sum() > 5
    grid = motion.rasterise(made, 16)
    inner = grid.mv[1:, 2:-2, 2:-2]
    assert np.median(inner[lost[1:]].reshape(-1, 2), axis=0).tolist() == [8, -4]
    assert np.median(inner[~lost[1:]].reshape(-1, 2), axis=0).tolist() == [8, -4]
    assert not motion.rasterise(made, 16, "forward").mv.any()


@pytest.mark.parametrize("codec", ["mpeg4", "mpeg2video"])
@pytest.mark.parametrize("cell_px", [8, 16])
def test_runs_of_a_video_make_the_grid_of_the_whole(tmp_path, codec, cell_px):
    path = encode(tmp_path / "clip.mkv", scrolling(20, 3, 1), codec, options={"bf": "2"})
    whole = motion.rasterise(video.read_motion(path), cell_px, "both")
    runs = motion.rasterise(video.stream_motion(path, chunk_bytes=20_000), cell_px, "both")
    np.testing.assert_array_equal(whole.mv, runs.mv)
    np.testing.assert_array_equal(whole.state, runs.state)


def test_unknown_options_are_refused():
    made = vectors([[block(8, 8, 16, 16, 1, 1)]])
    with pytest.raises(ParamsError, match=r"cell_px must be one of \[8, 16\], got 4"):
        motion.rasterise(made, 4)
    with pytest.raises(ParamsError, match=r"reference must be one of .*got 'past'"):
        motion.rasterise(made, 16, "past")


def test_the_states_are_those_of_the_reader():
    assert (motion.KEY_STATE, motion.NONE_STATE) == (FrameState.KEY, FrameState.NONE)


@dataclass(frozen=True)
class SlowTrace:
    """The accumulation pixel by pixel, as CoViAR's loader does it; independent of `moclip.motion.grid`."""

    grid: motion.MotionGrid

    def field(self, frame: int, first: int) -> np.ndarray:
        """int (h, w, 2): displacement of every pixel at `frame` since before frame `first`."""
        grid = self.grid
        start = [[(x, y) for x in range(grid.width)] for y in range(grid.height)]
        old = start
        for index in range(first, frame + 1):
            old = self.step(old, grid.mv[index])
        return np.array(start) - np.array(old)

    def step(self, old, mv):
        new = [list(row) for row in old]
        for y in range(self.grid.height):
            for x in range(self.grid.width):
                cell = mv[y // self.grid.cell_px, x // self.grid.cell_px]
                src_x, src_y = x - int(cell[0] / 2), y - int(cell[1] / 2)
                if 0 <= src_x < self.grid.width and 0 <= src_y < self.grid.height:
                    new[y][x] = old[src_y][src_x]
        return new

    def at_centres(self, frame: int, first: int) -> np.ndarray:
        full, cell = self.field(frame, first), self.grid.cell_px
        rows = [(y + min(y + cell, self.grid.height)) // 2 for y in range(0, self.grid.height, cell)]
        columns = [(x + min(x + cell, self.grid.width)) // 2 for x in range(0, self.grid.width, cell)]
        return np.moveaxis(full[np.ix_(rows, columns)], -1, 0)


def random_grid(seed: int, frames: int, width: int, height: int, cell_px: int, reach: int):
    rng = np.random.default_rng(seed)
    shape = (frames, *motion.grid_shape(width, height, cell_px), 2)
    mv = rng.integers(-reach, reach + 1, shape).astype(np.int8)
    key = rng.random(frames) < 0.2
    mv[key] = 0
    state = np.where(key, FrameState.KEY, FrameState.VECTORS).astype(np.uint8)
    return motion.MotionGrid(mv, state, 0, cell_px, width, height, 25.0)


grids = st.builds(
    random_grid,
    st.integers(0, 10**6),
    st.integers(1, 9),
    st.integers(5, 40),
    st.integers(5, 40),
    st.sampled_from([8, 16]),
    st.sampled_from([1, 5, 30, 127]),
)


@given(grids)
@settings(deadline=None, max_examples=40)
def test_gop_accumulation_is_coviars_pixel_by_pixel(grid):
    points = np.arange(len(grid.mv))
    fields = motion.field_at(grid, points, "gop")
    slow = SlowTrace(grid)
    for point in points:
        frame = point
        while frame > 0 and grid.key[frame]:
            frame -= 1
        first = frame
        while first > 0 and not grid.key[first - 1]:
            first -= 1
        expected = slow.at_centres(frame, first) if not grid.key[frame] else 0
        np.testing.assert_array_equal(fields[point], np.broadcast_to(expected, fields[point].shape))


@given(grids, st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_window_accumulation_goes_past_key_frames(grid, window):
    points = np.arange(len(grid.mv))[::-1]
    fields = motion.field_at(grid, points, "window", window)
    for field, point in zip(fields, points, strict=True):
        expected = SlowTrace(grid).at_centres(point, max(0, point - window + 1))
        np.testing.assert_array_equal(field, expected)


def coviar(made: MotionVectors, first: int, last: int) -> np.ndarray:
    """int (h, w, 2): CoViAR's accumulation from the vectors themselves, block by block and pixel by pixel."""
    x, y = np.meshgrid(np.arange(made.width), np.arange(made.height))
    start = np.stack([x, y], axis=-1)
    old = start.copy()
    for index in range(first, last + 1):
        new = old.copy()
        for record in made.records[made.offsets[index] : made.offsets[index + 1]]:
            by_x, by_y = (int(record[f"dst_{a}"]) - int(record[f"src_{a}"]) for a in "xy")
            if not (by_x or by_y):
                continue
            for oy in range(-int(record["h"]) // 2, int(record["h"]) // 2):
                for ox in range(-int(record["w"]) // 2, int(record["w"]) // 2):
                    dst = (int(record["dst_y"]) + oy, int(record["dst_x"]) + ox)
                    src = (dst[0] - by_y, dst[1] - by_x)
                    if all(0 <= p[0] < made.height and 0 <= p[1] < made.width for p in (dst, src)):
                        new[dst] = old[src]
        old = new
    return start - old


def test_the_grid_accumulates_as_coviar_does_from_the_vectors(tmp_path):
    frames = scrolling(12, 5, -3, width=100, height=72)
    for index, frame in enumerate(frames):
        frame[24:56, 10 + 4 * index : 42 + 4 * index] = 255 - frames[0][24:56, 10:42]
    made = video.read_motion(encode(tmp_path / "a.avi", frames, options={"g": "12"}))
    assert set(made.records["w"]) == {16}
    grid = motion.rasterise(made, 16)
    expected = coviar(made, 1, 11)[np.ix_([8, 24, 40, 56, 68], [8, 24, 40, 56, 72, 88, 98])]
    np.testing.assert_array_equal(motion.field_at(grid, [11], "gop")[0], expected.transpose(2, 0, 1))


def test_without_accumulation_halves_stay_and_a_key_frame_takes_the_frame_before():
    grid = random_grid(3, 6, 64, 48, 16, 127)
    state = np.array([1, 0, 0, 1, 1, 0], dtype=np.uint8)
    mv = grid.mv.copy()
    mv[state == FrameState.KEY] = 0
    grid = replace(grid, state=state, mv=mv)
    fields = motion.field_at(grid, [0, 2, 3, 4, 5, 2])
    assert fields.dtype == np.float32
    assert fields.shape == (6, 2, 3, 4)
    own = np.moveaxis(mv, -1, 1) / 2
    np.testing.assert_array_equal(fields, own[[0, 2, 2, 2, 5, 2]])


def test_a_scroll_accumulates_to_its_length(tmp_path):
    path = encode(tmp_path / "scroll.avi", scrolling(24, 3, -2), options={"g": "12"})
    grid = motion.rasterise(video.read_motion(path), 16)
    np.testing.assert_array_equal(np.flatnonzero(grid.key), [0, 12])
    fields = motion.field_at(grid, [5, 11, 12, 23], "gop")
    inner = np.median(fields[:, :, 3:-3, 3:-3], axis=(2, 3))
    assert inner.tolist() == [[15, -10], [33, -22], [33, -22], [33, -22]]
    across = motion.field_at(grid, [15], "window", 6)[0, :, 3:-3, 3:-3]
    assert np.median(across, axis=(1, 2)).tolist() == [15, -10]  # the key frame's own step adds none


@pytest.mark.parametrize(
    ("points", "options", "said"),
    [
        ([3], {}, "frame indices from 0 to 2"),
        ([-1], {}, "frame indices from 0 to 2"),
        ([], {}, "frame indices"),
        ([0], {"accumulate": "all"}, "accumulate must be one of"),
        ([0], {"accumulate": "window"}, "window must be a number of frames"),
        ([0], {"accumulate": "window", "window": 0}, "window must be a number of frames"),
    ],
)
def test_points_and_options_that_make_no_sense_are_refused(points, options, said):
    with pytest.raises(ParamsError, match=said):
        motion.field_at(random_grid(0, 3, 32, 32, 16, 5), points, **options)
