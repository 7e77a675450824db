"""A choice of frames, and the streams that heads read by it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import StoreError
from moclip.store.blocks import BlockStore, join, write_block
from moclip.store.frames import Chosen, FrameStream, read_chosen, write_chosen

FACTS = {"rule": "uniform:4", "select": "motion", "keep": 2, "order": "time", "flat_share": 0.0}
IDS = ["v", "u", "w"]
ROWS = {"v": np.array([0, 3]), "u": np.array([1, 2]), "w": np.array([2, 3])}
SHUFFLED = {"v": np.array([3, 0]), "u": np.array([1, 2]), "w": np.array([3, 2])}
CHOSEN = Chosen(ROWS, SHUFFLED, FACTS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BlockStore:
    """Four frames of three videos: each value tells its video and its frame."""
    root = tmp_path_factory.mktemp("store")
    values = [np.arange(100 * i, 100 * i + 4, dtype=np.float16)[:, None, None] * np.ones((1, 2, 3)) for i in range(3)]
    write_block(root / "block", IDS, {"grid": [array.astype(np.float16) for array in values]})
    join(root / "store", [root / "block"], {})
    return BlockStore(root / "store")


def frames_of(values: np.ndarray) -> list[list[float]]:
    return values[..., 0, 0].tolist()


def test_stream_gives_the_chosen_frames_in_the_order_asked_for(store):
    values = FrameStream(store, "grid", CHOSEN).of(["w", "v", "w"])
    assert (values.shape, values.dtype) == ((3, 2, 2, 3), np.float16)
    assert frames_of(values) == [[202, 203], [0, 3], [202, 203]]


def test_frames_of_some_videos_come_out_of_order(store):
    stream = FrameStream(store, "grid", CHOSEN, out_of_order={"v"})
    assert frames_of(stream.of(["v", "w"])) == [[3, 0], [202, 203]]


def test_stream_of_no_video_is_empty_and_has_the_shape_of_the_others(store):
    """A split may have no validation part; its heads are asked for the answers of no video."""
    values = FrameStream(store, "grid", CHOSEN).of([])
    assert (values.shape, values.dtype) == ((0, 2, 2, 3), np.float16)


def test_stream_knows_how_its_frames_were_chosen(store):
    stream = FrameStream(store, "grid", CHOSEN)
    assert stream.facts == FACTS
    assert stream.chosen.frames == 2


def test_video_that_the_choice_lacks_is_named(store):
    with pytest.raises(StoreError, match="choice of frames lacks 2 of 3 videos, first x; run the stage choose_frames"):
        FrameStream(store, "grid", CHOSEN).of(["v", "x", "y"])


def test_video_or_array_that_the_store_lacks_is_named(store):
    more = Chosen({**ROWS, "x": np.array([0, 1])}, {**SHUFFLED, "x": np.array([0, 1])}, FACTS)
    with pytest.raises(StoreError, match="store: lacks 1 of 2 videos, first x"):
        FrameStream(store, "grid", more).of(["v", "x"])
    for ids in (["v"], []):
        with pytest.raises(StoreError, match="store: has no 'residual'"):
            FrameStream(store, "residual", CHOSEN).of(ids)


def test_frame_that_the_store_lacks_is_named_with_its_video(store):
    wrong = Chosen({**ROWS, "u": np.array([1, 4])}, SHUFFLED, FACTS)
    with pytest.raises(StoreError, match=r"store: u has 4 frames, frame 4 was chosen; run the stage choose_frames"):
        FrameStream(store, "grid", wrong).of(["v", "u"])


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_written_choice_is_read_as_it_was(tmp_path_factory, videos, keep, seed):
    rng = np.random.default_rng(seed)
    rows = {f"v{i}": np.sort(rng.choice(9, keep, replace=False)) for i in rng.permutation(videos)}
    chosen = Chosen(rows, {video: rng.permutation(own) for video, own in rows.items()}, FACTS)
    path = tmp_path_factory.mktemp("choice") / "chosen"
    write_chosen(path, chosen)
    found = read_chosen(path)
    assert (list(found.rows), found.facts, found.frames) == (list(rows), FACTS, keep)
    for video in rows:
        np.testing.assert_array_equal(found.rows[video], chosen.rows[video])
        np.testing.assert_array_equal(found.shuffled[video], chosen.shuffled[video])


def written(path: Path, chosen: Chosen = CHOSEN) -> dict[str, bytes]:
    write_chosen(path, chosen)
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_equal_choices_give_equal_bytes(tmp_path):
    first = written(tmp_path / "a")
    assert set(first) == {"frames.npz", "frames.json"}
    assert written(tmp_path / "b") == first
    assert written(tmp_path / "c", Chosen(ROWS, ROWS, FACTS)) != first


def test_choice_replaces_another_as_a_whole_or_not_at_all(tmp_path):
    """Frames of one choice beside the facts of another would be taken for its own."""
    first = written(tmp_path / "chosen")
    with pytest.raises(TypeError):
        write_chosen(tmp_path / "chosen", Chosen({"v": np.array([1])}, {"v": np.array([1])}, {"rule": object()}))
    assert {file.name: file.read_bytes() for file in (tmp_path / "chosen").iterdir()} == first
    assert [path.name for path in tmp_path.iterdir()] == ["chosen"]


@pytest.mark.parametrize("name", ["frames.npz", "frames.json"])
def test_torn_or_missing_choice_is_refused(tmp_path, name):
    content = written(tmp_path)[name]
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match=rf"{name}: cannot be read as"):
        read_chosen(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(StoreError, match=rf"{name}: cannot be read as"):
        read_chosen(tmp_path)
