import numpy as np
import pytest

from moclip.base.errors import StoreError
from moclip.base.files import write_npz
from moclip.store.features import Features, read_features, write_features

IDS = ["a", "b", "c"]
VALUES = np.arange(6).reshape(3, 2)


def test_round_trip_gives_rows_in_the_order_asked_for(tmp_path):
    write_features(tmp_path / "f.npz", IDS, VALUES)
    features = read_features(tmp_path / "f.npz")
    np.testing.assert_array_equal(
        features.of(["c", "a", "c"]), np.array([[4, 5], [0, 1], [4, 5]], np.float32), strict=True
    )
    assert features.of([]).shape == (0, 2)


def test_gap_is_counted_and_its_first_id_named(tmp_path):
    write_features(tmp_path / "f.npz", IDS, VALUES)
    with pytest.raises(StoreError, match=r"f\.npz: lacks 2 of 3 videos, first x; run the stage"):
        read_features(tmp_path / "f.npz").of(["a", "x", "y"])


@pytest.mark.parametrize(
    ("ids", "values", "message"),
    [
        (["a", "b", "a"], VALUES, "an id stands twice"),
        (["a", "b"], VALUES, r"2 ids for values of \(3, 2\)"),
        (IDS, np.arange(3), r"3 ids for values of \(3,\)"),
        (IDS, np.array([[0, 1], [np.nan, 0], [0, 0]]), "the feature of b is not finite"),
        (IDS, np.array([[0, 1], [0, 0], [0, np.inf]]), "the feature of c is not finite"),
    ],
)
def test_features_that_break_a_rule_are_neither_written_nor_read(tmp_path, ids, values, message):
    with pytest.raises(StoreError, match=rf"f\.npz: {message}"):
        write_features(tmp_path / "f.npz", ids, values)
    assert list(tmp_path.iterdir()) == []
    write_npz(tmp_path / "f.npz", ids=np.array(ids), values=values)
    with pytest.raises(StoreError, match=rf"f\.npz: {message}"):
        read_features(tmp_path / "f.npz")


def test_value_beyond_single_precision_is_refused(tmp_path):
    with pytest.raises(StoreError, match="the feature of b is not finite"), np.errstate(over="ignore"):
        write_features(tmp_path / "f.npz", ["a", "b"], np.array([[1.0], [1e300]]))


def test_foreign_archive_is_refused(tmp_path):
    write_npz(tmp_path / "f.npz", ids=np.array(IDS), logits=VALUES)
    with pytest.raises(StoreError, match="lacks the array 'values'"):
        read_features(tmp_path / "f.npz")


def test_features_do_not_change_after_they_were_checked():
    features = Features("f", np.array(IDS), VALUES.astype(np.float32))
    features.of(["a"])[0] = 9
    np.testing.assert_array_equal(features.of(["a"]), [[0, 1]])
