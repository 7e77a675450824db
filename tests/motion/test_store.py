import json
import multiprocessing
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import StoreError
from moclip.base.files import fingerprint, sha256_file, write_json
from moclip.motion.grid import MotionGrid, grid_shape
from moclip.motion.store import MotionStore, join_motion
from tests.support.motion_clips import write_store
from tests.support.trees import content

SIZES = [(64, 48, 7), (50, 33, 4), (64, 48, 12), (16, 16, 1)]


def grid(seed: int) -> MotionGrid:
    width, height, frames = SIZES[seed]
    rng = np.random.default_rng(seed)
    mv = rng.integers(-127, 128, (frames, *grid_shape(width, height, 16), 2)).astype(np.int8)
    state = rng.integers(0, 3, frames).astype(np.uint8)
    return MotionGrid(mv, state, seed, 16, width, height, 25.0 + seed)


BLOCK = "blocks/000/000001.block"
CLIPS = [(f"clip{seed}", grid(seed)) for seed in (2, 0, 3, 1)]


@pytest.fixture
def store(tmp_path) -> Path:
    write_store(tmp_path / "store", CLIPS, {"source": "original"}, videos=2)
    return tmp_path / "store"


def assert_same(a: MotionGrid, b: MotionGrid) -> None:
    np.testing.assert_array_equal(a.mv, b.mv)
    np.testing.assert_array_equal(a.state, b.state)
    assert replace(a, mv=b.mv, state=b.state) == b


def test_clips_come_back_whole_and_in_windows_over_several_blocks(store):
    opened = MotionStore.open(store)
    assert len(list(store.glob("blocks/*/*.block"))) == 2
    assert opened.ids == ["clip2", "clip0", "clip3", "clip1"]
    assert len(opened) == 4
    for video_id, expected in CLIPS:
        assert_same(opened.clip(video_id), expected)
        last = len(expected.mv) - 1
        part = opened.window(video_id, last // 2, last - last // 2 + 1)
        np.testing.assert_array_equal(part.mv, expected.mv[last // 2 :])
        np.testing.assert_array_equal(part.state, expected.state[last // 2 :])
    info = opened.info("clip1")
    assert (info.frames, info.gh, info.gw, info.width, info.height) == (4, 3, 4, 50, 33)
    assert (info.fps, info.clipped) == (26.0, 1)
    assert opened.column("clipped").tolist() == [2, 0, 3, 1]
    assert opened.column("count").sum() == 24
    assert "half pixels" in (store / "meta.json").read_text()
    with np.load(store / "blocks.npz") as table:
        assert table["sha256"].tolist() == [sha256_file(file) for file in sorted(store.glob("blocks/*/*.block"))]


def test_reading_maps_the_file_and_cannot_change_it(store):
    mv = MotionStore.open(store).clip("clip2").mv
    assert isinstance(mv.base, np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        mv[0] = 0


def test_equal_clips_give_equal_bytes_and_digests(store, tmp_path):
    write_store(tmp_path / "again", CLIPS, {"source": "original"}, videos=2)
    assert content(store) == content(tmp_path / "again")
    write_store(tmp_path / "other", CLIPS, {"source": "reencoded"}, videos=2)
    assert MotionStore.open(store).digest != MotionStore.open(tmp_path / "other").digest


def test_a_worker_process_opens_the_store_itself(store):
    opened = MotionStore.open(store)
    opened.clip("clip0")
    assert len(pickle.dumps(opened)) < 1000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(opened.clip, ("clip0",))
    assert_same(there, opened.clip("clip0"))


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (0, 8), (6, 2), (2, 0)])
def test_windows_outside_a_clip_are_refused(store, start, length):
    with pytest.raises(StoreError, match="'clip0' were asked for, which has 7"):
        MotionStore.open(store).window("clip0", start, length)


def test_an_id_that_is_missing_is_named(store):
    opened = MotionStore.open(store)
    for read in (opened.clip, opened.info):
        with pytest.raises(StoreError, match="no motion of 'clip9'"):
            read("clip9")
    assert "clip9" not in opened


def test_a_writer_that_fails_leaves_the_old_store(store):
    before = content(store)

    def clips():
        yield CLIPS[0]
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_store(store, clips(), {})
    assert content(store) == before
    assert [path.name for path in store.parent.iterdir()] == ["store"]


def test_an_index_that_is_lost_is_made_again_of_the_blocks(store):
    before = content(store)
    shutil.rmtree(store / "index")
    join_motion(store, sorted(store.glob("blocks/*/*.block")), {"source": "original"})
    assert content(store) == before


def test_the_store_of_version_2_is_refused_with_the_command_that_makes_it_again(tmp_path):
    meta = {"format": "moclip-motion-store", "format_version": 2, "cell_px": 16}
    write_json(tmp_path / "old" / "meta.json", meta | {"digest": fingerprint(meta)})
    with pytest.raises(StoreError, match=r"old: format version 2, this reads 3; extract .*`dvc repro extract_motion`"):
        MotionStore.open(tmp_path / "old")


def test_clips_that_do_not_fit_together_are_refused(tmp_path):
    with pytest.raises(StoreError, match="'clip2' stands twice"):
        write_store(tmp_path / "s", [CLIPS[0], CLIPS[0]], {})
    with pytest.raises(StoreError, match="cells of 8 px in a store of 16"):
        write_store(tmp_path / "s", [CLIPS[0], ("b", replace(CLIPS[1][1], cell_px=8))], {})
    with pytest.raises(StoreError, match="at least one video"):
        write_store(tmp_path / "s", [], {})
    assert not list(tmp_path.iterdir())


def rewrite_meta(store: Path, **changes: object) -> None:
    meta = json.loads((store / "meta.json").read_text())
    del meta["digest"]
    meta |= changes
    (store / "meta.json").write_text(json.dumps(meta | {"digest": fingerprint(meta)}))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda store: cut(store / BLOCK), f"{BLOCK}: torn"),
        (lambda store: (store / BLOCK).unlink(), f"{BLOCK}: torn, no bytes"),
        (lambda store: flip(store / "blocks.npz"), "blocks.npz: missing, or not what was written"),
        (lambda store: flip(store / "index/000.index"), "000.index: missing, or not what was written"),
        (lambda store: (store / "meta.json").unlink(), "meta.json: cannot be read"),
        (lambda store: (store / "meta.json").write_text("[]"), "names no 'moclip-motion-store'"),
        (lambda store: rewrite_meta(store, format="other"), "names no 'moclip-motion-store'"),
        (lambda store: rewrite_meta(store, format_version=99), "format version 99"),
        (lambda store: rewrite_meta(store, format_version=1), r"version 1, this reads 3; .*`dvc repro extract_motion`"),
        (
            lambda store: (store / "meta.json").write_text(
                (store / "meta.json").read_text().replace('"cell_px": 16', '"cell_px": 8')
            ),
            "meta.json was changed",
        ),
    ],
)
def test_torn_and_foreign_stores_are_refused(store, harm, said):
    harm(store)
    with pytest.raises(StoreError, match=said):
        [MotionStore.open(store).clip(video_id) for video_id, _ in CLIPS]


def test_a_place_without_a_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no such store; extract the motion again"):
        MotionStore.open(tmp_path / "none")
