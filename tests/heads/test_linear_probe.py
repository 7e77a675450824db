import numpy as np
import pytest

from moclip.base.errors import DataError, StoreError
from moclip.base.files import read_json, read_npz
from moclip.data.splits import Member
from moclip.heads.fitted import Videos
from moclip.heads.linear_probe import LinearProbe, fit
from moclip.params.heads.linear_probe import LinearProbeParams
from moclip.store.features import Features
from tests.support.streams import split_of

PART_OF = {0: "test", 1: "val"}
MEMBERS = [Member(f"v{i:03d}", i % 4, PART_OF.get((i // 4) % 5, "train"), f"g{i}") for i in range(160)]
PARAMS = LinearProbeParams(c_values=[0.001, 0.1, 10.0], refit="train")
SEED = (0, "linear_probe", 1)


def features() -> Features:
    """Four directions with noise; the length of a feature says nothing."""
    random = np.random.default_rng(0)
    labels = np.array([member.label for member in MEMBERS])
    values = (np.eye(8)[labels] + random.normal(0, 0.25, (len(labels), 8))) * random.uniform(0.1, 100, (len(labels), 1))
    return Features("CLIP", np.array([member.id for member in MEMBERS]), values.astype(np.float32))


def fitted(
    given: Features | None = None, members: list[Member] = MEMBERS, params: LinearProbeParams = PARAMS
) -> LinearProbe:
    return fit(Videos(split_of(members), {"clip": given or features()}), params, SEED)


def of_part(part: str) -> tuple[list[str], np.ndarray]:
    own = [member for member in MEMBERS if member.part == part]
    return [member.id for member in own], np.array([member.label for member in own])


def test_separable_classes_are_recovered_whatever_the_lengths():
    probe = fitted()
    ids, labels = of_part("test")
    logs = probe.logits({"clip": features().of(ids)})
    assert (logs.argmax(axis=1) == labels).mean() > 0.9
    np.testing.assert_allclose(probe.logits({"clip": features().of(ids) * 7}), logs, atol=1e-5)


def test_test_part_is_not_looked_at(tmp_path):
    given = features()
    ids = of_part("test")[0]
    changed = Features("CLIP", given.ids, np.where(np.isin(given.ids, ids)[:, None], 9, given.values))
    for name, stream in (("a", given), ("b", changed)):
        fitted(stream).save(tmp_path / name)
    assert (tmp_path / "a/model.npz").read_bytes() == (tmp_path / "b/model.npz").read_bytes()


def test_saved_files_hold_all_that_a_prediction_takes(tmp_path):
    probe = fitted()
    probe.save(tmp_path / "probe")
    ids, _ = of_part("test")
    a = read_npz(tmp_path / "probe/model.npz", "weights", "offsets", "mean", "scale")
    x = features().of(ids).astype(np.float64)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True) - a["mean"]) / a["scale"]
    scores = x @ a["weights"].T + a["offsets"]
    np.testing.assert_array_equal(scores.argmax(axis=1), probe.logits({"clip": features().of(ids)}).argmax(axis=1))
    assert read_json(tmp_path / "probe/config.json")["c"] in PARAMS.c_values


def test_missing_feature_is_named():
    given = features()
    with pytest.raises(StoreError, match=r"CLIP: lacks 1 of .* first v159"):
        fitted(Features("CLIP", given.ids[:-1], given.values[:-1]))


@pytest.mark.parametrize("refit", ["train", "train_val"])
def test_without_a_val_part_one_c_needs_no_choice_and_several_are_refused(refit):
    members = [member for member in MEMBERS if member.part != "val"]
    one = LinearProbeParams(c_values=[0.1], refit=refit)
    probe = fitted(members=members, params=one)
    ids, labels = of_part("test")
    assert (probe.logits({"clip": features().of(ids)}).argmax(axis=1) == labels).mean() > 0.9
    with pytest.raises(DataError, match="c_values names several values to choose from, and this split has no val"):
        fitted(members=members)
    assert probe.logits({"clip": features().of([])}).shape == (0, 4)


def test_without_a_train_part_nothing_can_be_fitted():
    with pytest.raises(DataError, match="fewer than two classes; nothing can be fitted"):
        fitted(members=[member for member in MEMBERS if member.part != "train"])
