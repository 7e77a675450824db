"""The costs of a run, from what its heads wrote."""

from typing import Any

from moclip.data.manifest import Video
from moclip.report.accounting import run_costs

CLIP = {"model": "demo", "parameters": 1000, "frame_macs": 5_000_000_000}
MOTION = {"arch": "small", "parameters": 200, "field": [18, 24], "input_macs": 250_000_000, "inputs": 8}


def video(size: int) -> Video:
    return Video("v", "c", "g", "v.avi", size, "", "mpeg4", 25.0, 192, 144, 30)


VIDEOS = [video(1000), video(3000)]


def cost(own: int, macs: int, **streams: Any) -> dict[str, Any]:
    return {"trainable_parameters": own, "trained_in_all": own + 7, "macs_per_video": macs, "streams": streams}


def test_each_network_stands_once_and_each_head_as_it_wrote_it() -> None:
    costs = {"zero_shot": cost(0, 5_000_000_600, clip=CLIP), "fusion": cost(9, 7_000_000_000, clip=CLIP, motion=MOTION)}
    assert run_costs(costs, VIDEOS) == {
        "clip": {"model": "demo", "parameters": 1000, "frame_gmac": 5.0},
        "motion_net": {"arch": "small", "parameters": 200, "field": [18, 24], "inputs": 8, "input_gmac": 0.25},
        "video_bytes": {"mean": 2000, "least": 1000, "most": 3000},
        "heads": {
            "zero_shot": {"trainable_parameters": 0, "trained_in_all": 7, "gmac_per_video": 5.000001},
            "fusion": {"trainable_parameters": 9, "trained_in_all": 16, "gmac_per_video": 7.0},
        },
    }


def test_a_network_that_no_head_uses_is_null() -> None:
    costs = run_costs({"motion_only": cost(200, 2_000_000_000, motion=MOTION)}, VIDEOS)
    assert costs["clip"] is None
    assert list(costs["heads"]) == ["motion_only"]
    nothing = run_costs({}, VIDEOS)
    assert (nothing["clip"], nothing["motion_net"], nothing["heads"]) == (None, None, {})
