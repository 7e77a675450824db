"""The head `evl_fusion`: the fusion head on a feature that another head made, and on motion."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.base.errors import ParamsError, StoreError
from moclip.heads.evl_fusion import fit, load
from moclip.params.heads.fusion import HeadParams
from tests.support.imports import ROOT
from tests.support.streams import two_streams, videos

SEED = (0, "evl_fusion", 1)
PARAMS = HeadParams(**YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["fusion"])
STREAMS = {"appearance": two_streams()["clip"], "motion": two_streams()["motion"]}


def test_it_learns_from_both_features_and_is_the_same_when_read_again(tmp_path: Path) -> None:
    given = videos(STREAMS)
    fitted = fit(given, PARAMS.model_copy(update={"hidden": 8, "epochs": 4, "batch_videos": 4}), SEED)
    assert set(fitted.streams) == {"appearance", "motion"}
    assert len(fitted.history) == 4
    fitted.save(tmp_path / "head")
    logits = [head.logits(given.inputs("test")) for head in (fitted, load(tmp_path / "head"))]
    np.testing.assert_array_equal(*logits)
    other = {**given.inputs("test"), "motion": np.zeros_like(given.inputs("test")["motion"])}
    assert (fitted.logits(other) != logits[0]).any()


@pytest.mark.parametrize("change", [{"views": 2}, {"online": True}])
def test_augmented_motion_is_refused_by_name(change: dict[str, int]) -> None:
    with pytest.raises(ParamsError, match="evl_fusion takes cached features"):
        fit(videos(STREAMS), PARAMS.model_copy(update=change), SEED)


def test_a_video_without_a_feature_is_named() -> None:
    short = type(STREAMS["motion"])("features of EVL", STREAMS["motion"].ids[1:], STREAMS["motion"].values[1:])
    with pytest.raises(StoreError, match="features of EVL: lacks 1 of"):
        fit(videos({**STREAMS, "appearance": short}), PARAMS, SEED)
