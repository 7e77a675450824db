"""Videos at a constant rate: motion read run by run is that of the whole grid, and what was seen is kept by content."""

import os
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import VideoError
from moclip.motion.extract import MotionOptions, read_grid
from moclip.motion.fields import field_at
from moclip.search.timeline import Eyes, Shelf, read_timeline
from moclip.search.trail import PLAIN, Trail, speed_of, statistics
from moclip.video.decode import stream_motion
from moclip.video.select import motion_energy
from tests.support.clips import encode, encode_audio, scrolling, texture

BLIND = Eyes(None, None, "")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("film") / "a.avi", scrolling(90, 3, -2), options={"g": "12", "bf": "2"})


@pytest.mark.parametrize(("accumulate", "window"), [("none", None), ("gop", None), ("window", 7), ("window", 30)])
@pytest.mark.parametrize("chunk_bytes", [20_000, 60_000, 1 << 22])
def test_fields_read_run_by_run_are_those_of_the_whole_grid(
    film: Path, accumulate: str, window: int | None, chunk_bytes: int
) -> None:
    motion = PLAIN.model_copy(update={"cell_px": 16, "accumulate": accumulate, "window_frames": window})
    whole = read_grid(film, MotionOptions(16, "both"))
    points = np.arange(0, 90, 4)
    expected = field_at(whole, points, accumulate, window)
    trail, found, own, runs = Trail(motion), [], [], 0
    for run in stream_motion(film, chunk_bytes=chunk_bytes):
        start = trail.end
        trail.add(run)
        inside = points[(points >= start) & (points < trail.end)]
        if len(inside):
            found.append(trail.fields(inside))
        own.append(trail.each())
        runs += 1
    np.testing.assert_array_equal(np.concatenate(found), expected)
    np.testing.assert_array_equal(np.concatenate(own), field_at(whole, np.arange(90)))
    assert runs > 1 or chunk_bytes > 60_000
    assert trail.grid is not None
    assert len(trail.grid.mv) < 90 or chunk_bytes > 60_000


def test_motion_that_accumulates_without_a_key_frame_is_refused_at_a_length(
    film: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("moclip.search.trail.LONGEST_TRACE", 40)
    path = encode(tmp_path / "a.avi", scrolling(90, 1, 0), options={"g": "300", "bf": "0"})
    trail = Trail(PLAIN.model_copy(update={"accumulate": "gop"}))
    runs = stream_motion(path, chunk_bytes=1)
    with pytest.raises(VideoError, match="no key frame in 40 frames"):
        list(map(trail.add, runs))


def test_statistics_tell_the_camera_from_what_moves_in_it() -> None:
    fields = np.zeros((3, 2, 6, 9), np.float32)
    fields[:, 0] = 4.0  # the camera
    fields[1, 0, 4:, :3] += 3.0  # to the right, below and left
    fields[2, 1, :2, 6:] -= 2.0  # upwards, above and right
    found = statistics(fields)
    np.testing.assert_allclose(found[:, -2:], [[4, 0]] * 3)
    np.testing.assert_allclose(found[1, :8], np.eye(8)[0] * 3 * 6 / 54, atol=1e-6)
    np.testing.assert_allclose(found[2, :8], np.eye(8)[6] * 2 * 6 / 54, atol=1e-6)
    np.testing.assert_allclose(found[1, 8:17], np.eye(9)[6] * 3, atol=1e-6)
    np.testing.assert_allclose(found[2, 8:17], np.eye(9)[2] * 2, atol=1e-6)
    np.testing.assert_allclose(speed_of(found), motion_energy(fields), rtol=1e-6)
    assert np.isfinite(statistics(np.ones((2, 2, 1, 2), np.float32))).all()


def test_a_timeline_has_the_mean_motion_of_each_step(film: Path) -> None:
    seen = read_timeline(film, 0.5, BLIND)
    assert len(seen) == 7
    assert seen.points.tolist() == [6, 18, 31, 43, 56, 68, 81]
    assert seen.clip.shape == (7, 0)
    energy = motion_energy(field_at(read_grid(film, MotionOptions(8, "both")), np.arange(90)))
    steps = (np.arange(90) / 25 + 1e-6) // 0.5
    looked = np.arange(90) % 4 == 0  # six a second
    expected = [energy[looked & (steps == step)].mean() for step in range(7)]
    np.testing.assert_allclose(seen.speed_px, expected, rtol=1e-5)
    assert seen.times((0, 2)) == (0.0, 1.0)
    assert seen.times((5, 7)) == (2.5, 3.6)
    assert seen.steps(0.5, 1.5).tolist() == [1, 2]
    assert seen.steps(0.6, 0.61).tolist() == [1]


def test_a_codec_without_vectors_is_seen_all_the_same(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", scrolling(20, 3, 1), "ffv1")
    seen = read_timeline(path, 0.2, BLIND)
    assert seen.codec == "ffv1"
    assert seen.speed_px is None
    assert len(seen) == 4


def test_small_pictures_are_those_of_the_steps(tmp_path: Path) -> None:
    frames = [np.full((144, 176, 3), value, np.uint8) for value in np.repeat([20, 120, 220], 10)]
    seen = read_timeline(encode(tmp_path / "a.avi", frames), 0.4, BLIND)
    means = [np.asarray(seen.picture(step)).mean() for step in range(3)]
    np.testing.assert_allclose(means, [20, 120, 220], atol=6)


def test_what_was_seen_is_kept_by_content_and_settings(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[Path] = []

    def counted(path: Path, every_s: float, eyes: Eyes):  # type: ignore[no-untyped-def]
        passes.append(path)
        return read_timeline(path, every_s, eyes)

    monkeypatch.setattr("moclip.search.timeline.read_timeline", counted)
    shelf = Shelf(tmp_path / "shelf")
    first = shelf.timeline(film, 0.5, BLIND)
    again = shelf.timeline(film, 0.5, BLIND)
    assert len(passes) == 1
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    copy = tmp_path / "copy.avi"
    copy.write_bytes(film.read_bytes())
    shelf.timeline(copy, 0.5, BLIND)
    assert len(passes) == 1
    shelf.timeline(film, 0.25, BLIND)
    shelf.timeline(film, 0.5, Eyes(None, None, "another model"))
    assert len(passes) == 3
    encode(copy, [texture(144, 176)] * 30)
    os.utime(copy, ns=(film.stat().st_atime_ns, film.stat().st_mtime_ns))
    assert len(shelf.timeline(copy, 0.5, BLIND)) == 2
    for kept in (tmp_path / "shelf").glob("*.npz"):
        kept.write_bytes(b"torn")
    assert len(shelf.timeline(film, 0.5, BLIND)) == 7


def test_a_folder_that_cannot_be_written_costs_time_alone(
    film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert len(Shelf(tmp_path / "file" / "shelf").timeline(film, 1.0, BLIND)) == 4
    assert "cannot be kept" in caplog.text


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file"):
        Shelf(tmp_path).timeline(tmp_path / "a.avi", 1.0, BLIND)
    with pytest.raises(VideoError, match="no video stream"):
        read_timeline(encode_audio(tmp_path / "a.mkv"), 1.0, BLIND)
    (tmp_path / "b.mp4").write_bytes(b"no video at all")
    with pytest.raises(VideoError, match="no video container"):
        read_timeline(tmp_path / "b.mp4", 1.0, BLIND)
