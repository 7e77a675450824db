from typing import Any

import numpy as np
import pytest
import torch

from moclip.base.errors import DataError, StoreError
from moclip.heads.fitted import Videos
from moclip.heads.train import Examples, Mlp, Source, fit_mlp, read_examples
from moclip.store.features import Features
from moclip.training.history import optimism_points
from tests.support.streams import MEMBERS, SEED, accuracy, params, two_streams, videos


def fitted(given: Videos | None = None, classes: int = 4, **changes: Any) -> Mlp:
    given = given or videos()
    return fit_mlp(Source(read_examples(given, *given.streams)), classes, params(**changes), SEED)


def test_examples_join_streams_by_id_not_by_row():
    streams = two_streams()
    shuffled = Features("s", streams["motion"].ids[::-1], streams["motion"].values[::-1])
    parts = read_examples(videos({"motion": shuffled, "clip": streams["clip"]}), "clip", "motion")
    straight = read_examples(videos(streams), "clip", "motion")
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
        read_examples(videos({**streams, "motion": short}), "clip", "motion")


def test_two_streams_tell_what_neither_tells_alone():
    streams = two_streams()
    assert accuracy(fitted(epochs=40), videos()) > 0.9
    for name, stream in streams.items():
        alone = videos({name: stream})
        assert accuracy(fitted(alone, epochs=40), alone) <= 0.7


@pytest.mark.parametrize(
    "changes",
    [{"combine": "gated"}, {"normalisation": "none"}, {"normalisation": "standard"}, {"normalisation": "unit"}],
)
def test_every_variant_with_a_hidden_layer_learns_it_too(changes):
    assert accuracy(fitted(epochs=40, **changes), videos()) > 0.9


def test_linear_head_learns_what_adds_up():
    """Each class is a sum of one bit a stream: no hidden layer is needed for that."""
    assert accuracy(fitted(epochs=40, hidden=0), videos()) > 0.9


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    parts = read_examples(videos(), "clip", "motion")
    for name, seed in (("a", SEED), ("b", SEED), ("c", (1, "fusion", 1)), ("d", (0, "fusion", 2))):
        fit_mlp(Source(parts), 4, params(), seed).save(tmp_path / name)
    a, b, c, d = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abcd")
    assert a == b
    assert len({a, c, d}) == 3


def test_test_part_is_not_looked_at(tmp_path):
    parts = read_examples(videos(), "clip", "motion")
    test = parts["test"]
    foreign = Examples(test.ids, test.inputs * 1e6 + 5, (test.labels + 1) % 4, test.widths)
    for name, part in (("a", test), ("b", foreign)):
        fit_mlp(Source({**parts, "test": part}), 4, params(), SEED).save(tmp_path / name)
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_selection_on_test_looks_at_the_test_part_and_records_both(caplog):
    chosen_on_test = fitted(select="test")
    assert "SELECT: TEST" in caplog.text
    honest = fitted(select="val")
    history = chosen_on_test.history
    assert [epoch["val_top1_pct"] for epoch in history] == [epoch["val_top1_pct"] for epoch in honest.history]
    best = max(epoch["test_top1_pct"] for epoch in history)
    assert 100 * accuracy(chosen_on_test, videos()) == pytest.approx(best)
    assert optimism_points(history) == pytest.approx(best - 100 * accuracy(honest, videos()))


def test_constant_schedule_keeps_the_rate_and_a_cycle_does_not():
    rates = {}
    for schedule in ("constant", "one_cycle"):
        rates[schedule] = [epoch.lr for epoch in fitted(schedule=schedule, epochs=4).history]
    assert rates["constant"] == [0.01] * 4
    assert max(rates["one_cycle"]) <= 0.01
    assert len(set(rates["one_cycle"])) == 4


def test_validation_selects_but_does_not_fit_inputs():
    head = fitted(epochs=1, normalisation="standard").head
    train = read_examples(videos(), "clip", "motion")["train"]
    torch.testing.assert_close(head.mean, train.inputs.mean(dim=0))


def test_head_has_one_output_per_class_of_the_index_even_without_videos():
    found = fitted(classes=7, epochs=2)
    assert found.head.config() == {
        "inputs": {"clip": 4, "motion": 5},
        "hidden": 16,
        "classes": 7,
        "normalisation": "unit_standard",
        "combine": "concat",
    }
    assert len(found.history) == 2


def test_logits_are_those_of_evaluation():
    found = fitted(epochs=1)
    found.head.train()
    first = found.logits(videos().inputs("test"))
    np.testing.assert_array_equal(first, found.logits(videos().inputs("test")))
    assert first.dtype == np.float32


def test_empty_train_part_and_missing_validation_are_refused():
    tested = videos(members=[member for member in MEMBERS if member.part == "test"])
    with pytest.raises(DataError, match="train part of this split has no video"):
        fitted(tested)
    unvalidated = videos(members=[member for member in MEMBERS if member.part != "val"])
    with pytest.raises(DataError, match="needs a validation part"):
        fitted(unvalidated)
    assert len(fitted(unvalidated, epochs=2, select="last").history) == 2
