"""Motion maps: a camera's pan leaves none, what moves by itself leaves its edges."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.motion.grid import MotionGrid
from moclip.motion.maps import (
    COARSE,
    MovingCentres,
    boundary_energy,
    boundary_map,
    coarse,
    moving_box,
    moving_centres,
    peak_frames,
)
from moclip.motion.store import MotionStore
from moclip.store.blocks import BlockStore, join, write_block
from moclip.video.frames import segment_points
from moclip.video.vectors import FrameState
from tests.support.motion_clips import write_store

T, GH, GW = 10, 21, 28
half_pels = st.integers(-60, 60)


def pan(dx: int, dy: int, frames: int = T) -> np.ndarray:
    mv = np.zeros((frames, GH, GW, 2), dtype=np.int8)
    mv[..., 0], mv[..., 1] = dx, dy
    return mv


def block(mv: np.ndarray, row: int, column: int, by: tuple[int, int], side: int = 4) -> np.ndarray:
    """The same with a block that moves beside the camera."""
    moved = mv.astype(np.int16)
    moved[:, row : row + side, column : column + side] += by
    return moved.astype(np.int8)


def grid(mv: np.ndarray) -> MotionGrid:
    state = np.full(len(mv), FrameState.VECTORS, dtype=np.uint8)
    return MotionGrid(mv, state, 0, 8, 8 * mv.shape[2], 8 * mv.shape[1], 25.0)


@given(half_pels, half_pels)
def test_pan_gives_a_map_of_exactly_zero(dx, dy):
    assert not boundary_map(pan(dx, dy)).any()
    assert not boundary_energy(grid(pan(dx, dy))).any()
    assert moving_box(grid(pan(dx, dy)), 3) is None


@given(half_pels, half_pels)
def test_block_on_a_pan_has_the_map_of_the_block_alone(dx, dy):
    alone, panned = (boundary_map(block(mv, 8, 10, (20, -30))) for mv in (pan(0, 0), pan(dx, dy)))
    assert np.array_equal(alone, panned)
    assert alone.any()


def test_peaks_lie_on_the_edge_of_the_block():
    strength = boundary_map(block(pan(9, 4), 8, 10, (20, 0), side=6))
    assert not strength[10:12, 12:14].any(), "inside, as outside, all move alike"
    assert not strength[:7].any()
    assert not strength[:, :9].any()
    rows, columns = np.nonzero(strength == strength.max())
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        assert row in (7, 8, 13, 14) or column in (9, 10, 15, 16), "a cell of the edge, or its neighbour outside"


def test_linear_zoom_is_constant_and_not_zero():
    mv = np.zeros((T, GH, GW, 2), dtype=np.int8)
    mv[..., 0], mv[..., 1] = np.arange(GW) - GW // 2, (np.arange(GH) - GH // 2)[:, None]
    inner = boundary_map(mv)[1:-1, 1:-1]
    # d(dx)/dx is 1 half pixel a cell: a difference of 2 over two columns, three rows, ten frames, in pixels
    np.testing.assert_array_equal(inner, np.full_like(inner, 2 * 3 * T / 2))


def test_outer_ring_is_zero_and_a_small_grid_is_nothing_else():
    noise = np.random.default_rng(0).integers(-50, 51, (T, GH, GW, 2)).astype(np.int8)
    strength = boundary_map(noise)
    ring = np.ones_like(strength, dtype=bool)
    ring[1:-1, 1:-1] = False
    assert not strength[ring].any()
    assert strength[~ring].all()
    for gh, gw in ((2, 9), (9, 1), (1, 1)):
        assert not boundary_map(noise[:, :gh, :gw]).any()
        assert not boundary_energy(grid(noise[:, :gh, :gw])).any()


def test_derivatives_are_summed_before_their_magnitude_so_that_trembling_cancels():
    there, back = block(pan(0, 0, 1), 8, 10, (20, 0)), block(pan(0, 0, 1), 8, 10, (-20, 0))
    assert not boundary_map(np.concatenate([there, back])).any()
    assert boundary_energy(grid(np.concatenate([there, back]))).all(), "each frame has its own energy"


def test_map_is_prewitts_of_the_definition():
    """Against convolutions by hand, on noise."""
    mv = np.random.default_rng(1).integers(-50, 51, (3, 6, 7, 2)).astype(np.int8)
    total = mv.astype(float).sum(axis=0) / 2
    expected = np.zeros((6, 7))
    for y in range(1, 5):
        for x in range(1, 6):
            part = total[y - 1 : y + 2, x - 1 : x + 2]
            across, down = (part[:, 2] - part[:, 0]).sum(axis=0), (part[2] - part[0]).sum(axis=0)
            expected[y, x] = np.hypot(across, down).mean()
    np.testing.assert_allclose(boundary_map(mv), expected, rtol=1e-6)
    energies = [boundary_map(mv[t : t + 1]).mean() for t in range(3)]
    np.testing.assert_allclose(boundary_energy(grid(mv)), energies, rtol=1e-6)


def test_energy_of_many_frames_is_that_of_each():
    mv = np.random.default_rng(2).integers(-50, 51, (300, 5, 6, 2)).astype(np.int8)
    whole = boundary_energy(grid(mv))
    assert whole.shape == (300,)
    assert np.array_equal(whole[250:], boundary_energy(grid(mv[250:])))


@given(st.integers(1, 40), st.integers(1, 40))
def test_coarse_map_has_means_of_blocks_that_leave_no_cell_out(height, width):
    strength = np.random.default_rng(height * 41 + width).random((height, width)).astype(np.float32)
    found = coarse(strength)
    assert found.shape == (COARSE, COARSE)
    if height % COARSE == width % COARSE == 0:
        blocks = strength.reshape(COARSE, height // COARSE, COARSE, width // COARSE)
        np.testing.assert_allclose(found, blocks.mean(axis=(1, 3)), rtol=1e-5)
    np.testing.assert_allclose(coarse(np.ones((height, width), np.float32)), 1.0)
    spot = np.zeros((height, width), np.float32)
    spot[height // 2, width // 2] = 1
    assert coarse(spot).any(), "no cell falls between blocks"


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 22), (15, 3), (8, 12)])
def test_box_holds_the_block(row, column):
    box = moving_box(grid(block(pan(11, -7), row, column, (25, 25))), T // 2)
    assert box is not None
    assert box.left - 0.15 <= column / GW <= (column + 4) / GW <= box.right + 0.15
    assert box.top - 0.15 <= row / GH <= (row + 4) / GH <= box.bottom + 0.15
    assert (box.width * COARSE) * (box.height * COARSE) <= 16 + 1e-9


def test_box_is_of_the_frames_about_it():
    early, late = block(pan(0, 0, 20), 3, 3, (30, 0)), block(pan(0, 0, 20), 14, 20, (30, 0))
    boxes = [moving_box(grid(np.concatenate([early, late])), frame) for frame in (0, 5, 35, 39)]
    assert boxes[0] == boxes[1]
    assert boxes[2] == boxes[3]
    assert boxes[0] != boxes[2]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.integers(1, 12))
def test_peak_of_each_part_is_its_highest_and_the_first_of_equals(energy, segments):
    values = np.array(energy, dtype=np.float32)
    peaks = peak_frames(values, segments)
    centres = segment_points(len(values), segments)
    assert peaks.shape == centres.shape
    edges = [k * len(values) // segments for k in range(segments + 1)]
    for peak, start, end in zip(peaks.tolist(), edges, edges[1:], strict=False):
        part = values[start : max(end, start + 1)]
        assert peak == start + int(np.flatnonzero(part == part.max())[0])
    assert peak_frames(values, 1)[0] == int(values.argmax())


def fields(mv: np.ndarray) -> np.ndarray:
    return np.moveaxis(mv, -1, 1) / np.float32(2)


@given(half_pels, half_pels, st.integers(0, 17), st.integers(0, 24))
def test_centre_is_that_of_the_block_that_moves_in_the_square_that_clip_sees(dx, dy, row, column):
    width, height = 8 * GW, 8 * GH
    found = moving_centres(fields(block(pan(dx, dy, 2), row, column, (20, 8))), width, height, 8)
    left = (width - height) // 2
    down, across = 8 * (row + 2) / height, (8 * (column + 2) - left) / height
    np.testing.assert_allclose(found, np.clip([[down, across]] * 2, 0, 1), atol=1e-6)


@given(half_pels, half_pels)
def test_centre_of_a_pan_is_the_middle(dx, dy):
    np.testing.assert_array_equal(moving_centres(fields(pan(dx, dy)), 8 * GW, 8 * GH, 8), np.full((T, 2), 0.5))


def test_centres_of_stored_videos_are_those_at_their_frames(tmp_path: Path) -> None:
    still, moved = pan(0, 0), block(pan(0, 0), 0, 12, (20, 8))
    clips = {"a": np.concatenate([still[:5], moved[:5]]), "b": moved}
    write_store(tmp_path / "motion", [(name, grid(mv)) for name, mv in clips.items()], {})
    points = {"a": [1, 7], "b": [0, 9]}
    rows = [np.array(points[name], dtype=np.int32) for name in clips]
    write_block(tmp_path / "000000.block", list(clips), {"points": rows})
    join(tmp_path / "frames", [tmp_path / "000000.block"], {})
    centres = MovingCentres(MotionStore.open(tmp_path / "motion"), BlockStore(tmp_path / "frames"))
    b, a = centres.rows("centres", ["b", "a"])
    np.testing.assert_allclose(a[:, 0], [0.5, 16 / (8 * GH)], atol=1e-6)
    np.testing.assert_allclose(b[:, 0], [16 / (8 * GH)] * 2, atol=1e-6)
