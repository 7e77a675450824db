"""The paper's networks: counts of the real modules against figures that are known otherwise."""

from typing import Any

import pytest

from moclip.report.paper_costs import paper_costs
from moclip.report.papers import CLAIMS
from moclip.report.verdict import nearest_protocol


@pytest.fixture(scope="module")
def paper() -> Any:
    return paper_costs()


def test_the_papers_head_has_969829_parameters(paper: Any) -> None:
    assert (paper["head"], paper["head_parameters"]) == ("1792-512-101", 969_829)
    assert paper["motion_parameters"] == 4_136_645


def test_the_papers_networks_cost_what_is_known_of_them(paper: Any) -> None:
    """4.4 G is published for ViT-B/32; 0.39 G for an EfficientNet-B0 with three channels and 1000 classes."""
    assert paper["clip_frame_gmac"] == pytest.approx(4.4, abs=0.02)
    assert paper["motion_input_gmac"] == pytest.approx(0.381, abs=0.001)


def test_of_all_protocols_32_segments_of_one_crop_come_nearest_to_the_claim(paper: Any) -> None:
    (claim,) = [claim for claim in CLAIMS if claim.unit == "GFLOPs"]
    costs = {(one["inputs"], one["crops"]): one["gmac"] for one in paper["protocols"]}
    assert {key: round(costs[key], 2) for key in ((3, 1), (8, 1), (25, 1), (25, 10))} == {
        (3, 1): 5.55,
        (8, 1): 7.46,
        (25, 1): 13.94,
        (25, 10): 99.67,
    }
    nearest = nearest_protocol(claim, paper["protocols"])
    assert (nearest["inputs"], nearest["crops"], nearest["in_the_code"]) == (32, 1, True)
