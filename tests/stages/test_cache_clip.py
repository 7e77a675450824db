"""The class order of the paper's code: texts by sorted folder names, labels by the class index."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.base.files import write_json
from moclip.data.lists import read_class_index
from moclip.data.manifest import Video, write_classes, write_manifest
from moclip.data.splits import Member, write_split
from moclip.results.predictions import read_predictions
from stages import _entry, cache_clip, clip_model, head
from tests.support.imports import ROOT

SWAPPED = ["Hammering", "HammerThrow", "JumpingJack", "JumpRope"]
CLASSES = ["Archery", *SWAPPED, "YoYo"]  # in the order of UCF101's index
LISTS = {"manifest": "manifest.csv", "classes": "classes.csv"}
FILES = {"images": "images.npz", "texts": "texts.npz", "encoder": "encoder.json"}
ZERO_SHOT = {"heads": "zero_shot", "clip": "images.npz", "texts": "texts.npz", "encoder": "encoder.json"}


def stage(monkeypatch: pytest.MonkeyPatch, module: Any, **options: str) -> None:
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    monkeypatch.setattr(sys, "argv", ["stage", *words])
    module.main()


def predicted(folder: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> list[str]:
    """What zero-shot calls one video of each class, whose image feature is the text feature of its class."""
    clip = {"model": "ViT-B-32", "precomputed": "features.npz", "text_order": order}
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    write_json(folder / "params.yaml", params | {"splits": [1], "clip": params["clip"] | clip})
    _entry.all_params.cache_clear()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    features = np.eye(len(CLASSES), dtype=np.float32)
    ids = [f"v_{name}_g01_c01" for name in CLASSES]
    np.savez("features.npz", **{"video": ids, "feat": features, "class": CLASSES, "text": features})
    write_manifest(
        Path("manifest.csv"),
        [Video(id_, name, f"{name}_g01", "", 0, "", "", 0.0, 0, 0, 0) for id_, name in zip(ids, CLASSES, strict=True)],
    )
    write_classes(Path("classes.csv"), CLASSES)
    write_split(Path("splits/split1.csv"), [Member(id_, label, "test", id_) for label, id_ in enumerate(ids)])
    stage(monkeypatch, clip_model, out="clip")
    stage(monkeypatch, cache_clip, **LISTS, **FILES, model="clip", motion="none", templates="none")
    stage(monkeypatch, head, classes="classes.csv", splits="splits", **ZERO_SHOT, model="model", preds="preds")
    predictions = read_predictions(Path("preds/split1.npz"))
    order_of = np.argsort(predictions.labels)
    return [CLASSES[k] for k in predictions.logits.argmax(axis=1)[order_of]]


def test_texts_in_index_order_meet_their_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert predicted(tmp_path, monkeypatch, "index") == CLASSES


def test_texts_in_folder_order_swap_two_pairs_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = ["Archery", "HammerThrow", "Hammering", "JumpRope", "JumpingJack", "YoYo"]
    assert predicted(tmp_path, monkeypatch, "folders") == swapped


def test_the_two_orders_of_ucf101_differ_in_four_classes(real_ucf101: Path) -> None:
    index = read_class_index(real_ucf101 / "ucfTrainTestlist" / "classInd.txt")
    differing = [name for name, other in zip(index, sorted(index), strict=True) if name != other]
    assert differing == SWAPPED
