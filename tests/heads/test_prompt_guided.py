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
from moclip.heads.prompt_guided import region_likeness, scores, window_side, window_start
from moclip.params.heads.prompt_guided import PromptGuidedParams
from moclip.params.section import validated
from tests.support.frames import unit, videos

RNG = np.random.default_rng(0)
FRAMES, GRID = RNG.normal(size=(8, 16)), RNG.normal(size=(8, 4, 4, 16))
TEXTS = ClassTexts(unit(RNG.normal(size=(5, 16))).astype(np.float32), 20.0)


def params(**changes: Any) -> PromptGuidedParams:
    given = {"slow": 0, "middle": 0, "fast": False, "region": 1.0, "paths": "equal"}
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
