"""A bundle on a hub: pushed and asked by its address, through the hub library's own endpoint setting, on loopback."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from moclip.base.errors import ParamsError
from moclip.base.files import read_json, write_json
from moclip.predict.bundle import MANIFEST
from moclip.predict.hub import repository_of
from moclip.predict.predictor import Predictor
from tests.support.hub_server import hub_environment, serving
from tests.support.imports import ROOT
from tests.support.trained import video_of

REPOSITORY = "someone/moclip-demo"
FIGURES = {"top1_low_pct": 1.25, "top1_high_pct": 23.5}


def moclip(endpoint: str, home: Path, *words: str, status: int = 0) -> tuple[str, str]:
    """A command in a process of its own, as a person who knows this hub would start it."""
    env = hub_environment(endpoint, home / "hf", HF_TOKEN="hf_test", HF_HUB_DISABLE_XET="1", PYTHONPATH=str(ROOT))
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "moclip", *words]
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def models(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pipeline left, with the figures that its later stages would have added; without the videos."""
    root = tmp_path_factory.mktemp("pipeline")
    for name in ("models", "data", "preds"):
        shutil.copytree(trained / name, root / name, ignore=shutil.ignore_patterns("videos", "motion_features"))
    write_json(root / "results/heads/fusion/split1_metrics.json", FIGURES)
    write_json(root / "reports/summary.json", {"confidence_pct": 95.0})
    return root / "models"


def test_bundle_is_pushed_with_its_card_and_answers_by_its_address(models: Path, trained: Path, tmp_path: Path) -> None:
    video = video_of(trained, "v_BoxingFootwork_g01_c01")
    bundle = ("bundle", "--no-onnx", "--model", str(models), "--out", "bundle", "--push", REPOSITORY)
    with serving({}) as hub:
        printed, _ = moclip(hub.url, tmp_path / "mine", *bundle)
        assert f"{hub.url}/{REPOSITORY}/commit/" in printed
        own = tmp_path / "mine/bundle"
        assert {f"{REPOSITORY}/{name}" for name in (*read_json(own / MANIFEST)["files"], MANIFEST)} == set(hub.files)
        printed, _ = moclip(
            hub.url, tmp_path / "yours", "predict", str(video), "--model", f"hf://{REPOSITORY}", "--json"
        )
        before = len(hub.requests)
        moclip(
            hub.url, tmp_path / "yours", "predict", str(video), "--model", f"hf://{REPOSITORY}", "--head", "motion_only"
        )
        assert len(hub.requests) == before, "what was fetched needs no network"
    expected = Predictor.load(own).predict(video).as_dict()
    assert json.loads(printed)["top"] == expected["top"]
    card = huggingface_hub.ModelCard.load(own / "README.md")
    (fusion,) = [one for one in card.data.eval_results or [] if "fusion" in (one.metric_name or "")]
    score = read_json(own / MANIFEST)["origin"]["scores"]["fusion"]
    assert fusion.metric_value == pytest.approx(100 * score["right"] / score["of"], abs=0.01)
    assert (fusion.dataset_name, fusion.dataset_split, fusion.metric_type) == ("demo", "test of split 1", "accuracy")
    assert fusion.metric_name == "top-1 of fusion in % (95 % interval over recordings: 1.2 to 23.5)"
    assert (card.data.library_name, card.data.pipeline_tag) == ("moclip", "video-classification")
    assert "generated demo videos" in card.text


def test_nothing_is_sent_without_being_asked(models: Path, tmp_path: Path) -> None:
    with serving({}) as hub:
        moclip(hub.url, tmp_path, "bundle", "--no-onnx", "--model", str(models), "--out", "bundle")
        assert hub.requests == []
    assert not (tmp_path / "bundle/README.md").exists()


def test_hub_that_refuses_is_named_and_the_bundle_stays(models: Path, tmp_path: Path) -> None:
    bundle = ("bundle", "--no-onnx", "--model", str(models), "--out", "bundle", "--push", REPOSITORY)
    with serving({}) as hub:
        hub.fault = "private"
        _, said = moclip(hub.url, tmp_path, *bundle, status=1)
    assert f"{REPOSITORY} at {hub.url} takes no upload" in said
    assert "hf auth login" in said
    assert (tmp_path / "bundle" / MANIFEST).is_file()


def test_manifest_that_leads_elsewhere_is_refused_before_a_file_is_fetched(models: Path, tmp_path: Path) -> None:
    facts = {
        "format": "moclip-bundle",
        "format_version": 1,
        "split": 1,
        "classes": ["a"],
        "heads": [],
        "frame": "middle",
    }
    facts |= {"logit_scale": None, "files": {"../../escaped": "0" * 64}}
    with serving({f"{REPOSITORY}/{MANIFEST}": json.dumps(facts).encode()}) as hub:
        _, said = moclip(hub.url, tmp_path, "predict", "a.avi", "--model", f"hf://{REPOSITORY}", status=1)
        assert not [line for line in hub.requests if "escaped" in line]
    assert "is no plain path inside the bundle" in said


def test_file_that_states_more_than_any_network_has_is_not_fetched(models: Path, tmp_path: Path) -> None:
    vast = "motion/model.safetensors"
    facts = {"format": "moclip-bundle", "format_version": 1, "split": 1, "classes": ["a"], "heads": []}
    facts |= {"frame": "middle", "logit_scale": None, "files": {vast: "0" * 64}}
    with serving({f"{REPOSITORY}/{MANIFEST}": json.dumps(facts).encode(), f"{REPOSITORY}/{vast}": b"x"}) as hub:
        hub.stated = {f"{REPOSITORY}/{vast}": 10**18}
        _, said = moclip(hub.url, tmp_path, "predict", "a.avi", "--model", f"hf://{REPOSITORY}", status=1)
        assert not [line for line in hub.requests if line.startswith("GET") and vast in line]
    assert "it states 1,000,000,000,000,000,000 bytes, more than 4,294,967,296" in said


@pytest.mark.parametrize("address", ["hf://one", "hf://a/b/c", "hf://../x", "hf://a/..", "hf://a b/c"])
def test_address_that_names_no_repository_is_refused(address: str) -> None:
    with pytest.raises(ParamsError, match="is no repository of a hub"):
        repository_of(address)
