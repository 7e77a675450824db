"""The streams that a stage hands to heads, from the files that dvc.yaml names."""

from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import StoreError
from moclip.base.files import write_json
from moclip.data.manifest import write_classes
from moclip.data.splits import Member, write_split
from moclip.heads.fitted import Account
from moclip.results.predictions import Predictions
from moclip.store.features import write_features
from stages._predictions import write_account
from stages._predictions import write_split as write_predictions_of_split
from stages._streams import Sources, sources_of

CLASSES = ["Run", "Jump", "Still"]
MEMBERS = [Member(f"v{i}", i % 3, ("train", "val", "test")[i // 3], f"g{i}") for i in range(9)]
FACTS = {"logit_scale": 50.0, "frame": "middle", "model": "demo", "parameters": 10, "frame_macs": 1000}
IDS = [member.id for member in MEMBERS]


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    write_classes(tmp_path / "classes.csv", CLASSES)
    write_split(tmp_path / "splits/split1.csv", MEMBERS)
    write_features(tmp_path / "images.npz", IDS[::-1], np.arange(9.0)[::-1, None])
    write_features(tmp_path / "texts.npz", CLASSES[::-1], np.arange(3.0)[::-1, None])
    write_json(tmp_path / "encoder.json", FACTS)
    return Sources(*(tmp_path / name for name in ("classes.csv", "splits", "images.npz", "texts.npz", "encoder.json")))


def predict(
    folder: Path, *, classes: list[str] = CLASSES, labels: dict[str, int] | None = None, without: str = ""
) -> Path:
    """Predictions of a head, whose logits are the video's number."""

    def part(name: str) -> Predictions:
        own = [member for member in MEMBERS if member.part == name and member.id != without]
        return Predictions(
            np.array([member.id for member in own], dtype=np.str_),
            np.array([(labels or {}).get(member.id, member.label) for member in own], np.int64),
            np.array([[float(member.id[1:])] * 3 for member in own], np.float32).reshape(len(own), 3),
            np.array(classes),
            np.array([member.group for member in own], dtype=np.str_),
        )

    write_predictions_of_split(folder, 1, part("test"), part("val"), [])
    return folder


def test_features_and_texts_come_by_name_whatever_their_order(sources: Sources) -> None:
    videos = sources.videos(1)
    assert videos.split.part("val").ids == ["v3", "v4", "v5"]
    assert videos.inputs("val")["clip"].ravel().tolist() == [3.0, 4.0, 5.0]
    assert videos.texts is not None
    assert (videos.texts.features.ravel().tolist(), videos.texts.logit_scale) == ([0.0, 1.0, 2.0], 50.0)


def test_a_file_without_texts_is_a_clip_without_texts(sources: Sources, tmp_path: Path) -> None:
    """As `cache_clip` writes it for precomputed image features alone; `zero_shot` then says what it lacks."""
    write_features(tmp_path / "texts.npz", [], np.zeros((0, 8), np.float32))
    assert sources.videos(1).texts is None


def test_logits_of_another_head_are_a_stream_of_what_is_held_out(sources: Sources, tmp_path: Path) -> None:
    given = sources_of({"classes": sources.classes, "splits": sources.splits, "motion_predictions": predict(tmp_path)})
    assert given.clip is None
    motion = given.videos(1).streams["motion"]
    assert motion.of(["v8", "v3"]).tolist() == [[8.0] * 3, [3.0] * 3]
    with pytest.raises(StoreError, match=r"logits of .*, split 1: lacks 1 of 1 videos, first v0"):
        motion.of(["v0"])


def test_predictions_of_other_videos_labels_or_classes_are_refused(sources: Sources, tmp_path: Path) -> None:
    def refusal(**changes: object) -> str:
        given = Sources(sources.classes, sources.splits, clip_predictions=predict(tmp_path / "preds", **changes))
        with pytest.raises(StoreError) as caught:
            given.videos(1).inputs("test")
        return str(caught.value)

    assert "split 1: has other classes than the data set; run the stage that" in refusal(classes=CLASSES[::-1])
    assert "differs from the split in videos or labels, first at v7; run the stage" in refusal(labels={"v7": 0})
    assert "lacks 1 of 3 videos, first v6" in refusal(without="v6")


def test_account_of_a_stream_is_that_of_the_networks_behind_it(sources: Sources, tmp_path: Path) -> None:
    motion = {"arch": "small", "parameters": 20, "field": [4, 6], "input_macs": 30, "inputs": 8}
    write_json(tmp_path / "features/split1.json", motion)
    head = predict(tmp_path / "preds")
    given = Sources(
        sources.classes, sources.splits, encoder=sources.encoder, motion=tmp_path / "features", clip_predictions=head
    )
    accounts = given.accounts(1)
    assert accounts == {"clip": None, "motion": Account.of_motion(motion)}, "a head whose cost nobody knows"
    write_account(head, Account(5, 5, 1005, {}))
    assert given.accounts(1)["clip"] == Account(5, 5, 1005, {})
    assert sources.accounts(1) == {"clip": Account.of_clip({"model": "demo", "parameters": 10, "frame_macs": 1000})}
    write_json(tmp_path / "encoder.json", {**FACTS, "parameters": None, "frame_macs": None})
    assert sources.accounts(1) == {"clip": None}, "features that were brought from a network that nobody knows"
