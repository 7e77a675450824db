"""What papers' own networks cost, by the `costs` of their files, counted without weights; equal on every machine.

A count has `parameters` (`count`, `of` what, what stands `beside` it), `protocols` (`words`, `gmac` of a video, whether
`in_the_code`), and what it adds up to, by network.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any

import torch

from moclip.base.errors import PaperError
from moclip.clip.cost import ClipCost, clip_cost
from moclip.heads.mlp import Head
from moclip.heads.motion_only import motion_macs
from moclip.motion.net import MotionNet
from moclip.report.accounting import GIGA
from moclip.report.papers import FeatureFusion, Paper, TemporalDecoder
from moclip.training.flops import multiply_adds, trainable_parameters

Json = dict[str, Any]


def paper_costs(papers: Mapping[str, Paper]) -> dict[str, Json]:
    """The counts of each paper whose file has `costs`, by the file's name.

    Raises:
        PaperError: open_clip does not know the CLIP that a file names.
    """
    return {name: _counted(name, paper.costs) for name, paper in papers.items() if paper.costs is not None}


def decoder_parameters(net: TemporalDecoder) -> int:
    """Trainable parameters of the decoder and its classifier, in closed form.

    A layer has attention (four square matrices), an MLP, three layer norms, a depth-wise convolution over three frames,
    a code by frame, and two tables of weights by relative position, for the frames before and after.
    """
    width, (rows, columns) = net.width, net.patches
    attention = 4 * (width + 1) * width
    mlp = 2 * net.mlp * width * width + net.mlp * width + width
    temporal = (3 + 1) * width + net.frames * width + 2 * (2 * rows - 1) * (2 * columns - 1) * width
    layer = attention + mlp + 3 * 2 * width + temporal
    query, last_norm, classifier = width, 2 * width, (width + 1) * net.classes
    return net.layers * layer + query + last_norm + classifier


def decoder_macs(net: TemporalDecoder) -> int:
    """Multiply-adds of the decoder on one view, in closed form.

    The products of attention maps with the tables by relative position are left out, as published counts do.
    """
    width, (rows, columns) = net.width, net.patches
    tokens = net.frames * (1 + rows * columns)
    projections = (2 * tokens + 2) * width * width  # keys and values of all tokens; query and output of one
    attention = 2 * tokens * width
    convolution = 3 * tokens * width
    layer = projections + attention + convolution + 2 * net.mlp * width * width
    return net.layers * layer + width * net.classes


def _counted(name: str, costs: FeatureFusion | TemporalDecoder) -> Json:
    clip = clip_cost(costs.clip)
    if clip is None:
        raise PaperError(f"papers: key 'costs.clip' of {name}: open_clip knows no model '{costs.clip}'")
    return _feature_fusion(costs, clip) if isinstance(costs, FeatureFusion) else _temporal_decoder(costs, clip)


def _feature_fusion(costs: FeatureFusion, clip: ClipCost) -> Json:
    with torch.device("meta"):
        net = MotionNet(costs.arch, costs.classes, bound_px=1.0)
        width = clip.width + net.classifier.in_features
        head = Head({"clip": clip.width, "motion": net.classifier.in_features}, costs.hidden, costs.classes).eval()
        head_macs = multiply_adds(lambda: head(torch.empty(1, width)))
    input_macs = motion_macs(costs.arch, costs.classes, (costs.input_px, costs.input_px))
    return {
        "parameters": {
            "count": trainable_parameters(head),
            "of": f"{width}-{costs.hidden}-{costs.classes}",
            "beside": f"the motion network's {trainable_parameters(net):,} are not in it",
        },
        "clip_frame_gmac": _billions(clip.frame_macs),
        "motion_input_gmac": _billions(input_macs),
        "protocols": [
            {
                "words": f"{inputs} segments, {_number(crops, 'crop')}",
                "inputs": inputs,
                "crops": crops,
                "in_the_code": (inputs, crops) in costs.tests,
                "gmac": _billions(clip.frame_macs + inputs * crops * input_macs + head_macs),
            }
            for crops, inputs in product(costs.crops, costs.inputs)
        ],
    }


def _temporal_decoder(costs: TemporalDecoder, clip: ClipCost) -> Json:
    macs = decoder_macs(costs)
    return {
        "parameters": {
            "count": decoder_parameters(costs),
            "of": f"{costs.layers} layers of {costs.width}, {costs.classes} classes",
            "beside": "CLIP is frozen and not in it",
        },
        "clip_frame_gmac": _billions(clip.frame_macs),
        "decoder_gmac": _billions(macs),
        "protocols": [
            {
                "words": f"{costs.frames} frames, {_number(costs.views, 'view')}",
                "in_the_code": True,
                "gmac": _billions(costs.views * (costs.frames * clip.frame_macs + macs)),
            }
        ],
    }


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _billions(macs: int) -> float:
    return round(macs / GIGA, 4)
