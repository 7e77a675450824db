"""Features that somebody already has, checked once and then taken as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moclip.base.errors import DataError, StoreError
from moclip.base.files import read_json, sha256_file, write_json
from moclip.clip.precomputed import IMAGES, META, load_precomputed, read_precomputed, save_precomputed

IDS = [f"v_A_g0{i}_c01" for i in range(1, 6)]
FEAT = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float16)
TEXTS = {"class": np.array(["A", "B"]), "text": 3 * np.eye(2, 8, dtype=np.float32)}


def write(path: Path, **changed: Any) -> Path:
    """A good file, with arrays replaced; None leaves one out."""
    arrays = {"video": np.array(IDS), "feat": FEAT, **changed}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_features_are_taken_bit_by_bit_in_the_order_asked_for(tmp_path):
    found = read_precomputed(write(tmp_path / "f.npz", label=np.zeros(5), source=np.array(["x"] * 5)))
    np.testing.assert_array_equal(found.images_of(IDS[::-1]), FEAT[::-1].astype(np.float32), strict=True)
    assert found.texts_of(["A", "B"]).shape == (0, 8)
    assert found.logit_scale == 100


def test_text_features_become_unit_vectors_in_class_order(tmp_path):
    found = read_precomputed(write(tmp_path / "f.npz", **TEXTS, logit_scale=np.array(50.0)))
    np.testing.assert_allclose(found.texts_of(["B", "A"]), np.eye(2, 8)[::-1])
    assert found.logit_scale == 50


def test_missing_videos_and_classes_are_counted_and_the_first_is_named(tmp_path):
    found = read_precomputed(write(tmp_path / "f.npz", **TEXTS))
    with pytest.raises(DataError, match=r"no feature of 2 of the 3 videos of the manifest, first v_Z; add them"):
        found.images_of(["v_Z", IDS[0], "v_Y"])
    with pytest.raises(DataError, match=r"no feature of 1 of the 2 classes, first C;"):
        found.texts_of(["A", "C"])


def with_value(index: int, value: float) -> np.ndarray:
    changed = FEAT.copy()
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"feat": None}, r"lacks the array 'feat' \(has \['video'\]\)"),
        ({"video": np.array(IDS[:4])}, r"4 ids for values of \(5, 8\)"),
        ({"video": np.array([*IDS[:4], IDS[0]])}, "an id stands twice"),
        ({"video": np.arange(5)}, "'video' must be a list of text and 'feat' a table of floats"),
        ({"feat": np.ones((5, 8), np.int64)}, "'video' must be a list of text and 'feat' a table of floats"),
        ({"feat": with_value(2, np.nan)}, "the feature of v_A_g03_c01 is not finite"),
        ({"feat": with_value(3, 0)}, "1 rows of 'feat' are all zeros, first v_A_g04_c01; leave gaps out"),
        ({"video": np.array(IDS, dtype=object)}, "cannot be read as npz .*allow_pickle=False"),
        ({"class": TEXTS["class"]}, "lacks the array 'text'; 'class' and 'text' come together"),
        ({**TEXTS, "text": np.eye(2, 4)}, "'feat' has 8 columns and 'text' 4; must be equal"),
        ({"logit_scale": np.array(np.nan)}, "'logit_scale' must be one positive number, is nan"),
        ({"logit_scale": np.ones(2)}, "'logit_scale' must be one positive number"),
    ],
)
def test_file_that_breaks_a_rule_is_refused_and_nothing_written(tmp_path, changed, message):
    source = write(tmp_path / "f.npz", **changed)
    with pytest.raises(StoreError, match=message):
        save_precomputed(tmp_path / "out", source, {})
    assert not (tmp_path / "out").exists()


def test_directory_records_the_file_and_stands_for_it_from_then_on(tmp_path):
    source = write(tmp_path / "f.npz", **TEXTS)
    save_precomputed(tmp_path / "out", source, {"model": "ViT-B-32-quickgelu"})
    before = read_json(tmp_path / "out" / META)
    assert before == {
        "model": "ViT-B-32-quickgelu",
        "precomputed": sha256_file(source),
        "videos": 5,
        "classes": 2,
        "dimensions": 8,
        "logit_scale": 100.0,
    }
    write(source, feat=FEAT + np.float16(1))  # another file under the same name: read when the stage runs again
    kept = load_precomputed(tmp_path / "out")
    np.testing.assert_array_equal(kept.images_of(IDS), FEAT.astype(np.float32))
    save_precomputed(tmp_path / "out", source, {"model": "ViT-B-32-quickgelu"})
    assert read_json(tmp_path / "out" / META)["precomputed"] != before["precomputed"]


def test_directory_with_a_model_or_a_torn_file_is_refused(tmp_path):
    write_json(tmp_path / META, {"model": "demo", "sha256": "0"})
    with pytest.raises(StoreError, match="holds no precomputed features; run the stage clip_model again"):
        load_precomputed(tmp_path)
    save_precomputed(tmp_path / "out", write(tmp_path / "f.npz"), {})
    (tmp_path / "out" / IMAGES).write_bytes(b"PK")
    with pytest.raises(StoreError, match=r"images\.npz: cannot be read"):
        load_precomputed(tmp_path / "out")
