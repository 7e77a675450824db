from typing import Any

import numpy as np
import pytest
import torch

from moclip.errors import DataError, StoreError
from moclip.features import Features
from moclip.head_training import Part, head_logits, read_parts, train_head
from moclip.history import optimism_points
from moclip.models.store import save_model
from moclip.schema.training import HeadParams
from moclip.splits import Member

SEED = (0, "fusion", 1)
PARAMS = {
    "hidden": 16,
    "dropout": 0.5,
    "epochs": 15,
    "lr": 0.01,
    "weight_decay": 0.01,
    "batch_videos": 16,
    "select": "val",
}
PART_OF = {0: "test", 1: "val"}
MEMBERS = [Member(f"v{i:02d}", i % 4, PART_OF.get((i // 4) % 5, "train")) for i in range(80)]


def params(**changes: Any) -> HeadParams:
    return HeadParams(**{**PARAMS, **changes})


def two_streams(members: list[Member] = MEMBERS) -> list[Features]:
    """Labels 0-3 as two bits, one bit a stream: neither stream alone tells more than two classes apart."""
    rng, ids = np.random.default_rng(0), np.array([member.id for member in members])
    streams = []
    for bit in (0, 1):
        sign = np.array([1.0 - 2 * ((member.label >> bit) & 1) for member in members])
        values = rng.normal(0, 0.5, (len(ids), 4 + bit)) + sign[:, None]
        streams.append(Features(f"stream{bit}", ids, values.astype(np.float32)))
    return streams


def accuracy(streams: list[Features]) -> float:
    parts = read_parts(streams, MEMBERS)
    head, _ = train_head(parts, 4, params(epochs=40), SEED)
    return float((head_logits(head, parts["test"].inputs).argmax(axis=1) == parts["test"].labels.numpy()).mean())


def test_parts_join_streams_by_id_not_by_row():
    streams = two_streams()
    shuffled = Features("s", streams[1].ids[::-1], streams[1].values[::-1])
    parts = read_parts([streams[0], shuffled], MEMBERS)
    straight = read_parts(streams, MEMBERS)
    for name in ("train", "val", "test"):
        members = [member for member in MEMBERS if member.part == name]
        assert parts[name].ids == [member.id for member in members]
        assert parts[name].labels.tolist() == [member.label for member in members]
        assert torch.equal(parts[name].inputs, straight[name].inputs)
    assert [len(parts[name].ids) for name in ("train", "val", "test")] == [48, 16, 16]
    assert parts["test"].inputs.shape == (16, 9)


def test_stream_that_lacks_a_video_is_an_error():
    streams = two_streams()
    short = Features("motion features", streams[1].ids[:-3], streams[1].values[:-3])
    with pytest.raises(StoreError, match=r"motion features: lacks 3 of 48 videos, first v77"):
        read_parts([streams[0], short], MEMBERS)


def test_fusion_of_two_streams_knows_what_neither_does_alone():
    streams = two_streams()
    assert accuracy(streams) > 0.9
    assert accuracy(streams[:1]) <= 0.7
    assert accuracy(streams[1:]) <= 0.7


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    parts = read_parts(two_streams(), MEMBERS)
    for name, seed in (("a", SEED), ("b", SEED), ("c", (1, "fusion", 1)), ("d", (0, "fusion", 2))):
        head, _ = train_head(parts, 4, params(), seed)
        save_model(tmp_path / name, head, head.config())
    a, b, c, d = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


def test_test_part_is_not_looked_at(tmp_path):
    parts = read_parts(two_streams(), MEMBERS)
    test = parts["test"]
    foreign = Part(test.ids, test.inputs * 1e6 + 5, (test.labels + 1) % 4)
    for name, part in (("a", test), ("b", foreign)):
        head, _ = train_head({**parts, "test": part}, 4, params(), SEED)
        save_model(tmp_path / name, head, head.config())
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_selection_on_test_looks_at_the_test_part_and_records_both(caplog):
    parts = read_parts(two_streams(), MEMBERS)
    _, history = train_head(parts, 4, params(select="test"), SEED)
    assert "SELECT: TEST" in caplog.text
    honest, plain = train_head(parts, 4, params(select="val"), SEED)
    assert [epoch.val_top1_pct for epoch in history] == [epoch.val_top1_pct for epoch in plain]
    best = max(history, key=lambda epoch: epoch.test_top1_pct)
    head, _ = train_head(parts, 4, params(select="test"), SEED)
    hits = head_logits(head, parts["test"].inputs).argmax(axis=1) == parts["test"].labels.numpy()
    assert 100 * hits.mean() == pytest.approx(best.test_top1_pct)
    of_honest = 100 * (head_logits(honest, parts["test"].inputs).argmax(axis=1) == parts["test"].labels.numpy()).mean()
    assert optimism_points(history) == pytest.approx(best.test_top1_pct - of_honest)


def test_validation_selects_but_does_not_fit_inputs():
    parts = read_parts(two_streams(), MEMBERS)
    head, _ = train_head(parts, 4, params(epochs=1), SEED)
    torch.testing.assert_close(head.mean, parts["train"].inputs.mean(dim=0))


def test_head_has_one_output_per_class_of_the_index_even_without_videos():
    head, history = train_head(read_parts(two_streams(), MEMBERS), 7, params(epochs=2), SEED)
    assert head.config() == {"inputs": 9, "hidden": 16, "classes": 7}
    assert len(history) == 2


def test_logits_are_those_of_evaluation():
    parts = read_parts(two_streams(), MEMBERS)
    head, _ = train_head(parts, 4, params(epochs=1), SEED)
    head.train()
    first = head_logits(head, parts["test"].inputs)
    np.testing.assert_array_equal(first, head_logits(head, parts["test"].inputs))
    assert first.dtype == np.float32


def test_empty_train_part_and_missing_validation_are_refused():
    parts = read_parts(two_streams(), [member for member in MEMBERS if member.part == "test"])
    with pytest.raises(DataError, match="train part of this split has no video"):
        train_head(parts, 4, params(), SEED)
    parts = read_parts(two_streams(), [member for member in MEMBERS if member.part != "val"])
    with pytest.raises(DataError, match="needs a validation part"):
        train_head(parts, 4, params(), SEED)
    _, history = train_head(parts, 4, params(epochs=2, select="last"), SEED)
    assert len(history) == 2
