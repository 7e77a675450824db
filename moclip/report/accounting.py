"""What a prediction costs, counted and not timed: parameters, multiply-adds, bytes; equal on every machine.

Counts come from the modules themselves, built without weights on PyTorch's meta device, where a forward
pass computes shapes alone. One multiply-add is what the field often calls one FLOP. Counted are matrix
products and convolutions; normalisation, activation and pooling are left out, as by most counters.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from moclip.clip.encoder import build, known_config
from moclip.clip.tiny import CONFIG as DEMO_CLIP
from moclip.data.manifest import Video
from moclip.data.ucf101 import UCF101_CLASSES
from moclip.heads.mlp import Head
from moclip.motion.grid import grid_shape
from moclip.motion.net import MotionNet, trainable_parameters
from moclip.params.clip import ClipParams
from moclip.params.heads.fusion import HeadParams
from moclip.params.heads.score_average import ScoreAverageParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.report.papers import CLIP_MODEL, COST_INPUTS, COST_PROTOCOLS, CROPS, SETTINGS
from moclip.video.reencode import HEIGHT, WIDTH

GIGA = 1e9
Json = dict[str, Any]


@dataclass(frozen=True)
class ClipCost:
    """CLIP's image encoder: width of its features, parameters, multiply-adds of one frame."""

    width: int
    parameters: int
    frame_macs: int


@dataclass(frozen=True)
class MotionCost:
    """The motion network: width of its features, trainable parameters, multiply-adds of one input field."""

    width: int
    parameters: int
    input_macs: int


def multiply_adds(forward: Callable[[], object]) -> int:
    """Multiply-adds of one forward pass; PyTorch's counter gives two operations for each.

    Attention's fused inference path is switched off meanwhile, for the counter does not see into it.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            forward()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.get_total_flops()) // 2


def clip_cost(model: str) -> ClipCost | None:
    """Cost of a CLIP by its name, `demo` included; None where nobody knows how that model is built."""
    config = DEMO_CLIP["model_cfg"] if model == "demo" else known_config(model)
    if config is None:
        return None
    size = config["vision_cfg"]["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    with torch.device("meta"):
        clip = build(config).eval()
        macs = multiply_adds(lambda: clip.encode_image(torch.empty(1, 3, height, width)))
        return ClipCost(config["embed_dim"], sum(p.numel() for p in clip.visual.parameters()), macs)


def motion_cost(arch: str, classes: int, field: tuple[int, int]) -> MotionCost:
    """Cost of the motion network on a field of (rows, columns)."""
    with torch.device("meta"):
        net = MotionNet(arch, classes, bound_px=1.0).eval()
        macs = multiply_adds(lambda: net(torch.empty(1, 1, 2, *field)))
        return MotionCost(net.classifier.in_features, trainable_parameters(net), macs)


def head_cost(widths: Mapping[str, int], classes: int, params: HeadParams) -> tuple[int, int]:
    """Trainable parameters, and multiply-adds of one video, of the head on streams of these widths."""
    with torch.device("meta"):
        head = Head(widths, params.hidden, classes, normalisation=params.normalisation, combine=params.combine)
        return _cost_of(head, torch.empty(1, sum(widths.values())))


def _cost_of(module: nn.Module, example: Tensor) -> tuple[int, int]:
    return trainable_parameters(module), multiply_adds(lambda: module.eval()(example))


def paper_costs() -> Json:
    """What the paper's own networks cost, and what a video costs by every protocol that comes into question."""
    side = int(str(SETTINGS["motion_net.input_px"]))
    clip = clip_cost(CLIP_MODEL)
    assert clip is not None, "open_clip knows ViT-B/32"
    motion = motion_cost(str(SETTINGS["motion_net.arch"]), UCF101_CLASSES, (side, side))
    hidden = int(str(SETTINGS["fusion.hidden"]))
    with torch.device("meta"):
        head = Head({"clip": clip.width, "motion": motion.width}, hidden, UCF101_CLASSES)
        parameters, head_macs = _cost_of(head, torch.empty(1, clip.width + motion.width))
    protocols = [
        {
            "inputs": inputs,
            "crops": crops,
            "in_the_code": (inputs, crops) in COST_PROTOCOLS,
            "gmac": round((clip.frame_macs + inputs * crops * motion.input_macs + head_macs) / GIGA, 4),
        }
        for crops, inputs in product(CROPS, COST_INPUTS)
    ]
    return {
        "head": f"{clip.width + motion.width}-{hidden}-{UCF101_CLASSES}",
        "head_parameters": parameters,
        "motion_parameters": motion.parameters,
        "clip_frame_gmac": round(clip.frame_macs / GIGA, 4),
        "motion_input_gmac": round(motion.input_macs / GIGA, 4),
        "protocols": protocols,
    }


def run_costs(
    videos: Iterable[Video],
    classes: int,
    clip: ClipParams,
    motion: MotionParams,
    motion_net: MotionNetParams,
    fusion: HeadParams,
    score_average: ScoreAverageParams,
) -> Json:
    """What the networks of this run cost, by head and video; null where it is not known.

    Fields have the size that most videos give. A head's `trainable_parameters` are its own, as the paper
    counts; `trained_in_all` adds the trained networks that it builds on.
    """
    videos = list(videos)
    field = field_size(videos, motion, motion_net)
    image, net = clip_cost(clip.model), motion_cost(motion_net.arch, classes, field)
    sizes = [video.bytes for video in videos]
    inputs = motion_net.eval_segments * motion_net.eval_crops
    known = None if image is None else _on_clip(image, net, classes, inputs * net.input_macs, fusion, score_average)
    return {
        "clip": None if image is None else {"model": clip.model, "parameters": image.parameters, **_frame(image)},
        "motion_net": {
            "arch": motion_net.arch,
            "parameters": net.parameters,
            "field": list(field),
            "input_gmac": round(net.input_macs / GIGA, 6),
            "inputs": inputs,
        },
        "video_bytes": {"mean": round(sum(sizes) / len(sizes)), "least": min(sizes), "most": max(sizes)},
        "heads": {"motion_only": _entry(net.parameters, 0, inputs * net.input_macs), **(known or {})},
    }


def field_size(videos: Sequence[Video], motion: MotionParams, motion_net: MotionNetParams) -> tuple[int, int]:
    """Rows and columns of the field that the motion network gets from most videos."""
    if motion_net.input_px is not None:
        return motion_net.input_px, motion_net.input_px
    if motion.source == "reencoded":
        return grid_shape(WIDTH, HEIGHT, motion.cell_px)
    (size, _), *_ = Counter((video.width, video.height) for video in videos).most_common(1)
    return grid_shape(*size, motion.cell_px)


def _frame(cost: ClipCost) -> Json:
    return {"frame_gmac": round(cost.frame_macs / GIGA, 6)}


def _on_clip(
    clip: ClipCost,
    net: MotionCost,
    classes: int,
    motion_macs: int,
    params: HeadParams,
    score_average: ScoreAverageParams,
) -> dict[str, Json]:
    """Costs of the heads that need CLIP."""
    frame, linear = clip.frame_macs, clip.width * classes
    streams = {"clip": clip.width, "motion": net.width}
    probe, probe_macs = head_cost({"clip": clip.width}, classes, params)
    averaged, averaged_macs = (probe, probe_macs) if score_average.clip_head == "clip_probe" else (0, linear)
    weight = int(score_average.motion_weight is None)

    def mlp(names: Sequence[str]) -> Json:
        own, macs = head_cost({name: streams[name] for name in names}, classes, params)
        below = net.parameters if "motion" in names else 0
        return _entry(own, below, macs + frame * ("clip" in names) + motion_macs * ("motion" in names))

    return {
        "zero_shot": _entry(0, 0, frame + linear),
        "clip_probe": _entry(probe, 0, frame + probe_macs),
        "linear_probe": _entry(linear + classes, 0, frame + linear),
        "score_average": _entry(weight, averaged + net.parameters, frame + averaged_macs + motion_macs),
        "motion_permuted": mlp(["clip", "motion"]),
        "fusion": mlp(["clip", "motion"] if params.inputs == "both" else [params.inputs]),
    }


def _entry(own: int, below: int, macs: int) -> Json:
    return {"trainable_parameters": own, "trained_in_all": own + below, "gmac_per_video": round(macs / GIGA, 6)}
