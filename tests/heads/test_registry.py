"""The registry of heads: what follows from its rows."""

import pytest

from moclip.heads.registry import contrasts, main_head


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (["zero_shot"], []),
        (["zero_shot", "motion_only"], []),
        (["fusion", "motion_only"], [("fusion", "motion_only")]),
        (
            ["zero_shot", "clip_probe", "fusion"],
            [("fusion", "zero_shot"), ("fusion", "clip_probe"), ("clip_probe", "zero_shot")],
        ),
        (
            ["clip_probe", "score_average", "motion_permuted"],
            [("score_average", "clip_probe"), ("motion_permuted", "clip_probe")],
        ),
    ],
)
def test_contrasts_follow_the_heads(heads: list[str], expected: list[tuple[str, str]]) -> None:
    assert contrasts(heads) == expected


def test_main_head_is_fusion_or_the_nearest_to_it() -> None:
    assert main_head(["fusion", "zero_shot"]) == "fusion"
    assert main_head(["motion_only", "zero_shot"]) == "motion_only"
