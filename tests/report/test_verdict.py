"""moclip.verdict: the rules, case by case; nothing is judged that was not measured."""

import copy
from typing import Any

import pytest

from moclip.report.papers import CLAIMS, SETTINGS
from moclip.report.verdict import (
    NOT_COMPARABLE,
    NOT_REPRODUCED,
    REPRODUCED,
    data_title,
    departures,
    in_one_sentence,
    judge,
    leaks,
)
from tests.report.test_page import ACCOUNTING, MEANS, params, summary


def paper_params(**changes: Any) -> dict[str, Any]:
    """The paper's settings, as far as they are parameters; then keys such as `clip.pretrained` changed."""
    values = params()
    for key, value in {**SETTINGS, **{name.replace("__", "."): value for name, value in changes.items()}}.items():
        section, name = key.split(".")
        values[section][name] = value
    return values


def verdicts(values: dict[str, Any], given: dict[str, Any]) -> dict[str, str]:
    return {row.claim.head: row.verdict for row in judge(values, given, ACCOUNTING) if row.claim.head}


def test_a_claim_is_judged_by_the_interval_of_split_1() -> None:
    values = summary(list(MEANS))  # split 1 lies half a point below the mean, intervals reach one point
    judged = {row.claim.head: row for row in judge(values, paper_params(), ACCOUNTING)}
    assert judged["zero_shot"].verdict == REPRODUCED  # 65.0 in 63.9..65.9
    assert judged["fusion"].verdict == REPRODUCED  # 89.2 in 87.5..89.5
    assert (judged["motion_only"].verdict, judged["motion_only"].why) == (NOT_REPRODUCED, "ours is below the claim")
    assert judged["fusion"].ours == "88.5 % (87.5\N{EN DASH}89.5), 3783 videos, split 1"
    values["heads"]["fusion"]["top1_interval_pct"]["per_split"]["1"] = {"low": 89.3, "high": 91.0}
    (fusion,) = [row for row in judge(values, paper_params(), ACCOUNTING) if row.claim.head == "fusion"]
    assert (fusion.verdict, fusion.why) == (NOT_REPRODUCED, "ours is above the claim")


def test_without_split_1_the_mean_is_judged() -> None:
    values = summary(["fusion"], splits=(2, 3))
    (fusion,) = [row for row in judge(values, paper_params(), ACCOUNTING) if row.claim.head == "fusion"]
    assert (fusion.verdict, fusion.ours[:30]) == (REPRODUCED, "89.0 % (88.0\N{EN DASH}90.0), 7566 videos"[:30])


def test_an_interval_that_reproduces_anything_reproduces_nothing() -> None:
    values = summary(["fusion"])
    values["heads"]["fusion"]["top1_interval_pct"]["per_split"]["1"] = {"low": 85.0, "high": 91.1}
    assert verdicts(values, paper_params())["fusion"] == NOT_COMPARABLE
    values["heads"]["fusion"]["top1_interval_pct"]["per_split"]["1"] = None
    assert verdicts(values, paper_params())["fusion"] == NOT_COMPARABLE


@pytest.mark.parametrize(
    ("changes", "not_comparable"),
    [
        ({"clip__pretrained": "laion2b_s34b_b79k"}, {"zero_shot", "fusion"}),
        ({"clip__model": "ViT-L-14"}, {"zero_shot", "fusion"}),
        ({"motion_net__arch": "small"}, {"motion_only", "fusion"}),
        ({"motion_net__pretrained": False}, {"motion_only", "fusion"}),
        ({"clip__pretrained": None, "clip__checkpoint": "ViT-B-32.pt"}, set()),
        ({"fusion__inputs": "clip"}, {"fusion"}),
        ({"fusion__hidden": 64, "fusion__select": "val", "motion_net__eval_segments": 8}, set()),
    ],
)
def test_other_networks_or_weights_are_not_comparable_and_other_settings_are(
    changes: dict[str, Any], not_comparable: set[str]
) -> None:
    found = verdicts(summary(list(MEANS)), paper_params(**changes))
    assert {head for head, verdict in found.items() if verdict == NOT_COMPARABLE} == not_comparable


@pytest.mark.parametrize(
    ("dataset", "complete", "title"),
    [
        ("demo", True, "generated demo data"),
        ("demo (part)", False, "a part of generated demo data"),
        ("ucf101 (part)", False, "a part of UCF101"),
        ("ucf101", False, "a part of UCF101"),
        ("folder clips", True, "the videos of folder clips"),
    ],
)
def test_other_data_than_all_of_ucf101_judge_no_accuracy(dataset: str, complete: bool, title: str) -> None:
    values = summary(list(MEANS), dataset, complete)
    assert data_title(values) == title
    judged = judge(values, paper_params(), ACCOUNTING)
    assert {row.verdict for row in judged if row.claim.head} == {NOT_COMPARABLE}
    assert in_one_sentence(judged, values) == (
        f"Accuracies: all 3 not comparable (this run used {title}). Parameters and multiply-adds: both reproduced."
    )


def test_a_head_that_did_not_run_is_not_comparable() -> None:
    values = summary(["zero_shot"])
    judged = judge(values, paper_params(), ACCOUNTING)
    assert in_one_sentence(judged, values).startswith("Accuracies: 1 reproduced, 2 not comparable. ")
    assert [row.why for row in judged if row.claim.head == "fusion"] == ["the head fusion was not run"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (REPRODUCED, REPRODUCED)),
        ({"head_parameters": 975_001}, (NOT_REPRODUCED, REPRODUCED)),
        ({"protocols": [{"inputs": 32, "crops": 1, "in_the_code": True, "gmac": 17.41}]}, (REPRODUCED, NOT_REPRODUCED)),
    ],
)
def test_counts_are_judged_whatever_the_data(change: dict[str, Any], expected: tuple[str, str]) -> None:
    costs = copy.deepcopy(ACCOUNTING)
    costs["paper"].update(change)
    judged = judge(summary(["zero_shot"], "demo"), params(), costs)
    assert tuple(row.verdict for row in judged if not row.claim.head) == expected


def test_only_protocols_of_the_code_can_reproduce_the_cost() -> None:
    costs = copy.deepcopy(ACCOUNTING)
    costs["paper"]["protocols"] = [
        {"inputs": 8, "crops": 10, "in_the_code": False, "gmac": 16.9},
        {"inputs": 25, "crops": 10, "in_the_code": True, "gmac": 99.7},
    ]
    (cost,) = [row for row in judge(summary(["zero_shot"]), params(), costs) if row.claim.unit == "GFLOPs"]
    assert (cost.verdict, cost.ours) == (NOT_REPRODUCED, "99.7 G (25 segments, 10 crops)")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, []),
        ({"fusion": "test"}, ["clip_probe", "score_average", "motion_permuted", "fusion"]),
        ({"motion_net": "test"}, ["motion_only", "score_average", "motion_permuted", "fusion"]),
    ],
)
def test_a_leak_marks_the_heads_that_it_reaches(chosen: dict[str, str], expected: list[str]) -> None:
    given = params()
    for section, select in chosen.items():
        given[section]["select"] = select
    heads = ["zero_shot", "motion_only", "clip_probe", "linear_probe", "score_average", "motion_permuted", "fusion"]
    assert leaks(heads, given) == expected
    marked = {row.claim.head for row in judge(summary(list(MEANS)), given, ACCOUNTING) if row.leak}
    assert marked == set(expected) & {claim.head for claim in CLAIMS}


def test_departures_compare_values_not_their_spelling() -> None:
    here = params()
    here["fusion"]["hidden"] = 512
    here["motion_net"]["bound_px"] = 20
    named = {key: (ours, theirs) for key, ours, theirs in departures(here)}
    assert "fusion.hidden" not in named
    assert "motion_net.bound_px" not in named
    assert named["motion_net.pretrained"] == ("false", "true")
