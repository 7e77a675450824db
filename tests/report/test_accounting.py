"""moclip.accounting: counts of the real modules against figures that are known otherwise."""

import copy
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from torch import nn

from moclip.data.manifest import Video
from moclip.motion.net import SMALL_WIDTHS
from moclip.params.registry import MODELS
from moclip.report.accounting import (
    clip_cost,
    field_size,
    head_cost,
    motion_cost,
    multiply_adds,
    paper_costs,
    run_costs,
)
from moclip.report.papers import CLAIMS, CLIP_MODEL
from moclip.report.verdict import nearest_protocol
from tests.support.imports import ROOT

PARAMS: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
SECTIONS = ("clip", "motion", "motion_net", "fusion", "score_average")


def sections(**changes: dict[str, Any]) -> list[Any]:
    params = copy.deepcopy(PARAMS)
    for name, values in changes.items():
        params[name].update(values)
    return [MODELS[name](**params[name]) for name in SECTIONS]


def video(width: int, height: int, size: int = 1000) -> Video:
    return Video("v", "c", "g", "v.avi", size, "", "mpeg4", 25.0, width, height, 30)


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


def test_attention_is_counted_and_the_switch_put_back() -> None:
    """Attention of n tokens of width d: 4 n d^2 for the projections and 2 n^2 d for the products."""
    attention = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True).eval()
    before = torch.backends.mha.get_fastpath_enabled()
    assert multiply_adds(lambda: attention(torch.zeros(1, 5, 8))) == 4 * 5 * 8**2 + 2 * 5**2 * 8 + 2 * 5 * 8 * 16
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_convolutions_are_counted_by_hand_too() -> None:
    rows, columns, channels, macs = 18, 24, 2, 0
    for width, stride in SMALL_WIDTHS:
        rows, columns = -(-rows // stride), -(-columns // stride)
        macs += rows * columns * 9 * channels * width
        channels = width
    assert motion_cost("small", 12, (18, 24)).input_macs == macs + 12 * channels


def test_a_head_costs_its_matrix_products() -> None:
    params, linear = (sections(fusion={"hidden": hidden})[3] for hidden in (7, 0))
    assert head_cost({"clip": 5, "motion": 3}, 4, params) == (8 * 7 + 7 + 7 * 4 + 4, 8 * 7 + 7 * 4)
    assert head_cost({"clip": 5}, 4, linear) == (5 * 4 + 4, 5 * 4)


def test_every_head_of_a_run_costs_what_its_parts_cost() -> None:
    costs = run_costs([video(192, 144), video(192, 144, 3000)], 12, *sections())
    heads, inputs = costs["heads"], PARAMS["motion_net"]["eval_segments"]
    frame, field = costs["clip"]["frame_gmac"], costs["motion_net"]["input_gmac"]
    assert costs["video_bytes"] == {"mean": 2000, "least": 1000, "most": 3000}
    assert heads["motion_only"]["gmac_per_video"] == pytest.approx(inputs * field, abs=1e-5)
    assert heads["fusion"]["gmac_per_video"] == pytest.approx(frame + inputs * field, abs=1e-4)
    assert heads["clip_probe"]["gmac_per_video"] == pytest.approx(frame, abs=1e-4)
    assert heads["zero_shot"]["trainable_parameters"] == 0
    assert heads["linear_probe"]["trainable_parameters"] == 64 * 12 + 12
    assert heads["fusion"] == heads["motion_permuted"]
    assert heads["fusion"]["trained_in_all"] == (
        heads["fusion"]["trainable_parameters"] + costs["motion_net"]["parameters"]
    )


def test_a_fusion_of_one_stream_costs_that_stream_alone() -> None:
    alone = run_costs([video(192, 144)], 12, *sections(fusion={"inputs": "clip"}))["heads"]
    assert alone["fusion"] == alone["clip_probe"]
    assert alone["motion_permuted"] != alone["clip_probe"]


def test_a_model_that_nobody_knows_has_no_cost() -> None:
    other = sections(clip={"model": "Mine", "precomputed": "features.npz"})
    costs = run_costs([video(192, 144)], 12, *other)
    assert costs["clip"] is None
    assert list(costs["heads"]) == ["motion_only"]
    assert clip_cost("Mine") is None
    assert clip_cost(CLIP_MODEL) is not None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (15, 20)),
        ({"motion": {"cell_px": 8}}, (30, 40)),
        ({"motion": {"cell_px": 16, "source": "reencoded"}}, (16, 22)),
        ({"motion_net": {"input_px": 224}}, (224, 224)),
    ],
)
def test_fields_have_the_size_of_most_videos(changes: Any, expected: tuple[int, int]) -> None:
    _, motion, net, *_ = sections(**{"motion": {"cell_px": 16}, **changes})
    assert field_size([video(320, 240), video(400, 300), video(320, 240)], motion, net) == expected
