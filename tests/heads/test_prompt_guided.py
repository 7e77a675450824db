"""The heads that are trained on nothing: zero-shot on frames, and prompts that choose frames and regions."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from moclip.base.errors import ParamsError, StoreError
from moclip.heads import frames_zero_shot, prompt_guided, zero_shot
from moclip.heads.fitted import ClassTexts
from moclip.heads.prompt_guided import misread, region_likeness, scores, window_side, window_start
from moclip.params.heads.prompt_guided import PromptGuidedParams
from moclip.params.section import validated
from tests.support.frames import unit, videos

RNG = np.random.default_rng(0)
FRAMES, GRID = RNG.normal(size=(8, 16)), RNG.normal(size=(8, 4, 4, 16))
TEXTS = ClassTexts(unit(RNG.normal(size=(5, 16))).astype(np.float32), 20.0)


def params(**changes: Any) -> PromptGuidedParams:
    given = {"slow": 0, "middle": 0, "fast": False, "region": 1.0, "window": "prompt", "paths": "equal"}
    return PromptGuidedParams(**{**given, **changes})


def of(**changes: Any) -> np.ndarray:
    return scores(FRAMES, GRID, TEXTS, params(**changes))


def test_all_frames_whole_are_zero_shot_on_the_same_frames() -> None:
    given = videos({"frames": FRAMES[None], "grid": GRID[None]}, 5, TEXTS.features)
    base = frames_zero_shot.fit(given, None, (0, "z", 1)).logits({"frames": FRAMES[None]})[0]
    for paths in ({"slow": 8}, {"middle": 8}, {"fast": True}, {"slow": 8, "middle": 8, "fast": True}):
        np.testing.assert_allclose(of(**paths), base, rtol=0, atol=1e-5)
    mean = unit(FRAMES).mean(axis=0, keepdims=True)
    alone = zero_shot.zero_shot_logits(mean, TEXTS.features, TEXTS.logit_scale)[0]
    np.testing.assert_allclose(base, alone * np.linalg.norm(mean), rtol=0, atol=1e-5)


def test_one_frame_is_the_best_one() -> None:
    likeness = unit(FRAMES) @ TEXTS.features.T
    np.testing.assert_allclose(of(slow=1), 20 * likeness.max(axis=0), rtol=0, atol=1e-5)


def test_classes_in_another_order_have_the_same_logits() -> None:
    order = [3, 1, 4, 0, 2]
    other = ClassTexts(TEXTS.features[order], 20.0)
    setting = params(slow=2, middle=3, fast=True, region=0.5)
    np.testing.assert_allclose(
        scores(FRAMES, GRID, other, setting), scores(FRAMES, GRID, TEXTS, setting)[order], rtol=0, atol=1e-5
    )


@drawn(side=st.integers(1, 12), share=st.floats(0.01, 1.0), centre=st.floats(0, 1))
def test_windows_lie_inside_and_have_their_size(side: int, share: float, centre: float) -> None:
    window = window_side(side, share)
    start = int(window_start(np.array([centre * (side - 1)]), window, side)[0])
    assert 1 <= window <= side
    assert 0 <= start <= side - window


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_regions_are_those_of_a_plain_search(share: float) -> None:
    tokens, side = unit(GRID), window_side(4, share)
    found = region_likeness(GRID, TEXTS.features, share)
    for frame in range(8):
        for k, text in enumerate(TEXTS.features):
            likeness = tokens[frame] @ text
            best = sorted(np.ndindex(4, 4), key=lambda place: -likeness[place])[: max(1, int(16 * share))]
            row, column = (
                min(max(math.floor(np.mean([place[axis] for place in best]) - (side - 1) / 2 + 0.5), 0), 4 - side)
                for axis in (0, 1)
            )
            window = tokens[frame, row : row + side, column : column + side].reshape(-1, 16).sum(axis=0)
            assert found[frame, k] == pytest.approx(window @ text / np.linalg.norm(window), abs=1e-5)


def test_the_region_that_holds_the_class_is_found() -> None:
    field, text = unit(RNG.normal(size=16)), TEXTS.features[0]
    hits = 0
    for corner in np.ndindex(2, 2):
        grid = np.tile(field, (1, 4, 4, 1)) + 0.05 * RNG.normal(size=(1, 4, 4, 16))
        grid[0, 2 * corner[0] : 2 * corner[0] + 2, 2 * corner[1] : 2 * corner[1] + 2] = text
        hits += region_likeness(grid, TEXTS.features[:1], 0.25)[0, 0] > 0.99
    assert hits == 4


def test_a_window_may_lie_where_something_moves() -> None:
    field, text = unit(RNG.normal(size=16)), TEXTS.features[0]
    for corner in np.ndindex(2, 2):
        grid = np.tile(field, (1, 4, 4, 1))
        grid[0, 2 * corner[0] : 2 * corner[0] + 2, 2 * corner[1] : 2 * corner[1] + 2] = text
        there = np.array([[0.25 + 0.5 * corner[0], 0.25 + 0.5 * corner[1]]], dtype=np.float32)
        assert region_likeness(grid, TEXTS.features[:1], 0.25, there)[0, 0] == pytest.approx(1, abs=1e-6)
        assert region_likeness(grid, TEXTS.features[:1], 0.25, 1 - there)[0, 0] < 0.9
    for edge in (0.0, 1.0):
        assert np.isfinite(region_likeness(grid, TEXTS.features, 0.25, np.full((1, 2), edge, np.float32))).all()


def test_it_reads_where_videos_move_only_where_that_places_the_window() -> None:
    moving = RNG.random((25, 8, 2)).astype(np.float32)
    streams = {"frames": np.stack([FRAMES] * 25), "grid": np.stack([GRID] * 25), "moving": moving}
    given = videos(streams, 5, TEXTS.features)
    by_motion = prompt_guided.fit(given, params(middle=8, region=0.25, window="motion"), (0, "p", 1))
    assert by_motion.streams == ("frames", "grid", "moving")
    test = given.inputs("test")
    expected = 20 * region_likeness(GRID.astype(np.float32), TEXTS.features, 0.25, test["moving"][0]).mean(axis=0)
    np.testing.assert_allclose(by_motion.logits(test)[0], expected, rtol=0, atol=1e-5)
    assert prompt_guided.fit(given, params(middle=8, region=0.25), (0, "p", 1)).streams == ("frames", "grid")


def test_the_published_map_has_two_rows_of_a_frame_in_each_of_its_own() -> None:
    side = 6
    place = np.arange(side * side, dtype=np.float32).reshape(1, side, side, 1)
    found = misread(place)
    assert found.shape == (1, 3, 6, 1)
    assert found[0, 0, :, 0].tolist() == [1, 3, 5, 7, 9, 11]  # the larger of each pair, of rows 0 and 1
    rows = (found[0, ..., 0].astype(int) // side).tolist()
    assert rows == [[0, 0, 0, 1, 1, 1], [2, 2, 2, 3, 3, 3], [4, 4, 4, 5, 5, 5]]


def test_the_published_map_is_warned_of_and_wants_an_even_grid(caplog: pytest.LogCaptureFixture) -> None:
    setting = params(middle=2, region=0.5, window="published")
    given = videos({"frames": np.stack([FRAMES] * 25), "grid": np.stack([GRID] * 25)}, 5, TEXTS.features)
    fitted = prompt_guided.fit(given, setting, (0, "p", 1))
    assert "misreads the map" in caplog.text
    assert fitted.logits(given.inputs("test")).shape[1] == 5
    odd = videos({"frames": np.stack([FRAMES] * 25), "grid": np.stack([GRID[:, :3, :3]] * 25)}, 5, TEXTS.features)
    with pytest.raises(ParamsError, match=r"frames\.grid: 3 is odd"):
        prompt_guided.fit(odd, setting, (0, "p", 1))


def test_a_window_without_a_region_is_refused() -> None:
    for window in ("motion", "published"):
        with pytest.raises(ParamsError, match="places a region, and region: 1 has none"):
            validated("prompt_guided", PromptGuidedParams, params(slow=1).model_dump() | {"window": window})


def test_paths_may_weigh_by_their_tokens() -> None:
    parts = [of(slow=2, region=0.25), of(middle=2, region=0.25), of(fast=True)]
    both = of(slow=2, middle=2, fast=True, region=0.25, paths="tokens")
    weights = np.array([2 * 4, 2 * 4, 8])
    np.testing.assert_allclose(both, np.average(parts, axis=0, weights=weights), rtol=0, atol=1e-5)


def test_nothing_to_look_at_is_refused() -> None:
    with pytest.raises(ParamsError, match="leave nothing to score"):
        validated("prompt_guided", PromptGuidedParams, params(slow=1).model_dump() | {"slow": 0})


def test_classes_without_texts_are_refused() -> None:
    given = videos({"frames": FRAMES[None], "grid": GRID[None]}, 5)
    with pytest.raises(StoreError, match="prompt_guided needs text features"):
        prompt_guided.fit(given, params(fast=True), (0, "p", 1))


def test_it_comes_back_from_disk(tmp_path: Path) -> None:
    given = videos({"frames": np.stack([FRAMES] * 25), "grid": np.stack([GRID] * 25)}, 5, TEXTS.features)
    fitted = prompt_guided.fit(given, params(slow=2, fast=True, region=0.5), (0, "p", 1))
    fitted.save(tmp_path / "head")
    again = prompt_guided.load(tmp_path / "head")
    np.testing.assert_array_equal(again.logits(given.inputs("test")), fitted.logits(given.inputs("test")))
    assert again.cost() == fitted.cost()
    cost = fitted.cost()
    assert (cost.parameters, cost.macs) == (0, 8 * 5 * 16)
