"""The report's first three sentences: no more than is true, for whoever reads nothing else."""

import copy

import pytest

from moclip.report.reader.opening import opening
from moclip.report.verdict import judge
from tests.report.test_page import ACCOUNTING, PAPERS, params, summary


def sentences(heads: list[str], word: str = "different", mean: float = 6.5, **options: object) -> list[str]:
    found = copy.deepcopy(summary(heads, **options))  # type: ignore[arg-type]
    for name, difference in found["differences"].items():
        if name == "fusion_minus_clip_probe":
            difference |= {"word": word, "mean": mean}
    trials = judge(PAPERS, found, params(), ACCOUNTING["papers"])
    return opening(next(iter(trials.values())), found, heads)


ALL = ["zero_shot", "motion_only", "clip_probe", "fusion"]


def test_claim_run_and_consequence_stand_in_that_order() -> None:
    claim, run, follows = sentences(ALL)
    assert claim.startswith("**The claim.** MoCLIP-Lite claims that on UCF101 ")
    assert "89.2 %" in claim
    assert run.startswith("**The run.** 4 ways to recognise ")
    assert "a *probe*: a small classifier trained on CLIP's frozen feature" in run
    assert "Motion helped here" in follows
    assert "the table says of each claim" in follows


def test_generated_videos_prove_nothing_about_the_paper() -> None:
    assert "nothing follows about UCF101" in sentences(ALL, dataset="demo")[2]
    assert "does not say whether the claim about UCF101 is true" in sentences(ALL, dataset="mine")[2]


@pytest.mark.parametrize(
    ("word", "mean", "said"),
    [
        ("no difference shown", 1.5, "no difference was shown here (+1.5 points"),
        ("no video differs", 0.0, "no difference was shown here (0.0 points"),
        ("different", -3.0, "Motion did harm here"),
    ],
)
def test_what_was_not_shown_is_not_said(word: str, mean: float, said: str) -> None:
    assert said in sentences(ALL, word, mean)[2]


def test_without_the_pair_nothing_follows() -> None:
    _, run, follows = sentences(["zero_shot", "fusion"])
    assert "without the pair that would tell what motion adds" in run
    assert follows.startswith("**What follows.** Nothing about motion")
