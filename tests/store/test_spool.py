import mmap
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moclip.base.files import InPieces, write_npz
from moclip.motion import draw
from moclip.motion.extract import MotionOptions, VideoFile, extract, read_grid
from moclip.motion.fields import field_at
from moclip.motion.grid import MotionGrid
from moclip.motion.store import MotionStore
from moclip.store import spool
from moclip.video.vectors import FrameState
from tests.support.clips import encode, scrolling

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(monkeypatch):
    """Everything is long: a few kilobytes lie in files, and are read in pieces."""
    monkeypatch.setattr(spool, "MEMORY_BYTES", 2000)
    for module in (spool, draw):
        monkeypatch.setattr(module, "PIECE_BYTES", 700)


def parts(count: int = 9) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(-127, 128, (1 + number % 3, 4, 5, 2)).astype(np.int8) for number in range(count)]


def spooled(made: list[np.ndarray], folder: Path | None = None) -> np.ndarray:
    with spool.Spool(folder) as growing:
        for part in made:
            growing.append(part)
        return growing.array()


def test_few_frames_stay_in_memory_and_many_lie_in_a_file_with_the_same_face(small, tmp_path):
    few, many = parts(3), parts(60)
    assert not isinstance(spooled(few), np.memmap)
    array = spooled(many, tmp_path)
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable
    np.testing.assert_array_equal(array, np.concatenate(many))
    assert not list(tmp_path.iterdir())  # the file has no name


def test_pieces_are_the_array_in_order_and_can_be_read_again(small):
    array = spooled(parts(60))
    for _ in range(2):
        found = [piece.copy() for piece in spool.pieces(array)]
        assert len(found) > 5
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate(parts(60)))
    (alone,) = spool.pieces(parts(1)[0])
    np.testing.assert_array_equal(alone, parts(1)[0])


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system gives no pages back")
def test_reading_in_pieces_does_not_fill_memory():
    """In a process of its own, which has not had any peak yet."""
    program = """
import resource
import numpy as np
from moclip.store.spool import Spool, pieces
from tests.support.motion_clips import write_store
with Spool() as growing:
    for number in range(200):
        growing.append(np.full((1, 1 << 20), number % 100, dtype=np.int8))
    array = growing.array()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = sum(int(piece[:, ::4096].sum()) for piece in pieces(array))
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    total, growth_kb = map(int, done.stdout.split())
    assert total == 2 * 256 * sum(range(100))
    assert growth_kb * resource.getpagesize() // resource.getpagesize() < 40_000


def long_grid(frames: int = 60) -> MotionGrid:
    rng = np.random.default_rng(1)
    mv = rng.integers(-20, 21, (frames, 9, 11, 2)).astype(np.int8)
    state = np.full(frames, FrameState.VECTORS, dtype=np.uint8)
    return MotionGrid(mv, state, 0, 16, 176, 144, 25.0)


def test_a_long_video_gives_the_grid_the_fields_and_the_store_of_one_in_memory(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.mp4", scrolling(40, 3, -2), "libx264", options={"bf": "2"})
    video, stores, grids = VideoFile("clip", path), [], []
    for limit in (1 << 30, 2000):
        monkeypatch.setattr(spool, "MEMORY_BYTES", limit)
        monkeypatch.setattr(spool, "PIECE_BYTES", min(limit, 1 << 20))
        grids.append(read_grid(path, MotionOptions(8), tmp_path))
        place = tmp_path / str(limit)
        extract([video], place / "store", place / "work", MotionOptions(8), jobs=1)
        stores.append({file.name: file.read_bytes() for file in (place / "store").rglob("*.*")})
    assert [isinstance(grid.mv, np.memmap) for grid in grids] == [False, True]
    np.testing.assert_array_equal(grids[0].mv, grids[1].mv)
    for accumulate, window in (("none", None), ("gop", None), ("window", 6)):
        fields = [field_at(grid, [0, 7, 39], accumulate, window) for grid in grids]
        np.testing.assert_array_equal(*fields)
    assert stores[0] == stores[1]
    np.testing.assert_array_equal(MotionStore.open(tmp_path / "2000" / "store").clip("clip").mv, grids[0].mv)


def test_arrays_in_pieces_have_the_bytes_of_whole_ones(tmp_path):
    values = np.random.default_rng(0).normal(size=(30, 4, 2)).astype(np.float32)
    write_npz(tmp_path / "whole.npz", a=values, b=np.arange(3))
    pieces = InPieces(values.dtype, values.shape, np.array_split(values, 7))
    write_npz(tmp_path / "pieces.npz", a=pieces, b=np.arange(3))
    np.savez(tmp_path / "numpy.npz", a=values, b=np.arange(3))
    contents = {(tmp_path / f"{name}.npz").read_bytes() for name in ("whole", "pieces", "numpy")}
    assert len(contents) == 1


def test_the_full_speed_of_a_film_is_that_of_all_its_fields_at_once(small):
    grid = long_grid()
    fields = field_at(grid, range(60), "window", draw.SHOWN_FRAMES)
    expected = draw.full_speed_px(np.moveaxis(fields, 1, 0))
    assert draw._full_speed_of_film_px(grid) == pytest.approx(expected, rel=1e-5)
    still = MotionGrid(np.zeros_like(grid.mv), grid.state, 0, 16, 176, 144, 25.0)
    assert draw._full_speed_of_film_px(still) == 1.0


def test_films_and_arrays_of_a_long_video_are_those_of_one_in_memory(tmp_path, monkeypatch):
    path = encode(tmp_path / "clip.avi", scrolling(30, 3, -2))
    contents = []
    for limit in (1 << 20, 700):
        monkeypatch.setattr(spool, "MEMORY_BYTES", limit)
        for module in (spool, draw):
            monkeypatch.setattr(module, "PIECE_BYTES", limit)
        grid = read_grid(path, MotionOptions())
        draw.save_film(tmp_path / "film.mp4", path, grid)
        draw.save_arrays(tmp_path / "arrays.npz", grid)
        contents.append([(tmp_path / name).read_bytes() for name in ("film.mp4", "arrays.npz")])
        with np.load(tmp_path / "arrays.npz") as arrays:
            np.testing.assert_array_equal(arrays["mv_px"], grid.mv / np.float32(2))
    assert contents[0] == contents[1]
