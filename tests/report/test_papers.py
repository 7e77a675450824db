"""moclip.paper: its settings name parameters that exist."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.data.ucf101 import UCF101_TEST_VIDEOS
from moclip.report.papers import CLAIMS, SETTINGS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_of_the_paper_is_a_parameter_here(key: str) -> None:
    value: Any = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    for part in key.split("."):
        value = value[part]


@pytest.mark.parametrize(("split", "count"), UCF101_TEST_VIDEOS.items())
def test_counts_are_those_of_the_official_test_lists(split: int, count: int) -> None:
    path = ROOT.parent / f"shared/data/ucf101/ucfTrainTestlist/testlist0{split}.txt"
    if not path.is_file():
        pytest.skip("the official lists are not at hand (../shared/data/ucf101)")
    assert len(path.read_text().split()) == count


def test_the_parameter_claim_is_that_of_its_protocol() -> None:
    (claim,) = [claim for claim in CLAIMS if claim.unit == "M"]
    inputs, hidden, classes = map(int, claim.protocol.split(";")[0].split("-"))
    count = inputs * hidden + hidden + hidden * classes + classes
    assert round(count / 1e6, 2) == claim.value
