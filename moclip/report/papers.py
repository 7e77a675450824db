"""The paper's claims as data, and the settings of its published code (microa/MoCLIP-Lite 4eb23fb).

Everything that a verdict needs to know of the paper stands here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PAPER = "MoCLIP-Lite, arXiv 2509.17084"


# What must be alike before an accuracy is about the same thing: the networks and where their weights come from.
_CLIP = ("clip.model", "clip.pretrained")
_MOTION = ("motion_net.arch", "motion_net.pretrained")


@dataclass(frozen=True)
class Claim:
    """One figure of the paper; `head` is what it is about, None where it is no accuracy.

    `needs` are the keys of `SETTINGS` in which a run must agree before its accuracy can be held against the
    claim; other differences are departures, and stand beside the verdict.
    """

    statement: str
    head: str | None
    value: float
    unit: str
    where: str
    protocol: str
    needs: tuple[str, ...] = ()


CLAIMS = (
    Claim(
        statement="Zero-shot CLIP, top-1 on UCF101",
        head="zero_shot",
        value=65.0,
        unit="%",
        where="abstract",
        protocol="OpenAI ViT-B/32, one random frame a video, 12 templates",
        needs=_CLIP,
    ),
    Claim(
        statement="Motion vectors alone, top-1 on UCF101",
        head="motion_only",
        value=66.5,
        unit="%",
        where="abstract",
        protocol="EfficientNet-B0, best epoch chosen on the test list, 25 segments x 10 crops",
        needs=_MOTION,
    ),
    Claim(
        statement="Fusion of both, top-1 on UCF101",
        head="fusion",
        value=89.2,
        unit="%",
        where="abstract",
        protocol="frozen features, MLP of 512, best epoch chosen on the test list",
        needs=(*_CLIP, *_MOTION, "fusion.inputs"),
    ),
    Claim(
        statement="Trainable parameters of the fusion head",
        head=None,
        value=0.97,
        unit="M",
        where="text",
        protocol="1792-512-101; leaves out the motion network, trained before it",
    ),
    Claim(
        statement="Cost of one video",
        head=None,
        value=16.9,
        unit="GFLOPs",
        where="text",
        protocol="breakdown not given",
    ),
)

# open_clip's name for OpenAI's ViT-B/32 with the activation that it was trained with.
CLIP_MODEL = "ViT-B-32-quickgelu"

# The code tests its motion network with 25 segments x 10 crops, and with 32 segments x 1 crop; trains with 3 segments.
COST_PROTOCOLS = ((25, 10), (32, 1))
COST_INPUTS = (3, 8, 25, 32)
CROPS = (1, 10)

# Parameters as the published code ran; a run's departures from them stand beside its verdict.
SETTINGS: Mapping[str, object] = {
    "data.short_videos": "drop",
    "motion.source": "reencoded",
    "motion.accumulate": "gop",
    "motion_net.arch": "efficientnet_b0",
    "motion_net.pretrained": True,
    "motion_net.input_px": 224,
    "motion_net.bound_px": 20.0,
    "motion_net.encoding": "bytes",
    "motion_net.train_crops": "cut",
    "motion_net.mirror": "complement",
    "motion_net.segments": 3,
    "motion_net.eval_segments": 25,
    "motion_net.eval_crops": 10,
    "motion_net.mirrored_crops": "coin",
    "motion_net.epochs": 200,
    "motion_net.batch_videos": 80,
    "motion_net.optimizer": "adam",
    "motion_net.lr": 0.01,
    "motion_net.eps": 0.001,
    "motion_net.weight_decay": 0.0001,
    "motion_net.schedule": "steps",
    "motion_net.lr_drop_epochs": [80, 160],
    "motion_net.lr_scale_classifier": 1.0,
    "motion_net.lr_scale_stem": 0.1,
    "motion_net.lr_scale_rest": 0.01,
    "motion_net.select": "test",
    "clip.model": CLIP_MODEL,
    "clip.pretrained": "openai",
    "clip.templates": "paper12",
    "clip.text_mean": "raw",
    "clip.text_order": "folders",
    "clip.frame": "random",
    "fusion.normalisation": "none",
    "fusion.inputs": "both",
    "fusion.combine": "concat",
    "fusion.hidden": 512,
    "fusion.dropout": 0.5,
    "fusion.epochs": 100,
    "fusion.lr": 0.0001,
    "fusion.schedule": "constant",
    "fusion.batch_videos": 64,
    "fusion.select": "test",
    "fusion.online": True,
    "fusion.backbone_statistics": "drift",
}
