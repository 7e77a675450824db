from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moclip.base.errors import ParamsError
from moclip.motion.fields import field_at
from moclip.motion.grid import MotionGrid, grid_shape, rasterise
from moclip.video.decode import stream_motion
from moclip.video.vectors import FrameState, MotionVectors
from tests.support.clips import encode, read_motion, scrolling


@dataclass(frozen=True)
class SlowTrace:
    """The accumulation pixel by pixel, as CoViAR's loader does it; independent of `moclip.motion.fields`."""

    grid: MotionGrid

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
    shape = (frames, *grid_shape(width, height, cell_px), 2)
    mv = rng.integers(-reach, reach + 1, shape).astype(np.int8)
    key = rng.random(frames) < 0.2
    mv[key] = 0
    state = np.where(key, FrameState.KEY, FrameState.VECTORS).astype(np.uint8)
    return MotionGrid(mv, state, 0, cell_px, width, height, 25.0)


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
@settings(max_examples=40)
def test_gop_accumulation_is_coviars_pixel_by_pixel(grid):
    points = np.arange(len(grid.mv))
    fields = field_at(grid, points, "gop")
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
@settings(max_examples=40)
def test_window_accumulation_goes_past_key_frames(grid, window):
    points = np.arange(len(grid.mv))[::-1]
    fields = field_at(grid, points, "window", window)
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
    made = read_motion(encode(tmp_path / "a.avi", frames, options={"g": "12"}))
    assert set(made.records["w"]) == {16}
    grid = rasterise([made], 16)
    expected = coviar(made, 1, 11)[np.ix_([8, 24, 40, 56, 68], [8, 24, 40, 56, 72, 88, 98])]
    np.testing.assert_array_equal(field_at(grid, [11], "gop")[0], expected.transpose(2, 0, 1))


def test_without_accumulation_halves_stay_and_a_key_frame_takes_the_frame_before():
    grid = random_grid(3, 6, 64, 48, 16, 127)
    state = np.array([1, 0, 0, 1, 1, 0], dtype=np.uint8)
    mv = grid.mv.copy()
    mv[state == FrameState.KEY] = 0
    grid = replace(grid, state=state, mv=mv)
    fields = field_at(grid, [0, 2, 3, 4, 5, 2])
    assert fields.dtype == np.float32
    assert fields.shape == (6, 2, 3, 4)
    own = np.moveaxis(mv, -1, 1) / 2
    np.testing.assert_array_equal(fields, own[[0, 2, 2, 2, 5, 2]])


def test_a_scroll_accumulates_to_its_length(tmp_path):
    path = encode(tmp_path / "scroll.avi", scrolling(24, 3, -2), options={"g": "12"})
    grid = rasterise(stream_motion(path), 16)
    np.testing.assert_array_equal(np.flatnonzero(grid.key), [0, 12])
    fields = field_at(grid, [5, 11, 12, 23], "gop")
    inner = np.median(fields[:, :, 3:-3, 3:-3], axis=(2, 3))
    assert inner.tolist() == [[15, -10], [33, -22], [33, -22], [33, -22]]
    across = field_at(grid, [15], "window", 6)[0, :, 3:-3, 3:-3]
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
        field_at(random_grid(0, 3, 32, 32, 16, 5), points, **options)
