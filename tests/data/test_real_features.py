"""OpenAI's CLIP features of real UCF101 videos, through the stages as processes, from features to accuracy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moclip.base.files import read_json, read_npz, sha256_file
from moclip.data.lists import read_class_index, read_list
from moclip.data.manifest import Video, write_classes, write_manifest
from moclip.data.splits import Member, check_disjoint, hold_out, write_split
from moclip.data.ucf101 import group_of
from moclip.heads.registry import check_params
from moclip.params.presets.apply import apply_presets
from moclip.results.predictions import read_predictions
from moclip.store.features import read_features
from tests.support.imports import ROOT

FEATURES = ROOT.parent / "shared" / "data" / "clip_vitb32_ucf101_train_part.npz"
TEST_GROUPS = 4  # of about 18 that a class has in the train list


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, real_ucf101: Path) -> Path:
    """What `download` would leave, but for the videos' own bytes: these are not here, and no stage of this test asks.

    Groups 1-7 of split 1 are its test list and have no features here, so whole groups of the train list test instead.
    The figure is therefore not one of UCF101's split 1.
    """
    if not FEATURES.is_file():
        pytest.skip(f"needs the CLIP features {FEATURES.name} in ../shared/data, which are not here")
    lists = real_ucf101 / "ucfTrainTestlist"
    classes = read_class_index(lists / "classInd.txt")
    listed = read_list(lists / "trainlist01.txt", classes)
    given = read_npz(FEATURES, "video", "label")
    labels = {str(video): int(label) for video, label in zip(given["video"], given["label"], strict=True)}
    assert {video: listed[video] for video in labels} == {video: classes[label] for video, label in labels.items()}

    path = tmp_path_factory.mktemp("real")
    groups = {video: group_of(video, listed[video]) for video in labels}
    rows = {video: (label, groups[video]) for video, label in labels.items()}
    test = hold_out(rows, TEST_GROUPS, [0, 1])
    val = hold_out({video: row for video, row in rows.items() if video not in test}, 2, [0, 2])
    parts = {video: "test" if video in test else "val" if video in val else "train" for video in labels}
    members = [Member(video, label, parts[video], groups[video]) for video, label in labels.items()]
    check_disjoint("real features", members)
    write_split(path / "splits/split1.csv", members)
    write_classes(path / "classes.csv", classes)
    write_manifest(path / "manifest.csv", [absent(video, listed[video], groups[video]) for video in labels])
    write_params(path)
    return path


def absent(video: str, class_name: str, group: str) -> Video:
    """A row for a video that is not on this disk: what only its bytes could tell is left empty."""
    return Video(video, class_name, group, f"{class_name}/{video}.avi", 0, "", "", 0.0, 0, 0, 0)


def write_params(path: Path) -> None:
    (path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    preset = "# real features\nclip:\n  model: ViT-B-32-quickgelu\n  precomputed: features.npz\n"
    (path / "features.yaml").write_text(
        preset + "seeds:\n  heads: 1\nsplits: [1]\nfusion:\n  hidden: 512\n  epochs: 20\n  lr: 0.001\n"
    )
    apply_presets(["features"], path, path / "params.yaml", check_params)
    (path / "features.npz").symlink_to(FEATURES)


def stage(workplace: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"stages.{name}", *words]
    return subprocess.run(command, cwd=workplace, env=env, capture_output=True, text=True, timeout=900, check=False)


def finished(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stderr


LISTS = ("--manifest", "manifest.csv", "--classes", "classes.csv")
CLIP = ("--images", "images.npz", "--texts", "texts.npz", "--encoder", "encoder.json")
HEAD = ("--clip", "images.npz", "--encoder", "encoder.json")
SPLITS = ("--classes", "classes.csv", "--splits", "splits")


def fit(workplace: Path, head: str, *words: str) -> subprocess.CompletedProcess[str]:
    paths = ("--model", f"models/{head}", "--preds", f"preds/{head}", *words)
    return stage(workplace, "head", "--heads", head, *SPLITS, *HEAD, *paths)


@pytest.fixture(scope="module")
def cached(workplace: Path) -> Path:
    finished(stage(workplace, "clip_model", "--out", "clip"))
    finished(
        stage(workplace, "cache_clip", *LISTS, "--model", "clip", "--templates", "none", "--motion", "none", *CLIP)
    )
    return workplace


def test_real_features_train_a_probe_that_names_most_videos_of_unseen_groups(cached):
    meta = read_json(cached / "clip" / "meta.json")
    assert (meta["videos"], meta["dimensions"], meta["classes"]) == (4614, 512, 0)
    assert meta["precomputed"] == sha256_file(FEATURES)
    given = read_npz(FEATURES, "video", "feat")
    values = read_features(cached / "images.npz").of(given["video"].tolist())
    np.testing.assert_array_equal(values, given["feat"].astype(np.float32), strict=True)

    finished(fit(cached, "clip_probe"))
    finished(stage(cached, "evaluate", "--predictions", "preds/clip_probe", "--out", "results/clip_probe"))
    metrics = json.loads((cached / "results/clip_probe/split1_metrics.json").read_text())
    print(f"clip_probe on {metrics['n_test']} videos of unseen groups: top-1 {metrics['top1_pct']:.2f} %")  # noqa: T201
    assert metrics["n_test"] > 900
    assert metrics["top1_pct"] > 75


def test_linear_probe_on_them_names_most_videos_too(cached):
    finished(fit(cached, "linear_probe"))
    predictions = read_predictions(cached / "preds/linear_probe/split1.npz")
    top1_pct = 100 * (predictions.logits.argmax(axis=1) == predictions.labels).mean()
    chosen = read_json(cached / "preds/linear_probe/chosen.json")["split1"]
    print(f"linear_probe, C {chosen['c']:g}: top-1 {top1_pct:.2f} %")  # noqa: T201
    assert top1_pct > 75


def test_zero_shot_on_them_is_refused_for_what_they_lack(cached):
    done = fit(cached, "zero_shot", "--texts", "texts.npz")
    assert done.returncode == 1
    assert "error: zero_shot needs text features of the classes, and there are none, because" in done.stderr
    assert "clip.precomputed lacks the arrays 'class' and 'text'; add them, or take zero_shot out of" in done.stderr
