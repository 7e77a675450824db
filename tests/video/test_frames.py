import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import DataError
from moclip.video.frames import evaluation_frames, middle_frame, segment_points

lengths = st.integers(1, 2000)
counts = st.integers(1, 64)


@given(lengths, counts, st.none() | st.integers(0, 100))
def test_one_ascending_point_per_segment_within_the_video(frames, segments, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    points = segment_points(frames, segments, rng)
    assert points.shape == (segments,)
    assert points.dtype == np.int64
    assert points.min() >= 0
    assert points.max() < frames
    assert (np.diff(points) >= 0).all()
    for i, point in enumerate(points.tolist()):
        first, end = i * frames // segments, (i + 1) * frames // segments
        assert first <= point < max(end, first + 1)


@given(lengths, counts)
def test_centre_lies_half_way_along_its_segment(frames, segments):
    cuts = np.floor(np.linspace(0, frames, segments + 1) + 1e-9)
    covered = np.diff(cuts) > 0
    # A frame lasts from its index to the next; of two middle frames the later one counts.
    late_by = (segment_points(frames, segments) + 0.5 - (cuts[:-1] + cuts[1:]) / 2)[covered]
    np.testing.assert_array_equal(late_by, np.where(np.diff(cuts)[covered] % 2, 0, 0.5))


def test_every_frame_of_every_segment_is_drawn():
    rng = np.random.default_rng(0)
    drawn = np.array([segment_points(10, 3, rng) for _ in range(300)])
    assert [sorted(set(column.tolist())) for column in drawn.T] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


def test_evaluation_is_not_random_and_training_follows_its_generator():
    assert segment_points(250, 25).tolist() == list(range(5, 250, 10))
    draws = [segment_points(250, 25, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_video_shorter_than_its_segments_repeats_frames():
    assert segment_points(2, 5).tolist() == [0, 0, 0, 1, 1]
    assert segment_points(1, 3, np.random.default_rng(0)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("frames", "middle"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_middle_frame(frames, middle):
    assert middle_frame(frames) == middle


def test_video_without_frames_is_refused():
    with pytest.raises(DataError, match="without frames"):
        segment_points(0, 3)


@given(lengths, counts, st.integers(0, 100))
def test_frames_of_evaluation(frames, count, seed):
    def drawn(rule):
        return evaluation_frames(rule, frames, np.random.default_rng(seed)).tolist()

    assert drawn("middle") == drawn("uniform:1") == [middle_frame(frames)]
    assert drawn(f"uniform:{count}") == segment_points(frames, count).tolist()
    (one,) = drawn("random")
    assert 0 <= one < frames
    assert drawn("random") == [one]


def test_random_frame_of_evaluation_is_any_frame():
    rng = np.random.default_rng(0)
    assert {int(evaluation_frames("random", 5, rng)[0]) for _ in range(100)} == set(range(5))
