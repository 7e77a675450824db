"""Clips and crops of the contrastive pretraining: where they start, and what they cover."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.motion.maps import COARSE
from moclip.motion.pretrain.clips import (
    AREA,
    RATIO,
    best_starts,
    covered_by,
    covered_share,
    draw_clips,
    draw_crop,
    frames_of,
    starts_of_halves,
)
from moclip.video.crop import Box

SPAN, SHARE, TOP = 5, 0.7, 0.5


@given(st.integers(1, 300), st.integers(1, 80))
def test_clips_of_a_half_lie_in_it_where_it_is_long_enough(frames, span):
    halves = starts_of_halves(frames, span)
    for starts, (low, high) in zip(halves, ((0, frames // 2), (frames // 2, frames)), strict=True):
        assert len(starts) >= 1
        assert starts[0] == low
        if high - low >= span:
            assert starts[-1] + span == high
        else:
            assert len(starts) == 1


def test_share_of_top_half_starts_is_that_of_the_two_ways_to_draw():
    energy = np.random.default_rng(0).random(48)  # 20 starts in each half
    rng = np.random.default_rng(1)
    drawn = [draw_clips(energy, SPAN, SHARE, TOP, rng) for _ in range(3000)]
    first, second = (set(best_starts(energy, starts, SPAN, TOP)) for starts in starts_of_halves(48, SPAN))
    assert len(first) == len(second) == 10
    starts = [start for one in drawn for start in (one.query, *one.others)]
    share = np.mean([start in first | second for start in starts])
    expected = SHARE + (1 - SHARE) * TOP
    assert expected == 0.85
    assert abs(share - expected) < 3 * math.sqrt(expected * (1 - expected) / len(starts))


def test_best_starts_have_the_highest_mean_energy():
    energy = np.zeros(40)
    energy[12:16] = 1.0
    assert best_starts(energy, range(16), SPAN, 4 / 16) == [11, 12, 10, 13]
    assert best_starts(np.zeros(40), range(16), SPAN, 0.25) == [0, 1, 2, 3], "of equals the earlier"
    assert len(best_starts(energy, range(16), SPAN, 0.001)) == 1


def test_query_and_keys_come_from_opposite_halves_and_either_may_be_first():
    rng, energy = np.random.default_rng(0), np.random.default_rng(3).random(36)
    drawn = [draw_clips(energy, SPAN, SHARE, TOP, rng) for _ in range(400)]
    for one in drawn:
        assert (one.query + SPAN <= 18) == one.is_first
        assert all((other >= 18) == one.is_first for other in one.others)
        assert max(one.query, *one.others) + SPAN <= 36
    firsts = sum(one.is_first for one in drawn)
    assert abs(firsts - 200) < 3 * math.sqrt(100)


def test_short_video_repeats_its_last_frame_and_is_not_lost():
    assert frames_of(0, 4, 3, 5).tolist() == [0, 3, 4, 4]
    for frames in (1, 2, 3):
        clips = draw_clips(np.ones(frames), 13, SHARE, TOP, np.random.default_rng(0))
        assert max(clips.query, *clips.others) < frames


def test_a_small_box_is_covered_more_than_a_large_one():
    unit = 1 / COARSE
    shares = [covered_share(Box(0, 0, w * unit, h * unit)) for w, h in ((2, 2), (4, 1), (2, 4), (3, 4), (4, 4), (7, 7))]
    assert shares == [0.9, 0.9, 0.8, 0.7, 0.0, 0.0]


def box_of(left: int, top: int, width: int, height: int) -> Box:
    """A box by its coarse places, cut off at the picture's edges."""
    return Box(left / COARSE, top / COARSE, min(COARSE, left + width) / COARSE, min(COARSE, top + height) / COARSE)


boxes = st.tuples(*[st.integers(0, COARSE - 1)] * 2, *[st.integers(1, 4)] * 2)


@given(boxes, st.integers(0, 2**31))
def test_crop_lies_in_the_picture_and_has_the_size_and_the_shape_that_are_drawn(place, seed):
    crop = draw_crop(box_of(*place), np.random.default_rng(seed))
    assert -1e-9 <= crop.left < crop.right <= 1 + 1e-9
    assert -1e-9 <= crop.top < crop.bottom <= 1 + 1e-9
    assert AREA[0] - 1e-9 <= crop.width * crop.height <= AREA[1] + 1e-9
    if crop.width < 1:
        assert RATIO[0] - 1e-9 <= crop.width / crop.height <= RATIO[1] + 1e-9


def test_crop_covers_the_box_by_its_share():
    # Draws may all miss: of 20,000 boxes 41 were covered less, the least by 0.92 of the share that its size asks for.
    rng, missed = np.random.default_rng(0), 0
    for _ in range(2000):
        (left, top), (width, height) = rng.integers(0, COARSE, 2).tolist(), rng.integers(1, 5, 2).tolist()
        box = box_of(left, top, width, height)
        crop = draw_crop(box, rng)
        (covered,) = covered_by(box, np.array([[crop.left, crop.top]]), crop.width, crop.height)
        missed += covered < covered_share(box) - 1e-9
        assert covered >= 0.85 * covered_share(box)
    assert missed <= 20


def test_of_places_that_do_not_suffice_the_best_is_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("moclip.motion.pretrain.clips.COVERED", ((49, 2.0),))  # nothing covers a box twice
    box = Box(0.4, 0.4, 0.6, 0.6)
    for seed in range(20):
        crop = draw_crop(box, np.random.default_rng(seed))
        (covered,) = covered_by(box, np.array([[crop.left, crop.top]]), crop.width, crop.height)
        assert covered == pytest.approx(1.0)


def test_without_a_box_crops_are_anywhere():
    rng = np.random.default_rng(0)
    centres = np.array(
        [(crop.left + crop.right, crop.top + crop.bottom) for crop in (draw_crop(None, rng) for _ in range(300))]
    )
    assert abs(centres / 2 - 0.5).mean(axis=0).max() < 0.3
    assert (centres / 2).std(axis=0).min() > 0.05
