"""Films with a model's answers in them: real videos in, decoded again to see what was written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import ParamsError
from moclip.cli.main import main
from moclip.predict.film import spans, windows
from moclip.predict.predictor import Predictor
from moclip.video import decode as video
from tests.support.clips import encode, scrolling
from tests.support.trained import pipeline


@pytest.mark.parametrize(
    ("frames", "fps", "window_s", "expected"),
    [
        (100, 25.0, 10.0, [(0, 100)]),
        (100, 25.0, 2.0, [(0, 50), (50, 100)]),
        (120, 25.0, 2.0, [(0, 50), (50, 120)]),
        (130, 25.0, 2.0, [(0, 50), (50, 100), (100, 130)]),
        (2, 25.0, 0.001, [(0, 2)]),
        (5, 25.0, 0.001, [(0, 2), (2, 5)]),
        (4, 25.0, 0.001, [(0, 2), (2, 4)]),
    ],
)
def test_spans_cover_the_video(frames: int, fps: float, window_s: float, expected: list[tuple[int, int]]) -> None:
    assert spans(frames, fps, window_s) == expected


@pytest.mark.parametrize("window_s", [0.0, -1.0, float("nan")])
def test_a_window_without_length_is_refused(window_s: float) -> None:
    with pytest.raises(ParamsError, match="must be longer than 0"):
        spans(10, 25.0, window_s)


@pytest.mark.parametrize("head", ["fusion", "motion_only", "clip_probe"])
def test_windows_are_answered_as_clips_of_their_own(trained: Path, tmp_path: Path, head: str) -> None:
    """Cut at key frames, each window is nearly the clip that was encoded there, and far from the other."""
    parts = [scrolling(12, 3, -2), scrolling(12, -4, 0)]
    film = encode(tmp_path / "film.avi", [*parts[0], *parts[1]], options={"g": "12", "qscale": "2"}, rate=12)
    predictor = Predictor.load(pipeline(trained), head=head)
    found = windows(film, predictor, predictor.look(film), 1.0)
    assert [(one.start, one.end, one.start_s, one.end_s) for one in found] == [(0, 12, 0.0, 1.0), (12, 24, 1.0, 2.0)]
    clips = [encode(tmp_path / f"{k}.avi", parts[k], options={"g": "12", "qscale": "2"}, rate=12) for k in (0, 1)]
    alone = [predictor.predict(clip).logits[head] for clip in clips]
    apart = np.abs(alone[0] - alone[1]).max()
    for k in (0, 1):
        assert np.abs(found[k].answer.logits[head] - alone[k]).max() < apart


def pictures(path: Path) -> list[np.ndarray]:
    return list(video.pictures(path))


def test_film_has_every_frame_with_a_label_that_changes_with_the_window(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = [*scrolling(24, 3, -2, width=192, height=160), *scrolling(24, -4, 0, width=192, height=160)]
    path = encode(tmp_path / "a.avi", source, options={"g": "12", "qscale": "2"}, rate=24)
    out = tmp_path / "out.mp4"
    model = ["--model", str(trained / "models")]
    assert main(["predict", str(path), *model, "--mp4", str(out), "--window", "1", "--top", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["film"]) == (48, str(out))
    assert [(one["start_s"], one["end_s"], one["frames"], len(one["top"])) for one in told["windows"]] == [
        (0.0, 1.0, 24, 2),
        (1.0, 2.0, 24, 2),
    ]
    film = video.probe(out)
    assert (film.codec, film.frames, film.fps, film.width, film.height) == ("h264", 48, 24.0, 384, 320)
    as_model = ["--cell-px", "8", "--reference", "both"]
    assert main(["motion", str(path), *as_model, "--mp4", str(tmp_path / "motion.mp4")]) == 0
    labelled, plain = pictures(out), pictures(tmp_path / "motion.mp4")
    for with_label, without in zip(labelled, plain, strict=True):
        gap = np.abs(with_label.astype(int) - without.astype(int)).mean(axis=(1, 2))
        assert gap[:30].mean() > 20, "the band at the top"
        assert gap[60:].mean() < 6, "the motion below it as it was"
    bands = [picture[:30, 100:].astype(int) for picture in labelled]
    assert np.abs(bands[2] - bands[20]).mean() < np.abs(bands[20] - bands[30]).mean() or (
        told["windows"][0]["top"][0]["class"] == told["windows"][1]["top"][0]["class"]
    )
    # Nothing that moclip did not write is replaced, nor what it reads.
    for place in (path, tmp_path / "mine.mp4"):
        before = place.read_bytes() if place.exists() else b"mine"
        place.write_bytes(before)
        assert main(["predict", str(path), *model, "--mp4", str(place)]) == 1
        assert place.read_bytes() == before


def test_heads_without_motion_and_codecs_without_vectors_have_films(trained: Path, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.webm", scrolling(10, 3, 1), "libvpx-vp9")
    words = [str(path), "--model", str(trained / "models")]
    assert main(["predict", *words, "--head", "clip_probe", "--mp4", str(tmp_path / "plain.mp4")]) == 0
    assert video.probe(tmp_path / "plain.mp4").frames == 10
    assert main(["predict", *words, "--mp4", str(tmp_path / "none.mp4")]) == 1
    assert not (tmp_path / "none.mp4").exists()
    assert main(["predict", *words, "--reencode", "--mp4", str(tmp_path / "motion.mp4")]) == 0
    assert video.probe(tmp_path / "motion.mp4").frames == 10


def test_films_of_a_folder_lie_in_a_folder(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("in/a.avi", "in/b/a.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        encode(tmp_path / name, scrolling(8, 2, 1))
    words = ["--model", str(trained / "models"), "--head", "motion_only", "--mp4", str(tmp_path / "out")]
    assert main(["predict", str(tmp_path / "in"), *words]) == 0
    made = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.mp4"))
    assert made == ["a.avi.mp4", "b/a.avi.mp4"]
    assert re.search(r"0\.0 - 0\.3 s: .* film: ", capsys.readouterr().out.replace("\n", " "))
    assert main(["predict", str(tmp_path / "in"), *words, "--csv"]) == 1
    assert "--mp4 and --csv" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_length_of_a_film(trained: Path, tmp_path: Path) -> None:
    """Peak memory beside that of a short one, in processes of their own; a frame of the film takes 0.9 MB."""
    code = (
        "import resource, sys; from moclip.cli.main import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peak_kib = []
    for seconds in (1, 9):
        still = scrolling(2, 0, 0, width=640, height=480)
        path = encode(tmp_path / f"{seconds}.avi", still * 15 * seconds, options={"qscale": "8"}, rate=30)
        words = ["--model", str(trained / "models"), "--head", "motion_only", "--window", "1"]
        words += ["--mp4", str(tmp_path / f"{seconds}.mp4")]
        done = subprocess.run(
            [sys.executable, "-c", code, "predict", str(path), *words], capture_output=True, text=True, check=True
        )
        peak_kib.append(int(done.stdout.splitlines()[-1]))
    assert peak_kib[1] - peak_kib[0] < 80 * 1024, "240 frames of 0.9 MB would be 220 MB"
