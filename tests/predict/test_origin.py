"""What a model says of itself before it answers, and of videos that are unlike those it was trained on."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moclip.base.errors import StoreError, VideoError
from moclip.base.files import read_json, write_json
from moclip.cli.main import main
from moclip.predict.bundle import open_model, write_bundle
from moclip.predict.origin import Kind, Origin, Score, introduction
from moclip.predict.predictor import Predictor
from moclip.results.predictions import read_predictions
from tests.support.clips import encode, scrolling
from tests.support.imports import ROOT
from tests.support.trained import pipeline, video_of

UCF101 = Origin(
    dataset="ucf101",
    generated=False,
    videos=9537,
    codecs=("mpeg4",),
    width_px=(320, 320),
    height_px=(240, 240),
    fps=(25.0, 29.97),
    scores={"fusion": Score(right=3400, of=3783)},
)


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "model"
    write_bundle(folder, open_model(pipeline(trained), 1))
    return folder


def test_introduction_has_data_accuracy_and_classes() -> None:
    names = [f"Class{number}" for number in range(9)]
    assert introduction("fusion", 1, names, UCF101) == (
        "fusion of split 1: trained on 9537 videos of ucf101; 3400 of 3783 test videos right (89.9 %); "
        "knows 9 classes alone: Class0, Class1, Class2, Class3, Class4, Class5 and 3 more"
    )
    assert "not tested here" in introduction("zero_shot", 1, names, UCF101)
    assert "what it was trained on is not recorded" in introduction("fusion", 1, names, None)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind("mpeg4", 320, 240, 29.97), ""),
        (Kind("mpeg4", 320, 240, 30.0), ""),  # one rate in two notations
        (Kind("mpeg4", 320, 240, 0.0), ""),  # unknown
        (Kind(None, 320, 240, 25.0), ""),
        (Kind("h264", 320, 240, 25.0), "codec h264 (mpeg4)"),
        (Kind("mpeg4", 1920, 1080, 25.0), "1920 x 1080 px (320 x 240)"),
        (Kind("mpeg4", 240, 320, 25.0), "240 x 320 px (320 x 240)"),
        (Kind("h264", 320, 240, 60.0), "codec h264 (mpeg4), 60 frames/s (25 to 29.97)"),
    ],
)
def test_differences_name_both_values(kind: Kind, words: str) -> None:
    assert UCF101.differences(kind) == words


def test_origin_is_counted_from_the_pipelines_own_files(trained: Path) -> None:
    origin = open_model(pipeline(trained), 1).origin
    assert origin is not None
    assert (origin.dataset, origin.generated, origin.codecs) == ("demo", True, ("mpeg4",))
    rows = (trained / "data/splits/split1.csv").read_text().splitlines()
    assert origin.videos == sum(row.split(",")[2] == "train" for row in rows[1:])
    said = read_predictions(trained / "preds/fusion/split1.npz")
    right = int((said.logits.argmax(axis=1) == said.labels).sum())
    assert origin.scores["fusion"] == Score(right=right, of=12)
    assert set(origin.scores) == {"zero_shot", "motion_only", "clip_probe", "fusion"}


def test_bundle_takes_its_origin_along_and_one_without_is_still_read(
    trained: Path, bundle: Path, tmp_path: Path
) -> None:
    assert open_model(bundle).origin == open_model(pipeline(trained), 1).origin
    older = shutil.copytree(bundle, tmp_path / "older")
    facts = read_json(older / "bundle.json")
    del facts["origin"]
    write_json(older / "bundle.json", facts)
    assert Predictor.load(older, head="motion_only").introduction.startswith(
        "motion_only of split 1: what it was trained on is not recorded with it; knows 12 classes alone: "
    )


@pytest.mark.parametrize("change", [{"dataset": "\x1b[31m"}, {"videos": 0}, {"scores": {"fusion": {"right": 1}}}])
def test_origin_of_a_strangers_bundle_is_read_by_a_schema(
    bundle: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    theirs = shutil.copytree(bundle, tmp_path / "theirs")
    facts = read_json(theirs / "bundle.json")
    facts["origin"] |= change
    write_json(theirs / "bundle.json", facts)
    with pytest.raises(StoreError, match=f"key 'origin.{next(iter(change))}"):
        open_model(theirs)


def test_command_introduces_the_model_and_warns_of_a_clip_of_ones_own(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = encode(tmp_path / "own.mp4", scrolling(12, 3, -2, width=320, height=240), "libx264", rate=50)
    known = video_of(trained, read_predictions(trained / "preds/fusion/split1.npz").ids.tolist()[0])
    model = ["--model", str(trained / "models")]
    assert main(["predict", str(own), str(known), *model]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"fusion of split 1: trained on \d+ generated demo videos, no real ones; \d+ of 12 test videos right "
        r"\([\d.]+ %\); knows 12 classes alone: \w+, .* and 6 more",
        first,
    )
    warnings = [line for line in lines if "warning" in line]
    assert warnings == [
        "  warning: unlike the videos that the model was trained on (theirs in brackets): codec h264 (mpeg4), "
        "320 x 240 px (192 x 144), 50 frames/s (25)"
    ]
    assert lines.index(warnings[0]) == 1, "below the name of its video"
    # A head on pictures alone sees neither codec nor rate.
    assert main(["predict", str(own), *model, "--head", "clip_probe", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["warnings"] == [
        "unlike the videos that the model was trained on (theirs in brackets): 320 x 240 px (192 x 144)"
    ]


@pytest.mark.parametrize(
    ("codec", "name"), [("libx265", "a.mp4"), ("libvpx-vp9", "a.webm"), ("libsvtav1", "a.mkv"), ("libvpx", "b.webm")]
)
def test_codecs_without_vectors_are_answered_after_reencoding(
    trained: Path, tmp_path: Path, codec: str, name: str
) -> None:
    path = encode(tmp_path / name, scrolling(12, 3, 1), codec)
    predictor = Predictor.load(pipeline(trained), head="motion_only")
    with pytest.raises(VideoError, match=r"no motion vectors.*moclip predict --reencode"):
        predictor.predict(path)
    answer = predictor.predict(path, reencode=True)
    assert answer.frames == 12
    assert re.search(r"re-encoding \(mpeg4, 340 x 256\)", answer.warnings[0])
    with pytest.raises(VideoError, match="it has one frame"):
        predictor.predict(encode(tmp_path / "one.avi", scrolling(1, 0, 0)), reencode=True)


def test_folder_is_answered_in_order_and_what_is_left_out_is_said(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b.avi", "a.avi", "more/c.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        encode(tmp_path / name, scrolling(8, 2, 1))
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "empty").mkdir()
    words = ["--model", str(trained / "models"), "--head", "motion_only", "--json"]
    assert main(["predict", str(tmp_path), *words]) == 0
    printed = capsys.readouterr()
    found = [Path(json.loads(line)["video"]).name for line in printed.out.splitlines()]
    assert found == ["a.avi", "b.avi", "c.avi"]
    assert any("1 file, first" in record.getMessage() for record in caplog.records)
    assert main(["predict", str(tmp_path / "empty"), *words]) == 1
    assert re.search(r"empty: no videos in it", capsys.readouterr().err)


def test_command_speaks_before_it_imports(trained: Path) -> None:
    """The silence was the fault: the first word comes before PyTorch is even looked for."""
    code = (
        "import sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'numpy', 'scipy', 'pydantic', 'av'):\n"
        "            print('IMPORTED', name, file=sys.stderr, flush=True)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from moclip.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    for words, said in ((["predict", "absent.avi", "--model", "absent"], "predict: "), (["doctor"], "doctor: ")):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, check=False
        )
        lines = done.stderr.splitlines()
        assert lines[0].startswith(said), done.stderr[:500]
        assert any(line.startswith("IMPORTED") for line in lines)
