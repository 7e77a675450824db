"""A store of blocks: what was written comes back by id, and what is not whole or not this is refused."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from moclip.base.errors import StoreError
from moclip.base.files import fingerprint, read_json, remove_left_overs, sha256_file, write_json, write_npz
from moclip.store import blocks as module
from moclip.store.arrays import write_arrays
from moclip.store.blocks import BlockStore, block_name, join, parts, write_block
from tests.support.imports import ROOT
from tests.support.trees import content

Rows = dict[str, dict[str, np.ndarray]]
COUNTS = (3, 1, 4, 2, 5, 1, 2)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_VIDEOS", 3)


def videos(counts: Sequence[int] = COUNTS, seed: int = 0) -> Rows:
    """Ids that do not ascend, and of each a ragged number of rows in two arrays."""
    rng = np.random.default_rng(seed)
    return {
        f"v{(7 * i) % 100:02d}": {
            "points": rng.integers(0, 1000, count).astype(np.int32),
            "grid": rng.normal(size=(count, 2, 2, 3)).astype(np.float16),
        }
        for i, count in enumerate(counts)
    }


def columns(some: Rows) -> Mapping[str, Sequence[np.ndarray]]:
    return {name: [of_video[name] for of_video in some.values()] for name in next(iter(some.values()))}


def written(directory: Path, given: Rows, order: int = 1) -> list[Path]:
    ids = list(given)
    files = [directory / block_name(number) for number in range(len(parts(len(ids))))]
    for file, places in list(zip(files, parts(len(ids)), strict=True))[::order]:
        own = {ids[place]: given[ids[place]] for place in places}
        write_block(file, list(own), columns(own))
    return files


def stored(path: Path, given: Rows | None = None) -> Path:
    join(path, written(path.parent / f"{path.name}-work", given or videos()), {"rule": "uniform:4"})
    return path


def everything(store: BlockStore, name: str = "points") -> list[np.ndarray]:
    return list(store.rows(name, store.ids))


def rewritten_meta(path: Path, **changes: object) -> None:
    """Change what meta.json says, and state a digest that fits."""
    meta = read_json(path / "meta.json") | changes
    meta.pop("digest")
    write_json(path / "meta.json", meta | {"digest": fingerprint(meta)})


@given(st.lists(st.integers(1, 5), min_size=1, max_size=10), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_ragged_rows_come_back_by_id_over_several_blocks(tmp_path_factory, counts, random):
    given = videos(counts)
    store = BlockStore(stored(tmp_path_factory.mktemp("blocks") / "store", given))
    assert store.ids == list(given), "in the order given"
    asked = random.choices(store.ids, k=12)
    for name in ("points", "grid"):
        for video, rows in zip(asked, store.rows(name, asked), strict=True):
            np.testing.assert_array_equal(rows, given[video][name], strict=True)


def test_blocks_lie_apart_and_the_store_says_what_is_in_it(tmp_path):
    path = stored(tmp_path / "store")
    store = BlockStore(path)
    blocks = {f"blocks/000/00000{number}.block" for number in range(3)}
    assert set(content(path)) == {*blocks, "blocks.npz", "index/000.index", "meta.json"}
    assert store.made_by == {"rule": "uniform:4"}
    assert store.arrays == {"grid": {"dtype": "F16", "row": [2, 2, 3]}, "points": {"dtype": "I32", "row": []}}
    assert (store.meta["videos"], store.meta["blocks"]) == (7, 3)
    with np.load(path / "blocks.npz") as table:
        assert table["videos"].tolist() == [3, 3, 1]
        assert table["rows"].tolist() == [8, 8, 2]


def test_index_of_many_blocks_has_several_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCKS_PER_PAGE", 2)
    given = videos()
    store = BlockStore(stored(tmp_path / "store", given))
    assert {"index/000.index", "index/001.index", "blocks/001/000002.block"} < set(content(tmp_path / "store"))
    assert store.ids == list(given)
    for rows, of_video in zip(everything(store), given.values(), strict=True):
        np.testing.assert_array_equal(rows, of_video["points"])


def test_few_blocks_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_OPEN_BLOCKS", 1)
    given = videos()
    store = BlockStore(stored(tmp_path / "store", given))
    there_and_back = store.ids + store.ids[::-1]
    for video, rows in zip(there_and_back, store.rows("grid", there_and_back), strict=True):
        np.testing.assert_array_equal(rows, given[video]["grid"])


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (3, [3]), (7, [3, 3, 1])])
def test_parts_cover_each_video_once(count, sizes):
    assert [len(part) for part in parts(count)] == sizes
    assert [place for part in parts(count) for place in part] == list(range(count))


def test_equal_inputs_give_equal_bytes_in_whatever_order_blocks_are_made(tmp_path):
    first = content(stored(tmp_path / "store"))
    join(tmp_path / "again", written(tmp_path / "w", videos(), order=-1), {"rule": "uniform:4"})
    assert content(tmp_path / "again") == first
    assert content(stored(tmp_path / "other", videos(seed=1))) != first


def test_a_store_replaces_an_older_one_as_a_whole(tmp_path):
    stored(tmp_path / "store")
    join(tmp_path / "store", written(tmp_path / "w", videos((2,))), {})
    assert set(content(tmp_path / "store")) == {"blocks/000/000000.block", "blocks.npz", "index/000.index", "meta.json"}


def test_store_outlives_the_blocks_that_it_was_made_of(tmp_path):
    given = videos()
    path = stored(tmp_path / "store", given)
    shutil.rmtree(tmp_path / "store-work")
    for rows, of_video in zip(everything(BlockStore(path), "grid"), given.values(), strict=True):
        np.testing.assert_array_equal(rows, of_video["grid"])


def test_blocks_are_copied_where_a_disk_has_no_links(tmp_path, monkeypatch):
    linked = content(stored(tmp_path / "linked"))
    assert (tmp_path / "linked" / "blocks/000/000000.block").stat().st_nlink == 2, "bytes are on the disk once"

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert content(stored(tmp_path / "copied")) == linked
    assert (tmp_path / "copied" / "blocks/000/000000.block").stat().st_nlink == 1


def test_pickled_reader_opens_again(tmp_path):
    store = BlockStore(stored(tmp_path / "store"), "run `dvc repro`")
    expected = everything(store)  # files are open now
    again = pickle.loads(pickle.dumps(store))
    assert (again.path, again.remedy) == (store.path, store.remedy)
    for rows, own in zip(everything(again), expected, strict=True):
        np.testing.assert_array_equal(rows, own)


def test_missing_videos_are_counted_and_the_first_is_named(tmp_path):
    store = BlockStore(stored(tmp_path / "store"), "run `dvc repro`")
    with pytest.raises(StoreError, match=r"store: lacks 2 of 3 videos, first x; run `dvc repro`"):
        list(store.rows("points", [store.ids[0], "x", "y"]))


def test_array_that_is_not_there_is_named(tmp_path):
    store = BlockStore(stored(tmp_path / "store"))
    with pytest.raises(StoreError, match=r"store: has no 'residual' \(has \['grid', 'points'\]\); run the stage"):
        list(store.rows("residual", store.ids))


def test_directory_that_is_not_there_or_foreign_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"store: no such store; run the stage that makes it again"):
        BlockStore(tmp_path / "store")
    (tmp_path / "store").mkdir()
    with pytest.raises(StoreError, match=r"meta\.json: cannot be read as JSON"):
        BlockStore(tmp_path / "store")
    for foreign in ({"format": "moclip-motion"}, ["moclip-blocks"]):
        write_json(tmp_path / "store" / "meta.json", foreign)
        with pytest.raises(StoreError, match="store: no store of this kind"):
            BlockStore(tmp_path / "store")


def test_store_of_another_version_is_refused(tmp_path):
    rewritten_meta(stored(tmp_path / "store"), format_version=1)
    with pytest.raises(StoreError, match="store: format version 1, this reads 3"):
        BlockStore(tmp_path / "store")


@pytest.mark.parametrize("change", [{"videos": 8}, {"made_by": {"rule": "uniform:8"}}, {"files": {}}])
def test_changed_meta_is_refused(tmp_path, change):
    path = stored(tmp_path / "store")
    write_json(path / "meta.json", read_json(path / "meta.json") | change)
    with pytest.raises(StoreError, match=r"meta\.json was changed after it was written"):
        BlockStore(path)


@pytest.mark.parametrize("name", ["blocks.npz", "index/000.index"])
@pytest.mark.parametrize("other", [None, "of another store"])
def test_changed_swapped_or_missing_index_is_refused(tmp_path, name, other):
    path = stored(tmp_path / "store")
    (path / name).unlink()
    if other:
        shutil.copy(stored(tmp_path / "other", videos((3, 1, 4, 2, 5, 2, 1))) / name, path / name)
    with pytest.raises(StoreError, match=rf"{name}: missing, or not what was written"):
        everything(BlockStore(path))


def test_edited_index_is_refused(tmp_path):
    path = stored(tmp_path / "store")
    page = path / "index" / "000.index"
    page.write_bytes(page.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreError, match=r"000\.index: missing, or not what was written"):
        everything(BlockStore(path))


@pytest.mark.parametrize("keep", [-1, 0, 10])
def test_torn_block_is_refused_before_a_row_is_read(tmp_path, keep):
    path = stored(tmp_path / "store")
    block = path / "blocks/000/000001.block"
    block.write_bytes(block.read_bytes()[:keep])
    with pytest.raises(StoreError, match=rf"000001\.block: torn, {block.stat().st_size} bytes where \d+ belong"):
        BlockStore(path)
    block.unlink()
    with pytest.raises(StoreError, match=r"000001\.block: torn, no bytes where"):
        BlockStore(path)


def test_block_that_stands_in_for_another_of_its_size_is_refused(tmp_path):
    path = stored(tmp_path / "store", videos((2,) * 6))
    first, second = (path / "blocks" / "000" / block_name(number) for number in (0, 1))
    assert first.stat().st_size == second.stat().st_size, "the size alone does not tell"
    content = first.read_bytes()
    shutil.copy(second, first)
    second.write_bytes(content)
    store = BlockStore(path)
    with pytest.raises(StoreError, match=r"000000\.block: holds other videos than its index says; run the stage"):
        everything(store)


def test_torn_file_is_no_block_to_join(tmp_path):
    files = written(tmp_path / "w", videos())
    files[1].write_bytes(files[1].read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"000001\.block: torn or foreign"):
        join(tmp_path / "store", files, {})
    assert not (tmp_path / "store").exists()


def test_missing_or_foreign_file_is_no_block_to_join(tmp_path):
    files = written(tmp_path / "w", videos())
    files[1].unlink()
    with pytest.raises(StoreError, match=r"000001\.block: missing"):
        join(tmp_path / "store", files, {})
    save_file({"points": np.arange(3)}, files[1])
    with pytest.raises(StoreError, match=r"000001\.block: torn or foreign"):
        join(tmp_path / "store", files, {})
    assert not (tmp_path / "store").exists()


def test_store_without_a_video_is_refused(tmp_path):
    with pytest.raises(StoreError, match="store: a store needs at least one video"):
        join(tmp_path / "store", [], {})


def test_id_that_stands_twice_is_refused_within_a_block_and_over_two(tmp_path):
    one = {"points": np.zeros(1, np.int32)}
    write_block(tmp_path / "a", ["v", "w"], columns({"v": one, "w": one}))
    write_block(tmp_path / "b", ["x", "x"], {"points": [one["points"]] * 2})
    for files in ([tmp_path / "a", tmp_path / "a"], [tmp_path / "a", tmp_path / "b"]):
        with pytest.raises(StoreError, match=r"store: id '.' stands twice"):
            join(tmp_path / "store", files, {})
        assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"], "nothing is left half-written"


@pytest.mark.parametrize(
    "other",
    [
        {"points": np.zeros(2, np.int64), "feature": np.zeros((2, 3), np.float16)},
        {"points": np.zeros(2, np.int32), "feature": np.zeros((2, 4), np.float16)},
        {"points": np.zeros(2, np.int32), "other": np.zeros((2, 3), np.float16)},
        {"points": np.zeros(2, np.int32)},
    ],
)
def test_blocks_of_other_arrays_do_not_make_one_store(tmp_path, other):
    first = {"points": np.zeros(1, np.int32), "feature": np.zeros((1, 3), np.float16)}
    write_block(tmp_path / "a", ["v"], columns({"v": first}))
    write_block(tmp_path / "b", ["w"], columns({"w": other}))
    with pytest.raises(StoreError, match=r"store: block 1 has the arrays .*, the first one .*feature"):
        join(tmp_path / "store", [tmp_path / "a", tmp_path / "b"], {})
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_is_refused_and_leaves_no_block(tmp_path, bad):
    given = videos()
    given["v21"]["grid"][0, 1, 1, 2] = bad
    with pytest.raises(StoreError, match=r"b\.block: 'grid' of v21 is not finite in float16"):
        write_block(tmp_path / "b.block", list(given), columns(given))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ids", "points", "feature"),
    [
        (["v", "w"], [2, 1], [2, 2]),  # more rows of w in one array
        (["v", "w"], [2, 1], [2]),  # w in one array alone
        (["v"], [2, 1], [2, 1]),  # a video without an id
        (["v", "w"], [2], [2]),  # an id without a video
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(tmp_path, ids, points, feature):
    rows = {"points": [np.zeros(n) for n in points], "feature": [np.zeros((n, 3)) for n in feature]}
    with pytest.raises(StoreError, match=r"b\.block: arrays differ in their rows by video"):
        write_block(tmp_path / "b.block", ids, rows)
    assert list(tmp_path.iterdir()) == []


def test_video_without_a_row_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"b\.block: w has no row"):
        write_block(tmp_path / "b.block", ["v", "w"], {"points": [np.zeros(2), np.zeros(0)]})


def test_killed_writer_leaves_the_older_store_and_nothing_half(tmp_path):
    """A kill is no error that a program can tidy up after: the next call finds a hidden left-over, and removes it."""
    before = content(stored(tmp_path / "store", videos((2, 2))))
    files = written(tmp_path / "w", videos())
    program = (
        "import os, sys, pathlib\n"
        "from moclip.store import blocks\n"
        "blocks.sha256_file = lambda path: os.kill(os.getpid(), 9)\n"
        "blocks.join(pathlib.Path(sys.argv[1]), [pathlib.Path(name) for name in sys.argv[2:]], {})\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "store"), *map(str, files)]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == -9
    assert content(tmp_path / "store") == before
    assert [path for path in tmp_path.iterdir() if ".part" in path.name], "killed while it was writing"
    remove_left_overs(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "store-work", "w"]
    join(tmp_path / "store", files, {"rule": "uniform:4"})
    assert content(tmp_path / "store") == content(stored(tmp_path / "whole"))


def test_reading_takes_the_rows_asked_for_and_not_the_block(tmp_path):
    rows = [np.full((50_000, 16), i, np.float32) for i in range(3)]
    write_block(tmp_path / "b", ["u", "v", "w"], {"feature": rows})
    join(tmp_path / "store", [tmp_path / "b"], {})
    (found,) = BlockStore(tmp_path / "store").rows("feature", ["v"])
    assert found.base is None or found.base.nbytes == found.nbytes, "no view that keeps a whole block alive"
    np.testing.assert_array_equal(found, rows[1])


def rebuilt(path: Path) -> dict[str, bytes]:
    """The store after its index was lost, and made again of its blocks."""
    shutil.rmtree(path / "index")
    for name in ("blocks.npz", "meta.json"):
        (path / name).unlink()
    join(path, sorted(path.glob("blocks/*/*.block")), {"rule": "uniform:4"})
    return content(path)


def test_index_that_is_made_again_of_the_blocks_equals_the_index(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCKS_PER_PAGE", 2)
    path = stored(tmp_path / "store")
    assert rebuilt(path) == content(stored(tmp_path / "other"))


def test_block_of_the_same_videos_and_size_but_of_another_store_is_refused(tmp_path):
    rows = {"points": [np.arange(2, dtype=np.int32)]}
    for name, cell_px in (("a", 16), ("b", 32)):
        write_block(tmp_path / name, ["v"], rows, about={"cell_px": cell_px})
    join(tmp_path / "store", [tmp_path / "a"], {})
    shutil.copy(tmp_path / "b", tmp_path / "store/blocks/000/000000.block")
    with pytest.raises(StoreError, match=r"000000\.block: holds other arrays than meta\.json says; run the stage"):
        everything(BlockStore(tmp_path / "store"))


def test_flat_arrays_and_columns_come_back_by_id(tmp_path):
    flat = {"v": np.arange(6, dtype=np.int8), "w": np.arange(4, dtype=np.int8), "x": np.arange(9, dtype=np.int8)}
    for name, ids in (("a", ["v", "w"]), ("b", ["x"])):
        write_block(
            tmp_path / name,
            ids,
            {"state": [np.zeros(2, np.uint8)] * len(ids)},
            flat={"mv": [flat[video] for video in ids]},
            columns={"fps": np.array([25.0 + len(video) for video in ids])},
        )
    join(tmp_path / "store", [tmp_path / "a", tmp_path / "b"], {})
    store = BlockStore(tmp_path / "store")
    for video in ("x", "v", "w"):
        np.testing.assert_array_equal(store.mapped("mv", video), flat[video])
        assert store.value("fps", video) == 26.0
    assert store.column("count").tolist() == [2, 2, 2]
    assert "y" not in store
    with pytest.raises(StoreError, match=r"store: lacks y; run the stage"):
        store.mapped("mv", "y")


OPENING = """
import json, resource, sys, time
from pathlib import Path
from moclip.store.blocks import BlockStore
before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
store = BlockStore(Path(sys.argv[1]))
seconds = time.process_time() - start
found = [int(store.value("count", f"video{place:08d}")) for place in json.loads(sys.argv[2])]
grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
print(json.dumps([len(store), "video" in store, found, seconds, grown_kb / 1024]))
"""


def synthetic(path: Path, pages: int, asked: Sequence[int]) -> int:
    """The index of a store of many videos, without what is in its blocks; its number of videos."""
    videos, page_videos = 512 * 1000 * pages, 512 * 1000
    rng = np.random.default_rng(0)
    files = {}
    for number in range(pages):
        first = number * page_videos
        digits = np.arange(first, first + page_videos)[:, None] // 10 ** np.arange(7, -1, -1) % 10
        text = np.hstack([np.tile(np.frombuffer(b"video", np.uint8), (page_videos, 1)), (digits + 48).astype(np.uint8)])
        keys = rng.integers(0, 1 << 64, page_videos, dtype=np.uint64)
        for place in [place for place in asked if first <= place < first + page_videos]:
            keys[place - first] = module._key(f"video{place:08d}")
        order = np.argsort(keys)
        columns = {
            "key": keys[order],
            "row": order.astype(np.int32),
            "id": text.ravel(),
            "id_end": np.arange(1, page_videos + 1) * text.shape[1],
            "block": np.repeat(np.arange(number * 1000, number * 1000 + 1000, dtype=np.int32), 512),
            "first": np.tile(np.arange(512), 1000),
            "count": np.arange(first, first + page_videos),
        }
        name = f"index/{number:03d}.index"
        write_arrays(path / name, {column: [values] for column, values in columns.items()}, {}, flush=False)
        files[name] = sha256_file(path / name)
        (path / f"blocks/{number:03d}").mkdir(parents=True)
        for block in range(number * 1000, number * 1000 + 1000):
            (path / f"blocks/{number:03d}" / block_name(block)).touch()
    write_npz(path / "blocks.npz", bytes=np.zeros(1000 * pages, np.int64))
    files["blocks.npz"] = sha256_file(path / "blocks.npz")
    described = {"arrays": {}, "columns": {}, "flat": [], "about": {}, "made_by": {}, "files": files}
    meta = {"format": module.FORMAT, "format_version": module.FORMAT_VERSION, "videos": videos, "blocks": 1000 * pages}
    write_json(path / "meta.json", {**meta, **described, "digest": fingerprint({**meta, **described})})
    return videos


PAGES = 20 if "MOCLIP_SWEEP" in os.environ else 2


@pytest.mark.sweep
def test_index_of_ten_million_videos_opens_in_a_second_and_200_mb(tmp_path):
    """With MOCLIP_SWEEP=1; else that of a tenth. The second is one of the processor."""
    asked = [1, 700_000, PAGES * 512_000 - 1]
    videos = synthetic(tmp_path / "store", PAGES, asked)
    words = [sys.executable, "-c", OPENING, str(tmp_path / "store"), str(asked)]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    count, has_other, found, seconds, grown_mb = json.loads(done.stdout)
    assert (count, has_other, found) == (videos, False, asked)
    assert seconds < 1
    assert grown_mb < 200
