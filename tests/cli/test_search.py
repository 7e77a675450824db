"""`moclip search` on a really spliced file: ranks of the feature path, times within a step; refusals, cuts, sheets."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moclip.base.errors import ParamsError
from moclip.base.random import stream
from moclip.cli.main import main
from moclip.data.splits import read_split
from moclip.motion.extract import MotionOptions, read_grid
from moclip.motion.fields import field_at
from moclip.predict.bundle import open_model
from moclip.predict.loading import field_features, load_clip, load_head, load_motion
from moclip.search import ask
from moclip.search.films import Film, compose
from moclip.search.moments import chunk_scores, chunks, cosine, retrieve
from moclip.search.timeline import Shelf, Timeline
from moclip.video.decode import decoding, probe, read_frames
from moclip.video.rate import constant_rate
from moclip.video.write import encode as encode_as_the_demo
from tests.support.clips import encode, scrolling
from tests.support.trained import pipeline, video_of

EVERY_S = 0.16
WORDS = "a person circling both arms with dumbbells in a gym"


@pytest.fixture(scope="module")
def spliced(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Film]:
    """The test clips of the smallest demo as one file by the demo's encoder, a file of 16 frames after the other."""
    listed = read_split(trained / "data/splits/split1.csv", trained / "data/classes.csv").part("test")
    films, _ = compose(listed, dict.fromkeys(listed.ids, 4), 20, stream(0, "test"))
    (film,) = films
    path = tmp_path_factory.mktemp("spliced") / "film.avi"

    def pictures() -> Iterator[np.ndarray]:
        for video in film.ids:
            with decoding(video_of(trained, video)) as (_, frames):
                yield from (frame.to_ndarray(format="rgb24") for frame in frames)

    encode_as_the_demo(path, pictures(), fps=25, width=192, height=144)
    return path, film


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def search(trained: Path, cache: Path, *words: object) -> list[str]:
    options = ("--model", trained / "models", "--cache", cache, "--every", EVERY_S, "--chunk", 0.64, "--json")
    return ["search", *map(str, words), *map(str, options)]


def found(capsys: pytest.CaptureFixture[str], words: list[str], status: int = 0) -> dict[str, Any]:
    assert main(words) == status
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def feature_path(trained: Path, film: Film, words: str | None, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Spans in steps, the best first, and their scores, of the clips' own frames: nothing is spliced."""
    files = open_model(pipeline(trained), 1)
    encoder, network, head = load_clip(files), load_motion(files), load_head(files, "fusion")
    clip, motion = [], []
    for video in film.ids:
        path = video_of(trained, video)
        points = constant_rate(16, 25.0, EVERY_S)
        clip.append(encoder.images(list(read_frames(path, points.tolist()))))
        made = network.made_for.motion
        grid = read_grid(path, MotionOptions(made.cell_px, made.reference, made.source))
        motion.append(field_features(network, field_at(grid, points, made.accumulate, made.window_frames)))
    if words is not None:
        curve = cosine(np.concatenate(clip), encoder.texts([words])[0])
    else:
        logits = head.logits({"clip": np.concatenate(clip), "motion": np.concatenate(motion)}).astype(np.float64)
        curve = logits[:, label] - np.log(np.exp(logits).sum(axis=1))
    spans = chunks(curve, 12, "uniform")
    return retrieve(spans, chunk_scores(curve, spans, "uniform"))


def test_a_spliced_file_gives_the_ranks_of_the_feature_path_and_times_within_a_step(
    trained: Path, spliced: tuple[Path, Film], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, film = spliced
    answer = found(capsys, search(trained, cache, WORDS, path, "--chunks", "uniform", "--top", 5))
    spans, scores = feature_path(trained, film, WORDS, 0)
    assert answer["score"] == "cosine"
    assert [one["rank"] for one in answer["moments"]] == [1, 2, 3, 4, 5]
    for one, span, score in zip(answer["moments"], spans, scores, strict=False):
        assert one["start_s"] == pytest.approx(span[0] * EVERY_S, abs=EVERY_S)
        assert one["end_s"] == pytest.approx(span[1] * EVERY_S, abs=EVERY_S)
        assert one["score"] == pytest.approx(score, abs=0.02)  # the file is encoded once more
        assert one["motion_px"] > 0


def test_a_class_is_scored_by_the_trained_head_on_both_streams(
    trained: Path, spliced: tuple[Path, Film], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, film = spliced
    asked = ("--class", "TennisServe", "--head", "fusion", "--chunks", "uniform", "--top", 12)
    answer = found(capsys, search(trained, cache, path, *asked))
    label = list(open_model(pipeline(trained), 1).classes).index("TennisServe")
    spans, scores = feature_path(trained, film, None, label)
    assert answer["question"] == "TennisServe by fusion"
    mine = {round(one["start_s"] / EVERY_S): one["score"] for one in answer["moments"]}
    theirs = {int(span[0]): score for span, score in zip(spans, scores, strict=True)}
    assert mine.keys() == theirs.keys()
    # The barely trained head tells little apart, and motion differs where a clip begins: there its trace begins anew.
    assert np.corrcoef([mine[start] for start in theirs], list(theirs.values()))[0, 1] > 0.9


def test_every_step_of_a_second_question_comes_from_what_is_kept(
    trained: Path, spliced: tuple[Path, Film], cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    path, _ = spliced
    first = found(capsys, search(trained, cache, WORDS, path))

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("moclip.search.timeline.read_timeline", refuse)
    assert found(capsys, search(trained, cache, WORDS, path)) == first
    assert found(capsys, search(trained, cache, "a boxing ring", path))["moments"]


def test_the_table_has_what_a_person_reads(
    trained: Path, spliced: tuple[Path, Film], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in search(trained, cache, WORDS, spliced[0]) if word != "--json"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "video", "start-end", "cosine", "motion", "in", "px"]
    assert re.fullmatch(r" +1  .*film\.avi  0:\d\d\.\d-0:\d\d\.\d +-?\d\.\d{4} +\d+\.\d\d", lines[1])


def test_cuts_hold_the_moment_and_are_written_over_only_as_they_were(
    trained: Path, spliced: tuple[Path, Film], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cuts"
    answer = found(capsys, search(trained, cache, WORDS, spliced[0], "--cut", folder, "--top", 2))
    for one in answer["moments"]:
        file = folder / one["cut"]["file"]
        assert file.suffix == ".avi"
        assert one["cut"]["begins_s"] <= one["start_s"]
        whole = one["end_s"] - one["cut"]["begins_s"]
        assert probe(file).frames == pytest.approx(whole * 25, abs=2)
    found(capsys, search(trained, cache, WORDS, spliced[0], "--cut", folder, "--top", 1))
    assert len(list(folder.glob("*.avi"))) == 1
    (folder / "mine.txt").write_text("a note")
    assert main(search(trained, cache, WORDS, spliced[0], "--cut", folder)) == 1
    assert "holds mine.txt" in capsys.readouterr().err
    assert (folder / "mine.txt").read_text() == "a note"


def test_a_container_that_cannot_be_cut_is_said_with_the_command_that_can(
    trained: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = encode(tmp_path / "a.h264", scrolling(40, 3, 1), "h264", container="h264")
    answer = found(capsys, search(trained, cache, WORDS, path, "--cut", tmp_path / "cuts", "--top", 1))
    said = answer["moments"][0]["cut"]["not_cut"]
    assert "cannot be cut without re-encoding" in said
    assert "`ffmpeg -ss" in said


def test_a_sheet_shows_frames_and_the_score(
    trained: Path, spliced: tuple[Path, Film], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    found(capsys, search(trained, cache, WORDS, spliced[0], "--sheet", sheet))
    with Image.open(sheet) as image:
        assert image.width > 900
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert (pixels == (246, 217, 160)).all(axis=1).any()  # the first moment in the curve
    assert len(np.unique(pixels, axis=0)) > 500  # pictures
    sheet.write_bytes(b"mine")
    assert main(search(trained, cache, WORDS, spliced[0], "--sheet", sheet)) == 1
    assert sheet.read_bytes() == b"mine"
    capsys.readouterr()


@pytest.mark.parametrize("by", ["clip", "motion", "both"])
def test_an_example_finds_its_own_stretch_in_a_copy_and_not_in_its_own_video(
    trained: Path, spliced: tuple[Path, Film], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], by: str
) -> None:
    path, _ = spliced
    other = tmp_path / "other.avi"
    frames = list(read_frames(path, range(192)))
    encode_as_the_demo(other, iter(frames[:160]), fps=25, width=192, height=144)
    like = f"{path}:1.28-1.92"
    answer = found(capsys, search(trained, cache, other, "--like", like, "--by", by, "--top", 1))
    (moment,) = answer["moments"]
    assert moment["start_s"] < 1.92
    assert moment["end_s"] > 1.28
    own = found(capsys, search(trained, cache, path, "--like", like, "--by", by, "--top", 1))["moments"][0]
    assert own["end_s"] <= 1.28 + EVERY_S or own["start_s"] >= 1.92 - EVERY_S


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.mp4", ("a.mp4", (0.0, None))),
        ("a.mp4:3-4.5", ("a.mp4", (3.0, 4.5))),
        ("d:e/a.mp4:1:02.5-1:00:02", ("d:e/a.mp4", (62.5, 3602.0))),
        ("a:b.mp4", ("a:b.mp4", (0.0, None))),
    ],
)
def test_examples_are_files_with_or_without_times(text: str, expected: tuple[str, tuple[float, float | None]]) -> None:
    file, span = ask.parse_example(text)
    assert (str(file), span) == expected


@pytest.mark.parametrize(("text", "why"), [("a.mp4:5-4", "not behind its start"), ("a.mp4:1:2:3:4-9", "is no time")])
def test_times_that_make_no_stretch_are_refused(text: str, why: str) -> None:
    with pytest.raises(ParamsError, match=why):
        ask.parse_example(text)


def test_what_the_text_tower_does_not_read_is_left_out_and_shown(
    trained: Path, spliced: tuple[Path, Film], cache: Path, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    long = WORDS + " and then" * 60 + " bows"
    answer = found(capsys, search(trained, cache, long, spliced[0]))
    assert re.search(r'CLIP reads no further than ".*and then.*"; left out: ".*and then', caplog.text)
    encoder = load_clip(open_model(pipeline(trained), 1))
    read = encoder.read_part(long)
    assert long.startswith(read)
    assert len(WORDS) < len(read) < len(long)
    np.testing.assert_array_equal(encoder.texts([read]), encoder.texts([long]))
    assert encoder.read_part(WORDS) == WORDS
    assert answer["moments"]


def test_one_bad_video_is_reported_and_the_others_are_searched(
    trained: Path, spliced: tuple[Path, Film], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.mp4").write_bytes(b"no video at all")
    assert main(search(trained, cache, WORDS, tmp_path / "b.mp4", tmp_path / "none.mp4", spliced[0])) == 1
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert len(answer["failures"]) == 2
    assert answer["moments"]
    assert "error: 2 of 3 videos were not searched" in printed.err
    assert "none.mp4: no such file" in printed.err


def test_a_refusal_of_the_system_is_of_one_video_alone(
    trained: Path,
    spliced: tuple[Path, Film],
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its path, the reason and the remedy; the other video is searched."""
    (bad := tmp_path / "b.mp4").write_bytes(b"x")
    own = Shelf.timeline

    def refused(self: Shelf, video: Path, *others: Any) -> Timeline:
        if video == bad:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(video))
        return own(self, video, *others)

    monkeypatch.setattr(Shelf, "timeline", refused)
    assert main(search(trained, cache, WORDS, bad, spliced[0])) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["moments"]
    assert f"error: {bad}: Too many open files; raise the limit on open files" in printed.err


def test_without_vectors_words_find_and_motion_is_refused_by_name(
    trained: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = encode(tmp_path / "a.mkv", scrolling(40, 3, 1), "ffv1")
    answer = found(capsys, search(trained, cache, WORDS, path, "--top", 1))
    assert answer["moments"][0]["motion_px"] is None
    assert found(capsys, search(trained, cache, path, "--class", "TennisServe", "--head", "clip_probe"))["moments"]
    for asked in (("--class", "TennisServe"), ("--like", path, "--by", "motion")):
        assert main(search(trained, cache, path, *asked)) == 1
        assert "this codec exports no motion vectors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["VIDEO", "--class", "TenisServe"], r"no class 'TenisServe' among its 12; did you mean TennisServe"),
        (["VIDEO", "--class", "TennisServe", "--head", "evl"], r"--head: 'evl' answers for no new video; take one of"),
        (["VIDEO", "--head", "fusion"], r"--head: is the head that --class asks"),
        (["w", "VIDEO", "--by", "clip"], r"--by: says in what a stretch is like --like"),
        (["VIDEO", "--class", "TennisServe", "--like", "VIDEO"], r"two questions; ask one"),
        (["a person"], r"no video to search"),
        (["  ", "VIDEO"], r"no words to search for"),
        (["w", "VIDEO", "--every", "0"], r"a step of 0 s: must be"),
        (["w", "VIDEO", "--chunk", "-1"], r"a chunk of -1 s"),
        (["VIDEO", "--like", "VIDEO:3-900"], r"ends at 900 s, and the video at 7\.68 s"),
        (["w", "VIDEO", "--sheet", "VIDEO"], r"is what the command reads"),
        (["w", "VIDEO", "--model", "/nowhere"], r"/nowhere: holds neither a bundle"),
    ],
)
def test_refusals_are_one_line_with_rule_and_remedy(
    trained: Path,
    spliced: tuple[Path, Film],
    cache: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    why: str,
) -> None:
    path = str(spliced[0])
    given = [word.replace("VIDEO", path) for word in words]
    head = search(trained, cache)
    assert main(["search", "--model", str(trained / "models"), *head[3:], *given]) == 1
    printed = capsys.readouterr()
    assert re.search(why, printed.err)
    assert len(printed.err.strip().splitlines()) == 1


def test_words_beside_a_class_are_said_to_be_unused(
    trained: Path, spliced: tuple[Path, Film], cache: Path, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    answer = found(capsys, search(trained, cache, WORDS, spliced[0], "--class", "TennisServe"))
    assert answer["question"] == "TennisServe by fusion"
    assert "--class is what is asked" in caplog.text


def test_features_brought_ready_made_answer_no_words_and_motion_still(
    trained: Path, spliced: tuple[Path, Film], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained / "models", tmp_path / "models")
    shutil.copytree(trained / "data/clip", tmp_path / "data/clip")
    shutil.copy(trained / "data/classes.csv", tmp_path / "data")
    (tmp_path / "models/clip/meta.json").write_text(json.dumps({"precomputed": "x.npz"}))
    path = spliced[0]
    options = ["--model", str(tmp_path / "models"), "--cache", str(cache), "--every", str(EVERY_S), "--json"]
    assert main(["search", WORDS, str(path), *options]) == 1
    assert "there is no encoder" in capsys.readouterr().err
    answer = found(capsys, ["search", str(path), "--like", f"{path}:0-0.64", "--by", "motion", *options])
    assert answer["moments"]
