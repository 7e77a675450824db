"""What the paper's own networks cost, counted from the modules without weights; equal on every machine."""

from itertools import product
from typing import Any

import torch

from moclip.clip.cost import clip_cost
from moclip.data.ucf101 import UCF101_CLASSES
from moclip.heads.mlp import Head
from moclip.heads.motion_only import motion_macs
from moclip.motion.net import MotionNet
from moclip.report.accounting import GIGA
from moclip.report.papers import CLIP_MODEL, COST_INPUTS, COST_PROTOCOLS, CROPS, SETTINGS
from moclip.training.flops import multiply_adds, trainable_parameters


def paper_costs() -> dict[str, Any]:
    """Parameters and multiply-adds of each network, and of a video by every protocol that comes into question."""
    clip = clip_cost(CLIP_MODEL)
    assert clip is not None, "open_clip knows ViT-B/32"
    arch, side = str(SETTINGS["motion_net.arch"]), int(str(SETTINGS["motion_net.input_px"]))
    hidden = int(str(SETTINGS["fusion.hidden"]))
    with torch.device("meta"):
        net = MotionNet(arch, UCF101_CLASSES, bound_px=1.0)
        width = clip.width + net.classifier.in_features
        head = Head({"clip": clip.width, "motion": net.classifier.in_features}, hidden, UCF101_CLASSES).eval()
        head_macs = multiply_adds(lambda: head(torch.empty(1, width)))
    input_macs = motion_macs(arch, UCF101_CLASSES, (side, side))
    protocols = [
        {
            "inputs": inputs,
            "crops": crops,
            "in_the_code": (inputs, crops) in COST_PROTOCOLS,
            "gmac": round((clip.frame_macs + inputs * crops * input_macs + head_macs) / GIGA, 4),
        }
        for crops, inputs in product(CROPS, COST_INPUTS)
    ]
    return {
        "head": f"{width}-{hidden}-{UCF101_CLASSES}",
        "head_parameters": trainable_parameters(head),
        "motion_parameters": trainable_parameters(net),
        "clip_frame_gmac": round(clip.frame_macs / GIGA, 4),
        "motion_input_gmac": round(input_macs / GIGA, 4),
        "protocols": protocols,
    }
