"""A bundle asked by onnxruntime: PyTorch's answers without PyTorch, in a process that could not import it."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image

from moclip.base.errors import StoreError
from moclip.base.files import read_json
from moclip.cli.main import main
from moclip.heads.registry import servable
from moclip.params.motion_net import MotionInput
from moclip.params.section import validated
from moclip.predict import loading, portable, runtime
from moclip.predict.bundle import ModelFiles, open_model, write_bundle
from moclip.predict.predictor import Predictor, softmax
from moclip.predict.runtime import META, Networks, parts_of, read_networks
from moclip.results.predictions import read_predictions
from tests.support.imports import ROOT
from tests.support.trained import pipeline, video_of

BLOCKED = ("torch", "torchvision", "open_clip", "timm", "mlflow", "pandas", "sklearn", "scipy", "matplotlib", "dvc")


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "model"
    assert main(["bundle", "--model", str(trained / "models"), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def files(bundle: Path) -> ModelFiles:
    return open_model(bundle)


@pytest.fixture(scope="module")
def videos(trained: Path) -> list[Path]:
    ids = read_predictions(trained / "preds/fusion/split1.npz").ids.tolist()
    return [video_of(trained, video_id) for video_id in ids]


def test_answers_are_those_of_pytorch_on_every_test_video(bundle: Path, videos: list[Path]) -> None:
    theirs, ours = Predictor.load(bundle, engine="torch"), Predictor.load(bundle, engine="onnx")
    largest = dict.fromkeys(servable(), 0.0)
    for video in videos:
        one, other = theirs.predict(video), ours.predict(video)
        assert list(one.logits) == list(other.logits) == servable()
        for head, logits in one.logits.items():
            assert logits.argmax() == other.logits[head].argmax()
            difference = np.abs(softmax(logits) - softmax(other.logits[head])).max()
            largest[head] = max(largest[head], float(difference))
    recorded = read_json(bundle / "onnx" / META)["answers"]
    assert recorded["videos"] == len(videos) == 12
    assert recorded["probability"] == pytest.approx(largest, abs=1e-5)
    assert max(recorded["probability"].values()) <= portable.TOLERANCE


def test_command_answers_where_pytorch_cannot_be_imported(bundle: Path, videos: list[Path], tmp_path: Path) -> None:
    """Neither in its own process nor in those that decode for it."""
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED}))\n"
    (tmp_path / "sitecustomize.py").write_text(blocked)
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}

    def asked(*words: str, status: int = 0) -> tuple[str, str]:
        command = [sys.executable, "-m", "moclip", *words]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout, done.stderr

    printed, _ = asked("predict", str(videos[0]), "--model", str(bundle), "--json")
    answer = json.loads(printed)
    expected = Predictor.load(bundle, engine="torch").predict(videos[0]).top()
    assert [row["class"] for row in answer["top"]] == [name for name, _ in expected]
    np.testing.assert_allclose([row["probability"] for row in answer["top"]], [p for _, p in expected], atol=1e-4)
    _, said = asked("predict", str(videos[0]), "--model", str(bundle), "--engine", "torch", status=1)
    assert "moclip[train]" in said


WORDS = "a red ball that moves to the right"
SERVED = """
import json, sys
import mlflow, pandas
row = mlflow.pyfunc.load_model(sys.argv[1]).predict(pandas.DataFrame({"base64": [sys.stdin.read()]}))[0]
print(json.dumps({one["class"]: one["probability"] for one in row["top"]}))
"""


def test_search_answers_where_pytorch_cannot_be_imported(
    bundle: Path, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words, a class and an example, with the scores and the stretches of PyTorch."""
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED}))\n"
    (tmp_path / "sitecustomize.py").write_text(blocked)
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    name = open_model(bundle).classes[0]
    like = [*videos[1:3], "--like", videos[0], "--by"]
    for question in ([WORDS, *videos[:3]], [*videos[:3], "--class", name], [*like, "clip"], [*like, "motion"]):
        words = ["search", *map(str, question), "--model", str(bundle), "--every", "0.16", "--chunk", "0.3", "--json"]
        assert main([*words, "--engine", "torch", "--cache", str(tmp_path / "torch")]) == 0
        expected = json.loads(capsys.readouterr().out)["moments"]
        command = [sys.executable, "-m", "moclip", *words, "--cache", str(tmp_path / "onnx")]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)["moments"]
        assert [(one["video"], one["start_s"], one["end_s"]) for one in found] == [
            (one["video"], one["start_s"], one["end_s"]) for one in expected
        ]
        scores = [np.array([one["score"] for one in moments]) for moments in (found, expected)]
        if "--class" in question:  # they are logarithms of probabilities
            scores = [np.exp(values) for values in scores]
        np.testing.assert_allclose(*scores, rtol=0, atol=1e-4)
        assert [one["motion_px"] for one in found] == [one["motion_px"] for one in expected]


def test_texts_have_the_features_that_pytorch_gives_them(files: ModelFiles) -> None:
    ours, theirs = runtime.load_clip(files), loading.load_clip(files)
    texts = [WORDS, "", "It's  &amp; caf\u00e9 123", "one long text " * 30]
    np.testing.assert_allclose(ours.texts(texts), theirs.texts(texts), atol=1e-4)
    assert [ours.read_part(text) for text in texts] == [theirs.read_part(text) for text in texts]


def test_single_fields_have_the_features_that_pytorch_gives_them(files: ModelFiles) -> None:
    fields = np.random.default_rng(0).normal(0, 5, (3, 2, 18, 24)).astype(np.float32)
    ours, theirs = runtime.motion_of(files), loading.motion_of(files)
    np.testing.assert_allclose(ours.single(fields), theirs.single(fields), atol=1e-4)


def test_bundle_without_a_text_tower_says_so(files: ModelFiles, tmp_path: Path) -> None:
    """As those of earlier releases, and of CLIPs with another tokenizer."""
    known = Networks.model_validate({**read_json(files.onnx / META), "text": None, "missing": {"text": "a reason"}})
    clip = runtime.OnnxClip(runtime.load_clip(files).network, runtime.load_clip(files).input, files.onnx, known)
    with pytest.raises(StoreError, match=r"no text for onnxruntime \(a reason\); take --engine torch"):
        clip.texts(["a ball"])


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # of MLflow's own types
def test_served_model_answers_where_pytorch_cannot_be_imported(
    bundle: Path, videos: list[Path], tmp_path: Path
) -> None:
    """By MLflow's own way in, which `mlflow models serve` takes too."""
    served = tmp_path / "served"
    assert main(["bundle", "--model", str(bundle), "--out", str(tmp_path / "again"), "--mlflow", str(served)]) == 0
    without = [name for name in BLOCKED if name not in ("mlflow", "pandas")]
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({without}))\n")
    env = os.environ | {"PYTHONPATH": str(tmp_path), "MOCLIP_SERVE_ENGINE": "onnx"}
    request = base64.b64encode(videos[0].read_bytes()).decode()
    command = [sys.executable, "-c", SERVED, str(served)]
    done = subprocess.run(command, env=env, cwd=tmp_path, input=request, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = dict(Predictor.load(bundle, engine="torch").predict(videos[0]).top())
    assert json.loads(done.stdout) == pytest.approx(expected, abs=1e-4)


def test_pictures_are_prepared_as_open_clip_does_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    for mode, size in (("shortest", 24), ("squash", 32)):
        theirs = image_transform(size, is_train=False, resize_mode=mode, interpolation="bicubic")
        ours = portable.picture_input(theirs)
        for shape in ((48, 64, 3), (61, 37, 3), (24, 24, 3), (33, 90, 3)):
            frame = rng.integers(0, 256, shape, dtype=np.uint8)
            assert torch.equal(torch.from_numpy(ours.pixels(frame)), theirs(Image.fromarray(frame)))
    with pytest.raises(StoreError, match="CenterCropOrPad"):
        portable.picture_input(image_transform(24, is_train=False, resize_mode="longest"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"encoding": "bytes"}, "motion_net.encoding: bytes"),
        ({"input_px": 24}, "motion_net.input_px: 24"),
        ({"input_px": 24, "eval_crops": 10}, "motion_net.input_px: 24"),
    ],
)
def test_network_that_takes_other_fields_is_refused_by_name(
    trained: Path, tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    network = loading.load_motion(open_model(pipeline(trained), 1))
    saved = network.made_for.saved()
    network.made_for = validated("input", MotionInput, {**saved, "motion_net": saved["motion_net"] | changes})
    written = portable._Written()
    portable._write_motion(tmp_path, network, written)
    assert written.missing["motion"].startswith(named)
    assert list(tmp_path.iterdir()) == []


def test_head_whose_part_is_missing_says_why(files: ModelFiles) -> None:
    assert files.onnx is not None
    known = read_networks(files.onnx)
    left = {name: digest for name, digest in known.files.items() if name != "motion.onnx"}
    facts = known.model_dump() | {"files": left, "motion": None, "missing": {"motion": "arch: vit cannot be written"}}
    with pytest.raises(StoreError, match=r"no motion for onnxruntime \(arch: vit cannot be written\); take --engine"):
        parts_of(files, files.onnx, Networks.model_validate(facts), "fusion")
    assert parts_of(files, files.onnx, Networks.model_validate(facts), "clip_probe").motion is None


def test_changed_network_is_not_run(bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    path = copy / "onnx/heads/fusion.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match=r"fusion\.onnx: not the file that networks\.json describes"):
        Predictor.load(copy, engine="onnx")
    (copy / "onnx" / META).write_text("{}")
    with pytest.raises(StoreError, match="changed since the bundle was written"):
        Predictor.load(copy, engine="onnx")


def test_bundle_without_networks_says_what_makes_them(trained: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", open_model(pipeline(trained), 1))
    with pytest.raises(StoreError, match="make one by `moclip bundle`"):
        Predictor.load(tmp_path / "b", engine="onnx")


def test_difference_is_refused_by_video_and_head() -> None:
    ours = np.array([0.0, 1.0], np.float32)
    assert portable._difference("fusion", Path("a.avi"), ours, ours + 1) == 0
    for theirs in (np.array([1.0, 0.0]), np.array([0.0, 1.01])):
        with pytest.raises(StoreError, match=r"a\.avi: fusion by onnxruntime differs from PyTorch by"):
            portable._difference("fusion", Path("a.avi"), ours, theirs)
