"""Frames at a constant rate: which one is shown at the centre of each step, also where a video's own rate varies."""

from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import ParamsError, VideoError
from moclip.video.decode import decoding, glance, read_frames, stream_motion
from moclip.video.rate import ConstantRate, constant_rate
from tests.support.clips import encode, scrolling


def watched(path: Path, every_s: float) -> tuple[ConstantRate, list[np.ndarray]]:
    pictures: list[np.ndarray] = []
    rate = ConstantRate(path, every_s, glance(path)[1], pictures.append)
    with decoding(path, rate) as (_, frames):
        for _ in frames:
            pass
    rate.close()
    return rate, pictures


def shown(rate: ConstantRate) -> list[int]:
    """Frame of each step."""
    return [rate.points[number] for number in rate.picture_of]


@pytest.mark.parametrize("every_s", [0.04, 0.1, 0.16, 0.37, 1.0, 5.0])
def test_steps_of_a_constant_rate_are_those_of_the_formula_and_pictures_those_of_the_frames(
    tmp_path: Path, every_s: float
) -> None:
    path = encode(tmp_path / "a.avi", scrolling(53, 2, 1))
    rate, pictures = watched(path, every_s)
    assert shown(rate) == constant_rate(53, 25.0, every_s).tolist()
    assert rate.duration_s == pytest.approx(53 / 25)
    assert rate.frames == 53
    np.testing.assert_array_equal(np.stack(pictures), read_frames(path, rate.points))


def test_the_formula_by_a_loop_over_all_frames() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        frames, fps, every_s = (
            int(rng.integers(1, 200)),
            float(rng.choice([10, 24, 25, 29.97, 60])),
            rng.uniform(0.02, 3),
        )
        steps = [i for i in range(10_000) if (i + 0.5) * every_s < frames / fps - 1e-6] or [0]
        centres = [(i + 0.5) * every_s if (i + 0.5) * every_s < frames / fps else 0.0 for i in steps]
        expected = [max(k for k in range(frames) if k / fps <= centre + 1e-6 / fps) for centre in centres]
        assert constant_rate(frames, fps, every_s).tolist() == expected


def test_a_variable_rate_is_read_by_its_time_stamps(tmp_path: Path) -> None:
    """Ten frames in 0.4 s, one that stays for 1.6 s, ten more: a step shows what a player would."""
    times = [*range(10), *range(50, 60)]
    path = encode(tmp_path / "a.mkv", scrolling(20, 2, 1), times=times)
    rate, _ = watched(path, 0.2)
    centres = (np.arange(len(rate.picture_of)) + 0.5) * 0.2
    expected = [max(k for k, time in enumerate(times) if time / 25 <= centre + 1e-6) for centre in centres]
    assert np.abs(np.array(shown(rate)) - expected).max() <= 1
    assert shown(rate)[0] == 2
    assert rate.duration_s == pytest.approx(60 / 25, abs=0.02)


def test_the_same_frames_are_seen_while_motion_is_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", scrolling(40, 3, -2), "h264")
    alone, _ = watched(path, 0.3)
    pictures: list[np.ndarray] = []
    rate = ConstantRate(path, 0.3, 25.0, pictures.append)
    frames = sum(len(run.state) for run in stream_motion(path, middle=rate, whole=False))
    assert shown(rate) == shown(alone)
    assert rate.steps_of(frames).tolist() == [int((k / 25 + 1e-6) / 0.3) for k in range(40)]
    assert len(rate.steps_of(5)) == 0


def test_a_video_shorter_than_half_a_step_has_one_step(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", scrolling(3, 2, 1))
    assert shown(watched(path, 60.0)[0]) == [0]


def test_refusals(tmp_path: Path) -> None:
    for every_s in (0.0, -1.0, 0.001, float("nan"), float("inf")):
        with pytest.raises(ParamsError, match=r"must be 0\.01 s or more"):
            constant_rate(10, 25.0, every_s)
    path = encode(tmp_path / "a.mkv", scrolling(4, 2, 1), times=[0, 1, 2, 40_000])
    with pytest.raises(VideoError, match=r"leap by 1600 s at frame 3\. Write it anew"):
        watched(path, 1.0)
