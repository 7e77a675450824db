"""A trained model and new videos: the pipeline's own logits, one pass over the file, and refusals."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import OutputError, ParamsError, StoreError, VideoError
from moclip.base.files import read_json, write_json
from moclip.cli.main import main
from moclip.cli.places import PLACES
from moclip.heads.registry import servable
from moclip.motion.extract import MotionOptions, read_grid
from moclip.motion.features import SEED_NAME, describe_crops
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.predict.bundle import open_model, write_bundle
from moclip.predict.predictor import Prediction, Predictor
from moclip.results.predictions import read_predictions
from moclip.video import decode as video
from moclip.video.frames import middle_frame
from tests.support.clips import encode, encode_audio, scrolling
from tests.support.imports import ROOT
from tests.support.trained import pipeline, stages, video_of


@pytest.fixture(scope="module")
def predictor(trained: Path) -> Predictor:
    return Predictor.load(pipeline(trained), split=1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "a.avi", scrolling(16, 3, -2))


def changed(trained: Path, place: Path) -> Path:
    """A copy of what was trained, to be damaged; without the videos."""
    shutil.copytree(trained / "models", place / "models")
    shutil.copytree(trained / "data" / "clip", place / "data" / "clip")
    shutil.copy(trained / "data" / "classes.csv", place / "data")
    return place / "models"


def test_logits_are_those_of_the_pipeline_for_every_head(trained: Path, predictor: Predictor) -> None:
    expected = {head: read_predictions(trained / f"preds/{head}/split1.npz") for head in servable()}
    ids = expected["fusion"].ids.tolist()
    assert len(ids) == 12
    for row, video_id in enumerate(ids):
        found = predictor.predict(video_of(trained, video_id))
        assert set(found.logits) == set(servable())
        for head, predictions in expected.items():
            # Batches of another size move last digits of features, which heads on a barely trained CLIP enlarge.
            np.testing.assert_allclose(found.logits[head], predictions.logits[row], atol=1e-3, rtol=1e-3)
            assert found.classes[found.logits[head].argmax()] == predictions.classes[predictions.logits[row].argmax()]


def test_heads_on_one_stream_say_what_the_whole_model_reports_of_them(
    trained: Path, predictor: Predictor, clip: Path
) -> None:
    whole = predictor.predict(clip)
    assert sorted(whole.ms) == ["clip", "decode", "head", "motion"]
    for head, others in (("motion_only", set()), ("clip_probe", {"zero_shot"}), ("zero_shot", {"clip_probe"})):
        alone = Predictor.load(pipeline(trained), head=head).predict(clip)
        assert set(alone.logits) == {head, *others}
        np.testing.assert_allclose(alone.logits[head], whole.logits[head], atol=1e-5)


def test_probabilities_are_a_softmax_sorted(clip: Path) -> None:
    logits = {"fusion": np.array([0.0, np.log(3.0), 0.0], dtype=np.float32)}
    answer = Prediction("a.avi", 2, "fusion", 1, ["a", "b", "c"], logits, {})
    assert [name for name, _ in answer.top()] == ["b", "a", "c"]
    assert [p for _, p in answer.top()] == pytest.approx([0.6, 0.2, 0.2])
    assert len(answer.top(1)) == 1


@pytest.mark.parametrize("frames", [2, 7, 16])
@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.mkv", "mpeg4"), ("a.mp4", "libx264")])
def test_one_pass_gives_the_vectors_and_the_middle_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int, name: str, codec: str
) -> None:
    path = encode(tmp_path / name, scrolling(frames, 3, -2), codec)
    expected = video.read_frames(path, [middle_frame(frames)])[0]
    fast = read_grid(path, MotionOptions())
    monkeypatch.setattr(video, "read_frames", None)  # a second decoding would call it
    middle = video.Middle()
    grid = read_grid(path, MotionOptions(), middle=middle)
    np.testing.assert_array_equal(grid.mv, fast.mv)
    np.testing.assert_array_equal(middle.picture(path, len(grid.mv)), expected)


def test_middle_frame_is_right_where_the_container_is_wrong(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", scrolling(12, 3, -2))
    middle = video.Middle()
    middle.expect(lambda: 40)
    np.testing.assert_array_equal(middle.picture(path, 12), video.read_frames(path, [6])[0])


def test_model_on_reencoded_motion_takes_codecs_without_vectors(trained: Path, tmp_path: Path) -> None:
    webm = encode(tmp_path / "a.webm", scrolling(12, 3, 1), "libvpx")
    models = changed(trained, tmp_path)
    with pytest.raises(VideoError, match=r"vp8.*no motion vectors\. Re-encode it.*moclip motion --reencode.*ffmpeg"):
        Predictor.load(pipeline(models.parent)).predict(webm)
    assert Predictor.load(pipeline(models.parent), head="clip_probe").predict(webm).frames == 12
    config = read_json(models / "motion/split1/config.json")
    config["input"]["motion"]["source"] = "reencoded"
    write_json(models / "motion/split1/config.json", config)
    answer = Predictor.load(pipeline(models.parent)).predict(webm)
    assert (answer.frames, set(answer.logits)) == (12, set(servable()))


def test_bundle_moves_and_answers_the_same(trained: Path, predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "here", open_model(pipeline(trained), 1))
    (tmp_path / "here").rename(tmp_path / "there")
    bundle = tmp_path / "there"
    assert {path.suffix for path in bundle.rglob("*") if path.is_file()} == {".json", ".safetensors"}
    assert str(trained) not in "".join(path.read_text() for path in bundle.rglob("*.json"))
    found, expected = Predictor.load(bundle).predict(clip), predictor.predict(clip)
    for head in servable():
        np.testing.assert_array_equal(found.logits[head], expected.logits[head])
    with pytest.raises(StoreError, match="is a model of split 1, not 2"):
        Predictor.load(bundle, split=2)
    config = bundle / "heads/fusion/config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(StoreError, match=r"heads/fusion/config\.json: missing or changed"):
        Predictor.load(bundle)


def test_bundle_of_an_older_version_of_this_code_still_opens(
    trained: Path, predictor: Predictor, clip: Path, tmp_path: Path
) -> None:
    """Its manifest has no seal, and the scale of the logits also where there are no text features."""
    write_bundle(tmp_path / "b", open_model(pipeline(trained), 1))
    facts = read_json(tmp_path / "b" / "bundle.json")
    kept = ("format", "format_version", "split", "classes", "heads", "logit_scale", "frame", "files")
    assert facts["format_version"] == 1
    write_json(tmp_path / "b" / "bundle.json", {name: facts[name] for name in kept})
    assert set(Predictor.load(tmp_path / "b").predict(clip).logits) == set(servable())
    (tmp_path / "b" / "texts.safetensors").unlink()
    del facts["files"]["texts.safetensors"]
    write_json(tmp_path / "b" / "bundle.json", {name: facts[name] for name in kept} | {"logit_scale": 1.0})
    assert set(Predictor.load(tmp_path / "b").predict(clip).logits) == set(servable()) - {"zero_shot"}


def test_bundle_overwrites_no_other_directory(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"holds thesis\.tex, which is not as moclip wrote it"):
        write_bundle(tmp_path / "mine", open_model(pipeline(trained), 1))
    assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("missing", "head", "message"),
    [
        ("models/motion", "fusion", "models: holds neither"),
        ("models/motion/split1", "fusion", "motion/split1: no motion network of split 1"),
        ("models/fusion/split1", "fusion", "no head 'fusion' of split 1"),
        ("models/clip_probe/split1", "clip_probe", "no head 'clip_probe' of split 1"),
        ("models/clip", "fusion", "models/clip: no CLIP model"),
        ("data/classes.csv", "fusion", r"classes\.csv: missing"),
        ("data/clip/texts.npz", "zero_shot", "no text features of the classes, which zero_shot needs"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_makes_it(
    trained: Path, tmp_path: Path, missing: str, head: str, message: str
) -> None:
    changed(trained, tmp_path)
    path = tmp_path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(StoreError, match=f"{message}.*`dvc repro`"):
        Predictor.load(pipeline(tmp_path), head=head)


def test_streams_that_are_not_there_are_left_out(trained: Path, clip: Path, tmp_path: Path) -> None:
    models = changed(trained, tmp_path)
    shutil.rmtree(models / "clip_probe")
    (tmp_path / "data/clip/texts.npz").unlink()
    assert set(Predictor.load(pipeline(models.parent)).predict(clip).logits) == {"motion_only", "fusion"}


def test_models_that_cannot_see_a_new_video_are_refused(trained: Path, tmp_path: Path) -> None:
    models = changed(trained, tmp_path)
    write_json(models / "clip/meta.json", {"precomputed": "0" * 64, "model": "ViT-B-32"})
    with pytest.raises(StoreError, match=r"clip\.precomputed.*no encoder.*--head motion_only"):
        Predictor.load(pipeline(models.parent))
    assert Predictor.load(pipeline(models.parent), head="motion_only").encoder is None
    with pytest.raises(ParamsError, match="head must be one of"):
        Predictor.load(pipeline(models.parent), head="linear_regression")


def test_head_with_a_drifted_motion_network_of_its_own_is_refused(trained: Path, tmp_path: Path) -> None:
    models = changed(trained, tmp_path)
    shutil.copytree(models / "motion/split1", models / "fusion/split1/motion")
    with pytest.raises(StoreError, match=r"statistics drifted \(fusion\.backbone_statistics: drift\)"):
        Predictor.load(pipeline(tmp_path))
    assert set(Predictor.load(pipeline(tmp_path), head="clip_probe").heads) == {"zero_shot", "clip_probe"}


def test_model_saved_before_its_input_was_kept_is_refused(trained: Path, tmp_path: Path) -> None:
    models = changed(trained, tmp_path)
    config = read_json(models / "motion/split1/config.json")
    del config["input"]
    write_json(models / "motion/split1/config.json", config)
    with pytest.raises(StoreError, match="does not say how its input was made; train it again"):
        Predictor.load(pipeline(models.parent))


def test_a_model_of_before_vectors_had_a_distance_reads_them_as_coded(trained: Path, tmp_path: Path) -> None:
    models = changed(trained, tmp_path)
    config = read_json(models / "motion/split1/config.json")
    del config["input"]["motion"]["distance"]
    write_json(models / "motion/split1/config.json", config)
    answered = Predictor.load(pipeline(models.parent))
    assert answered.motion is not None
    assert answered.motion.made_for.motion.distance == "as_coded"


def test_a_model_whose_input_is_described_in_another_way_is_refused(trained: Path, tmp_path: Path) -> None:
    models = changed(trained, tmp_path)
    config = read_json(models / "motion/split1/config.json")
    del config["input"]["motion"]["reference"]
    write_json(models / "motion/split1/config.json", config)
    with pytest.raises(StoreError, match=r"another version of moclip did .*input\.motion\.reference.*; train it again"):
        Predictor.load(pipeline(models.parent))


@pytest.mark.parametrize("mirrored", ["both", "coin"])
def test_video_is_seen_in_the_crops_that_the_pipeline_evaluates_in(
    trained: Path, tmp_path: Path, mirrored: str
) -> None:
    models = changed(trained, tmp_path)
    config = read_json(models / "motion/split1/config.json")
    crops = {"input_px": 24, "eval_crops": 10, "mirrored_crops": mirrored, "encoding": "bytes", "mirror": "complement"}
    config["input"]["motion_net"] |= crops
    write_json(models / "motion/split1/config.json", {**config, "encoding": "bytes"})
    answered = Predictor.load(pipeline(models.parent), head="motion_only")
    assert answered.motion is not None
    made_for = answered.motion.made_for
    ids = read_predictions(trained / "preds/motion_only/split1.npz").ids.tolist()[:3]
    sampler = FieldSampler(MotionStore.open(trained / "data/motion"), made_for.motion, made_for.motion_net)
    _, expected = describe_crops(answered.motion.network.net, sampler, ids, (made_for.seed, SEED_NAME, made_for.split))
    for name, logits in zip(ids, expected, strict=True):
        seen = answered.predict(video_of(trained, name)).logits["motion_only"]
        np.testing.assert_allclose(seen, logits, atol=1e-4)


def test_model_made_with_other_frames_is_refused_but_for_motion(trained: Path, tmp_path: Path) -> None:
    models = changed(trained, tmp_path)
    encoder = tmp_path / "data/clip/encoder.json"
    write_json(encoder, {**read_json(encoder), "frame": "uniform:4"})
    with pytest.raises(StoreError, match=r"clip\.frame: uniform:4.*set clip\.frame: middle"):
        Predictor.load(pipeline(models.parent))
    assert Predictor.load(pipeline(models.parent), head="motion_only").encoder is None
    write_json(encoder, {**read_json(encoder), "frame": "middle", "crop": "motion"})
    with pytest.raises(StoreError, match=r"clip\.frame: middle, clip\.crop: motion.*clip\.crop: centre, and run"):
        Predictor.load(pipeline(models.parent))


def test_unreadable_videos_are_refused_with_the_reason(predictor: Predictor, clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.avi"
    cut.write_bytes(clip.read_bytes()[:-3000])
    (tmp_path / "text.avi").write_text("not a video")
    encode_audio(tmp_path / "sound.avi")
    for name in ("cut.avi", "text.avi", "sound.avi", "absent.avi"):
        with pytest.raises(VideoError, match=rf"{name}.*\."):
            predictor.predict(tmp_path / name)


def test_command_answers_all_but_the_failing_video(
    trained: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(trained / "models")]
    assert main(["predict", str(clip), str(tmp_path / "absent.avi"), str(clip), *model, "--json", "--top", "2"]) == 1
    printed = capsys.readouterr()
    answers = [json.loads(line) for line in printed.out.splitlines()]
    assert [answer["video"] for answer in answers] == [str(clip)] * 2
    assert len(answers[0]["top"]) == 2
    assert set(answers[0]["streams"]) == {"zero_shot", "motion_only", "clip_probe"}
    assert printed.err.count("error: ") == 2
    assert "absent.avi: no such file" in printed.err


def test_command_prints_text_and_csv(trained: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--model", str(trained / "models"), "--split", "1"]
    assert main(["predict", str(clip), *model]) == 0
    text = capsys.readouterr().out
    for word in ("zero_shot", "motion_only", "clip_probe", "decode", "16 frames"):
        assert word in text
    assert main(["predict", str(clip), *model, "--csv", "--top", "3", "--head", "motion_only"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["clip_ms"] == ""
    assert rows[0]["class"] == Predictor.load(pipeline(trained), head="motion_only").predict(clip).top()[0][0]


def test_command_bundles(trained: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "--no-onnx", "--model", str(trained / "models"), "--out", str(tmp_path / "b")]) == 0
    assert main(["predict", str(clip), "--model", str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["split"] == 1
    assert main(["predict", str(clip), "--model", str(tmp_path)]) == 1
    assert "holds neither a bundle" in capsys.readouterr().err


def test_motion_alone_waits_for_no_clip(trained: Path, clip: Path) -> None:
    code = (
        "import sys; from moclip.cli.main import main\n"
        f"status = main(['predict', {str(clip)!r}, '--model', {str(trained / 'models')!r}, '--head', 'motion_only'])\n"
        "print(status, sorted({'open_clip', 'timm', 'mlflow', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_layout_is_that_of_the_graph(trained: Path) -> None:
    """`moclip.cli.places` and `moclip.predict.bundle` look where the graph says that stages write."""
    made = {
        next(iter(out)) if isinstance(out, dict) else out
        for stage in stages().values()
        for out in stage.get("outs", [])
    }
    files = open_model(pipeline(trained), 1)
    assert files.clip.relative_to(trained).as_posix() in made
    for path in (files.motion, *files.heads.values()):
        assert path.name == "split1"
        assert path.parent.relative_to(trained).as_posix() in made
    assert set(files.heads) == {"clip_probe", "fusion"}
    assert {PLACES.classes.as_posix(), PLACES.texts.as_posix(), PLACES.encoder.as_posix()} <= made


def test_answer_of_a_real_clip(trained: Path, real_ucf101: Path) -> None:
    path = next(real_ucf101.rglob("*.avi"))
    answer = Predictor.load(pipeline(trained)).predict(path)
    assert answer.frames == video.probe(path).frames
    assert isinstance(answer.as_dict()["top"][0]["probability"], float)


def test_bundle_that_is_damaged_is_made_again_as_its_error_says(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = str(video_of(trained, read_predictions(trained / "preds/fusion/split1.npz").ids[0]))
    made = ["bundle", "--no-onnx", "--model", str(trained / "models"), "--out"]
    assert main([*made, str(tmp_path / "one")]) == 0
    facts = read_json(tmp_path / "one/bundle.json")
    write_json(tmp_path / "one/bundle.json", {**facts, "format_version": 0})
    assert main(["predict", film, "--model", str(tmp_path / "one")]) == 1
    assert "make the bundle again with `moclip bundle`" in capsys.readouterr().err
    assert main([*made, str(tmp_path / "one")]) == 1, "what was changed may be a person's"
    assert "name another folder, or remove this one yourself first" in capsys.readouterr().err
    assert main([*made, str(tmp_path / "two")]) == 0
    assert main(["predict", film, "--model", str(tmp_path / "two")]) == 0
