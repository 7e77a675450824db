"""A file of encoders: what it may say, and that open_clip knows all of ours."""

from pathlib import Path

import open_clip
import pytest

from moclip.base.errors import ParamsError
from moclip.params.encoders import Encoder, EncoderSuite, read_encoders
from tests.support.imports import ROOT

OURS = read_encoders(ROOT / "encoders.yaml")
assert OURS is not None


@pytest.mark.parametrize("encoder", OURS.encoders, ids=lambda encoder: encoder.name)
def test_weights_of_ours_are_in_open_clips_table_with_the_activation_of_the_model(encoder: Encoder) -> None:
    assert encoder.tag in open_clip.list_pretrained_tags_by_model(encoder.model)
    needs = bool(open_clip.get_pretrained_cfg(encoder.model, encoder.tag).get("quick_gelu", False))
    assert needs == bool(open_clip.get_model_config(encoder.model).get("quick_gelu", False))


def test_questions_are_no_encoders() -> None:
    assert read_encoders(ROOT / "ablations.yaml") is None


def test_an_encoder_is_all_that_clip_is_made_of() -> None:
    """So none of the base's other sources is left beside it."""
    changes = Encoder(model="ViT-B-32", tag="openai").changes
    assert changes["clip.model"] == "ViT-B-32"
    assert changes["clip.pretrained"] == "openai"
    assert {name for name, value in changes.items() if value is None} == {
        "clip.checkpoint",
        "clip.precomputed",
        "clip.patch",
        "clip.patch_share",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("encoders: []", "encoders.*at least 1 item"),
        ("encoders: [{model: A, tag: b}, {model: a-b}]", "encoder a-b stands twice"),
        ("encoders: [{model: A, weights: b}]", "encoders.0.weights': no such parameter"),
        ("{encoders: [{model: A}], set: {heads: [fusion]}}", "set: heads is the suite's own"),
        ("{encoders: [{model: A}], set: {clip.patch: file}}", "set: clip.patch is the suite's own"),
        ("encoders: [", "cannot be read"),
    ],
)
def test_what_a_file_may_not_say_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ParamsError, match=told):
        read_encoders(tmp_path / "own.yaml")


def test_a_file_names_shared_parameters() -> None:
    suite = EncoderSuite.model_validate({"encoders": [{"model": "demo"}], "set": {"clip.templates": "mteb"}})
    assert suite.set == {"clip.templates": "mteb"}
