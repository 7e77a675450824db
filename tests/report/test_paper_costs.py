"""The papers' networks: counts of the real modules against figures that are known otherwise."""

from typing import Any

import pytest
import torch
from torch import nn

from moclip.base.errors import PaperError
from moclip.report.paper_costs import decoder_macs, decoder_parameters, paper_costs
from moclip.report.papers import Count, TemporalDecoder, read_papers
from moclip.report.verdict import nearest_protocol
from moclip.training.flops import multiply_adds, trainable_parameters
from tests.support.imports import ROOT

PAPERS = read_papers(ROOT / "papers")


@pytest.fixture(scope="module")
def costs() -> Any:
    return paper_costs(PAPERS)


@pytest.fixture(scope="module")
def paper(costs: Any) -> Any:
    return costs["moclip_lite"]


def claim_of(name: str, unit: str) -> Count:
    (claim,) = [claim for claim in PAPERS[name].claims if isinstance(claim, Count) and claim.unit == unit]
    return claim


def test_papers_without_networks_to_count_have_no_costs(costs: Any) -> None:
    assert list(costs) == ["moclip_lite", "evl"]


def test_the_papers_head_has_969829_parameters(paper: Any) -> None:
    assert (paper["parameters"]["of"], paper["parameters"]["count"]) == ("1792-512-101", 969_829)
    assert paper["parameters"]["beside"] == "the motion network's 4,136,645 are not in it"


def test_the_papers_networks_cost_what_is_known_of_them(paper: Any) -> None:
    """4.4 G is published for ViT-B/32; 0.39 G for an EfficientNet-B0 with three channels and 1000 classes."""
    assert paper["clip_frame_gmac"] == pytest.approx(4.4, abs=0.02)
    assert paper["motion_input_gmac"] == pytest.approx(0.381, abs=0.001)


def test_of_all_protocols_32_segments_of_one_crop_come_nearest_to_the_claim(paper: Any) -> None:
    costs = {(one["inputs"], one["crops"]): one["gmac"] for one in paper["protocols"]}
    assert {key: round(costs[key], 2) for key in ((3, 1), (8, 1), (25, 1), (25, 10))} == {
        (3, 1): 5.55,
        (8, 1): 7.46,
        (25, 1): 13.94,
        (25, 10): 99.67,
    }
    nearest = nearest_protocol(claim_of("moclip_lite", "GFLOPs"), paper["protocols"])
    assert (nearest["inputs"], nearest["crops"], nearest["in_the_code"]) == (32, 1, True)


def test_evl_costs_what_others_count(costs: Any) -> None:
    """444 GFLOPs stand in tables of third parties; 33.18 M are its code's layers, added up by hand."""
    (protocol,) = costs["evl"]["protocols"]
    assert (protocol["words"], round(protocol["gmac"], 1)) == ("8 frames, 3 views", 444.0)
    assert round(costs["evl"]["parameters"]["count"] / 1e6, 2) == 33.18


@pytest.mark.parametrize(("classes", "millions"), [(101, 32.95), (400, 33.18)])
def test_the_decoders_parameters_follow_the_classes(classes: int, millions: float) -> None:
    assert round(decoder_parameters(decoder(classes=classes)) / 1e6, 2) == millions


def decoder(**changes: Any) -> TemporalDecoder:
    net = PAPERS["evl"].costs
    assert isinstance(net, TemporalDecoder)
    return net.model_copy(update=changes)


class Layer(nn.Module):
    """A decoder layer as its algorithm is told, to hold the closed forms against."""

    def __init__(self, net: TemporalDecoder) -> None:
        super().__init__()
        width, (rows, columns) = net.width, net.patches
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.over_time = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.code = nn.Parameter(torch.zeros(net.frames, width))
        places = (2 * rows - 1) * (2 * columns - 1)
        self.before, self.after = (nn.Parameter(torch.zeros(places, width)) for _ in range(2))
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, net.mlp * width), nn.Linear(net.mlp * width, width)

    def forward(self, query: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """A query (1, c) and the tokens (t, l, c) of all frames."""
        seen = tokens + self.over_time(tokens.permute(1, 2, 0)).permute(2, 0, 1) + self.code[:, None]
        seen = seen.reshape(-1, seen.shape[-1])
        found = (self.q(query) @ self.k(seen).T).softmax(-1) @ self.v(seen)
        query = query + self.out(found)
        return query + self.down(self.up(query))


@pytest.mark.parametrize("changes", [{}, {"layers": 1, "width": 24, "patches": (2, 3), "frames": 5, "mlp": 2}])
def test_the_closed_forms_are_those_of_the_modules(changes: dict[str, Any]) -> None:
    net = decoder(**changes)
    with torch.device("meta"):
        layers = nn.ModuleList([Layer(net) for _ in range(net.layers)])
        last, classifier = nn.LayerNorm(net.width), nn.Linear(net.width, net.classes)
        tokens = torch.empty(net.frames, 1 + net.patches[0] * net.patches[1], net.width)

        def forward() -> None:
            query = torch.empty(1, net.width)
            for layer in layers:
                query = layer(query, tokens)
            classifier(last(query))

        macs = multiply_adds(forward)
    built = sum(map(trainable_parameters, (layers, last, classifier))) + net.width  # and the query
    assert decoder_parameters(net) == built
    assert decoder_macs(net) == macs


def test_a_clip_that_nobody_knows_is_refused() -> None:
    paper = PAPERS["evl"].model_copy(update={"costs": decoder(clip="Mine")})
    with pytest.raises(PaperError, match=r"'costs\.clip' of evl: open_clip knows no model 'Mine'"):
        paper_costs({"evl": paper})
