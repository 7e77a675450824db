"""What heads and the motion network cost, against formulas."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from moclip.clip.cost import clip_cost
from moclip.heads.fitted import Account, ClassTexts, Cost, Fitted, total
from moclip.heads.linear_probe import LinearProbe
from moclip.heads.logistic import Logistic
from moclip.heads.mlp import Head
from moclip.heads.motion_only import MotionOnly, _most_frequent_field, motion_macs
from moclip.heads.motion_permuted import Permuted
from moclip.heads.score_average import ScoreAverage
from moclip.heads.train import Mlp
from moclip.heads.zero_shot import ZeroShot
from moclip.motion.net import SMALL_WIDTHS, MotionNet
from moclip.motion.sampler import FieldSampler
from moclip.params.motion_net import MotionInput
from moclip.report.accounting import run_costs
from moclip.training.flops import trainable_parameters
from tests.report.test_accounting import VIDEOS
from tests.support.motion_clips import MOTION, params, write_clips

CLASSES, FIELD = 12, (18, 24)


def test_convolutions_are_counted_by_hand_too() -> None:
    rows, columns, channels, macs = *FIELD, 2, 0
    for width, stride in SMALL_WIDTHS:
        rows, columns = -(-rows // stride), -(-columns // stride)
        macs += rows * columns * 9 * channels * width
        channels = width
    assert motion_macs("small", CLASSES, FIELD) == macs + CLASSES * channels


def test_a_head_costs_its_matrix_products() -> None:
    widths = {"clip": 5, "motion": 3}
    assert Mlp(Head(widths, 7, 4)).cost() == Cost(8 * 7 + 7 + 7 * 4 + 4, 8 * 7 + 7 * 4)
    assert Mlp(Head({"clip": 5}, 0, 4)).cost() == Cost(5 * 4 + 4, 5 * 4)
    assert Mlp(Head({"clip": 5}, 7, 4)).streams == ("clip",), "one stream costs that stream alone"


def accounts() -> dict[str, Account]:
    """Every head on the demo's CLIP and the small motion network."""
    clip = clip_cost("demo")
    assert clip is not None
    net = MotionNet("small", CLASSES, 1.0)
    made_for = MotionInput(motion=MOTION, motion_net=params(eval_segments=8), seed=0, split=1)
    motion = MotionOnly(net, made_for, FIELD)
    facts = {
        "arch": "small",
        "parameters": trainable_parameters(net),
        "field": list(FIELD),
        "input_macs": motion.input_macs(),
        "inputs": 8,
    }
    of_clip = Account.of_clip({"model": "demo", "parameters": clip.parameters, "frame_macs": clip.frame_macs})
    of_motion = Account.of_motion(facts)
    widths = {"clip": clip.width, "motion": net.classifier.in_features}
    logistic = Logistic(np.zeros((CLASSES, clip.width)), np.zeros(CLASSES), np.arange(CLASSES), CLASSES, 1.0)
    fitted_on: dict[str, tuple[Fitted, list[Account]]] = {
        "zero_shot": (ZeroShot(ClassTexts(np.zeros((CLASSES, clip.width)), 1.0)), [of_clip]),
        "clip_probe": (Mlp(Head({"clip": clip.width}, 64, CLASSES)), [of_clip]),
        "linear_probe": (LinearProbe(logistic, np.zeros(clip.width), np.ones(clip.width)), [of_clip]),
        "fusion": (Mlp(Head(widths, 64, CLASSES)), [of_clip, of_motion]),
        "motion_permuted": (Permuted(Head(widths, 64, CLASSES), (0, "motion_permuted", 1)), [of_clip, of_motion]),
    }
    found = {"motion_only": of_motion}
    for head, (fitted, below) in fitted_on.items():
        cost = fitted.cost()
        assert cost is not None
        found[head] = total(cost, below)
    averaged = [found["clip_probe"], found["motion_only"]]
    return {**found, "score_average": total(ScoreAverage(0.5, is_chosen=True).cost(), averaged)}


def test_every_head_of_a_run_costs_what_its_parts_cost() -> None:
    costs = run_costs({head: asdict(account) for head, account in accounts().items()}, VIDEOS)
    heads, inputs = costs["heads"], costs["motion_net"]["inputs"]
    frame, field = costs["clip"]["frame_gmac"], costs["motion_net"]["input_gmac"]
    assert heads["motion_only"]["gmac_per_video"] == pytest.approx(inputs * field, abs=1e-5)
    assert heads["fusion"]["gmac_per_video"] == pytest.approx(frame + inputs * field, abs=1e-4)
    assert heads["clip_probe"]["gmac_per_video"] == pytest.approx(frame, abs=1e-4)
    assert heads["zero_shot"]["trainable_parameters"] == 0
    assert heads["linear_probe"]["trainable_parameters"] == 64 * 12 + 12
    assert heads["score_average"]["trainable_parameters"] == 1
    assert heads["score_average"]["trained_in_all"] == (
        1 + heads["clip_probe"]["trainable_parameters"] + costs["motion_net"]["parameters"]
    )
    assert heads["fusion"] == heads["motion_permuted"]
    assert heads["fusion"]["trained_in_all"] == (
        heads["fusion"]["trainable_parameters"] + costs["motion_net"]["parameters"]
    )


def test_fields_have_the_size_of_most_videos(tmp_path: Path) -> None:
    store = write_clips(tmp_path / "store")
    ids = ["wide", "down0", "up0"]
    assert _most_frequent_field(FieldSampler(store, MOTION, params()), ids) == (4, 6)
    cropped = params(input_px=224)
    assert _most_frequent_field(FieldSampler(store, MOTION, cropped), ids) == (224, 224)
