"""ONNX files against PyTorch, by ONNX Runtime itself."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moclip.base.errors import MoclipError, ParamsError, StoreError
from moclip.base.files import read_json
from moclip.cli.main import main
from moclip.motion.extract import read_grid
from moclip.motion.net import MotionNet
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import OneClip
from moclip.predict import onnx as exporting
from moclip.predict.loading import TorchMotion
from moclip.predict.onnx import HEAD, META, MOTION, TOLERANCE, ModelInput, compare, draw, export, write_onnx
from moclip.predict.predictor import Predictor, motion_options
from moclip.video.decode import Middle
from tests.support.clips import encode, scrolling
from tests.support.trained import pipeline

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `export`, which is not installed here")


def run(path: Path, inputs: dict[str, np.ndarray]) -> list[Any]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == list(inputs)
    return list(session.run(None, inputs))


@pytest.mark.parametrize(("arch", "side"), [("small", 20), ("efficientnet_b0", 64)])
def test_both_networks_come_out_equal_at_any_batch(tmp_path: Path, arch: str, side: int) -> None:
    torch.manual_seed(0)
    net = MotionNet(arch, 7, 20.0).eval()
    for module in net.modules():  # statistics that a training would leave, so that no batch norm is the identity
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    model, inputs = exporting._MotionOutputs(net), {"fields": ModelInput((2, 2, side, side), 0.0, 10.0)}
    deviation = write_onnx(tmp_path / MOTION, model, inputs, ("features", "logits"))
    assert deviation <= TOLERANCE
    for batch in (1, 5):
        (fields,) = draw(inputs, batch)
        features, logits = run(tmp_path / MOTION, {"fields": fields.numpy()})
        with torch.inference_mode():
            expected = net.features(fields)
            classified = net.classifier(expected)
        np.testing.assert_allclose(features, expected.numpy(), atol=TOLERANCE)
        np.testing.assert_allclose(logits, classified.numpy(), atol=TOLERANCE)
        assert np.abs(logits[0] - logits[-1]).max() > 0 or batch == 1
    other = MotionNet(arch, 7, 20.0).eval()
    assert compare(tmp_path / MOTION, exporting._MotionOutputs(other), draw(inputs, 2)) > TOLERANCE


def test_files_answer_for_a_video_as_the_model_does(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "onnx"
    assert main(["export", "--model", str(trained / "models"), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [HEAD, META, MOTION]
    predictor = Predictor.load(pipeline(trained))
    clip = encode(tmp_path / "a.avi", scrolling(16, 3, -2, width=192))
    answer = predictor.predict(clip)
    motion, encoder = predictor.motion, predictor.encoder
    assert motion is not None
    assert encoder is not None
    middle, made_for = Middle(), motion.made_for
    grid = read_grid(clip, motion_options(motion), middle=middle)
    sampler = FieldSampler(OneClip(grid), made_for.motion, made_for.motion_net)
    fields = sampler(["a"], made_for.motion_net.eval_segments).numpy()
    fields = np.pad(fields, [(0, 0)] * 3 + [(0, 30 - fields.shape[3]), (0, 40 - fields.shape[4])])
    facts = read_json(out / META)
    assert facts["fields"] == ["n", *fields.shape[1:]]
    assert facts["classes"] == list(predictor.classes)
    features, logits = run(out / MOTION, {"fields": fields})
    assert isinstance(motion, TorchMotion)
    net = motion.network.net
    expected = net.features(torch.from_numpy(fields)).detach()
    np.testing.assert_allclose(features, expected.numpy(), atol=TOLERANCE)
    np.testing.assert_allclose(logits, net.classifier(expected).detach().numpy(), atol=TOLERANCE)
    image = encoder.images([middle.picture(clip, answer.frames)])
    seen = motion.describe("a", grid)
    (fused,) = run(out / HEAD, {"clip": image, "motion": seen})
    np.testing.assert_allclose(fused[0], answer.logits["fusion"], atol=TOLERANCE, rtol=TOLERANCE)


def test_probe_has_one_stream(trained: Path, tmp_path: Path) -> None:
    export(pipeline(trained), None, "clip_probe", tmp_path / "onnx")
    assert read_json(tmp_path / "onnx" / META)["streams"] == {"clip": 64}
    with pytest.raises(ParamsError, match="head must be one of"):
        export(pipeline(trained), None, "zero_shot", tmp_path / "other")


def test_difference_is_refused_and_nothing_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "compare", lambda *given: 2e-4)
    with pytest.raises(StoreError, match=r"motion\.onnx: ONNX Runtime differs from PyTorch by 2\.00e-04"):
        export(pipeline(trained), None, "fusion", tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_missing_extra_is_named(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "onnx")
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(MoclipError, match=r"onnx is not installed; `pip install 'moclip\[export\]'`"):
        export(pipeline(trained), None, "fusion", tmp_path / "onnx")
