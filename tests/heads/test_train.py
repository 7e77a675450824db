from typing import Any

import numpy as np
import pytest
import torch

from moclip.base.errors import DataError, StoreError
from moclip.data.splits import Member
from moclip.heads.train import Part, dealt_out_anew, head_logits, read_parts, streams_of, train_head
from moclip.params.heads.fusion import HeadParams
from moclip.store.features import Features
from moclip.training.history import optimism_points
from moclip.training.weights import save_model

SEED = (0, "fusion", 1)
PARAMS = {
    "inputs": "both",
    "normalisation": "unit_standard",
    "combine": "concat",
    "hidden": 16,
    "dropout": 0.5,
    "epochs": 15,
    "lr": 0.01,
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "batch_videos": 16,
    "select": "val",
    "views": 0,
    "online": False,
    "backbone_statistics": "frozen",
}
PART_OF = {0: "test", 1: "val"}
MEMBERS = [Member(f"v{i:02d}", i % 4, PART_OF.get((i // 4) % 5, "train"), f"g{i}") for i in range(80)]


def params(**changes: Any) -> HeadParams:
    return HeadParams(**{**PARAMS, **changes})


def two_streams(members: list[Member] = MEMBERS) -> dict[str, Features]:
    """Labels 0-3 as two bits, one bit a stream: neither stream alone tells more than two classes apart."""
    rng, ids = np.random.default_rng(0), np.array([member.id for member in members])
    streams = {}
    for bit, name in enumerate(("clip", "motion")):
        sign = np.array([1.0 - 2 * ((member.label >> bit) & 1) for member in members])
        values = rng.normal(0, 0.5, (len(ids), 4 + bit)) + sign[:, None]
        streams[name] = Features(name, ids, values.astype(np.float32))
    return streams


def accuracy(streams: dict[str, Features], **changes: Any) -> float:
    parts = read_parts(streams, MEMBERS)
    head, _ = train_head(parts, 4, params(epochs=40, **changes), SEED)
    return float((head_logits(head, parts["test"].inputs).argmax(axis=1) == parts["test"].labels.numpy()).mean())


def test_parts_join_streams_by_id_not_by_row():
    streams = two_streams()
    shuffled = Features("s", streams["motion"].ids[::-1], streams["motion"].values[::-1])
    parts = read_parts({"motion": shuffled, "clip": streams["clip"]}, MEMBERS)
    straight = read_parts(streams, MEMBERS)
    for name in ("train", "val", "test"):
        members = [member for member in MEMBERS if member.part == name]
        assert parts[name].ids == [member.id for member in members]
        assert parts[name].labels.tolist() == [member.label for member in members]
        assert torch.equal(parts[name].inputs, straight[name].inputs)
    assert [len(parts[name].ids) for name in ("train", "val", "test")] == [48, 16, 16]
    assert parts["test"].inputs.shape == (16, 9)
    assert parts["test"].widths == {"clip": 4, "motion": 5}


def test_stream_that_lacks_a_video_is_an_error():
    streams = two_streams()
    short = Features("motion features", streams["motion"].ids[:-3], streams["motion"].values[:-3])
    with pytest.raises(StoreError, match=r"motion features: lacks 3 of 48 videos, first v77"):
        read_parts({**streams, "motion": short}, MEMBERS)


def test_fusion_of_two_streams_knows_what_neither_does_alone():
    streams = two_streams()
    assert accuracy(streams) > 0.9
    for name, stream in streams.items():
        assert accuracy({name: stream}) <= 0.7


@pytest.mark.parametrize(
    "changes",
    [{"combine": "gated"}, {"normalisation": "none"}, {"normalisation": "standard"}, {"normalisation": "unit"}],
)
def test_every_variant_with_a_hidden_layer_learns_it_too(changes):
    assert accuracy(two_streams(), **changes) > 0.9


def test_linear_head_learns_what_adds_up():
    """Each class is a sum of one bit a stream: no hidden layer is needed for that."""
    assert accuracy(two_streams(), hidden=0) > 0.9


def of_head(head: str, inputs: str = "both") -> dict[str, Features]:
    cached = two_streams() if head != "clip_probe" else {"clip": two_streams()["clip"]}
    return streams_of(head, cached, inputs, MEMBERS, (0, 1))


def test_foreign_motion_is_worth_nothing_and_costs_little():
    """Motion carries half of the class: dealt out anew, what is left is what CLIP alone gives, at equal size."""
    clip_alone = accuracy(of_head("clip_probe"))
    assert accuracy(of_head("fusion")) > clip_alone + 0.25
    assert accuracy(of_head("motion_permuted")) == pytest.approx(clip_alone, abs=0.2)


@pytest.mark.parametrize(
    ("inputs", "names"), [("both", ["clip", "motion"]), ("clip", ["clip"]), ("motion", ["motion"])]
)
def test_inputs_are_those_of_fusion_and_its_controls_keep_theirs(inputs, names):
    assert list(of_head("fusion", inputs)) == names
    assert list(of_head("motion_permuted", inputs)) == ["clip", "motion"]
    assert list(of_head("clip_probe", inputs)) == ["clip"]


def test_motion_is_dealt_out_within_each_part():
    motion = two_streams()["motion"]
    dealt = dealt_out_anew(motion, MEMBERS, (0, 1))
    for part in ("train", "val", "test"):
        ids = [member.id for member in MEMBERS if member.part == part]
        before, after = motion.of(ids), dealt.of(ids)
        assert sorted(before.tolist()) == sorted(after.tolist()), "each feature goes to one video of its part"
        assert (before != after).any(axis=1).mean() > 0.8, "hardly any stays where it was"
    again, other = dealt_out_anew(motion, MEMBERS, (0, 1)), dealt_out_anew(motion, MEMBERS, (0, 2))
    ids = [member.id for member in MEMBERS]
    np.testing.assert_array_equal(again.of(ids), dealt.of(ids))
    assert (other.of(ids) != dealt.of(ids)).any()


def test_motion_that_lacks_a_video_cannot_be_dealt_out():
    motion = two_streams()["motion"]
    short = Features("motion features", motion.ids[1:], motion.values[1:])
    with pytest.raises(StoreError, match="motion features: lacks 1 of 16 videos, first v00"):
        dealt_out_anew(short, MEMBERS, (0, 1))


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
    foreign = Part(test.ids, test.inputs * 1e6 + 5, (test.labels + 1) % 4, test.widths)
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


def test_constant_schedule_keeps_the_rate_and_a_cycle_does_not():
    parts = read_parts(two_streams(), MEMBERS)
    rates = {}
    for schedule in ("constant", "one_cycle"):
        _, history = train_head(parts, 4, params(schedule=schedule, epochs=4), SEED)
        rates[schedule] = [epoch.lr for epoch in history]
    assert rates["constant"] == [0.01] * 4
    assert max(rates["one_cycle"]) <= 0.01
    assert len(set(rates["one_cycle"])) == 4


def test_validation_selects_but_does_not_fit_inputs():
    parts = read_parts(two_streams(), MEMBERS)
    head, _ = train_head(parts, 4, params(epochs=1, normalisation="standard"), SEED)
    torch.testing.assert_close(head.mean, parts["train"].inputs.mean(dim=0))


def test_head_has_one_output_per_class_of_the_index_even_without_videos():
    head, history = train_head(read_parts(two_streams(), MEMBERS), 7, params(epochs=2), SEED)
    assert head.config() == {
        "inputs": {"clip": 4, "motion": 5},
        "hidden": 16,
        "classes": 7,
        "normalisation": "unit_standard",
        "combine": "concat",
    }
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
