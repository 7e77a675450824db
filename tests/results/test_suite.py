"""The suite: what it refuses, which experiments it plans, and what its table says."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.base.errors import DataError, ParamsError
from moclip.heads.registry import HEADS, MAIN, check_params, related_sets
from moclip.results.intervals import Level
from moclip.results.predictions import Outcomes, Scores
from moclip.results.suite import (
    HeadCost,
    Job,
    Run,
    Variant,
    answer,
    answered_together,
    choose,
    needs_run,
    plan,
    read_suite,
)
from tests.support.imports import ROOT

PARAMS = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
LEVEL = Level(confidence_pct=95.0, fdr_pct=5.0)


def variant(name: str = "narrow", **values: object) -> Variant:
    own = {"name": name, "topic": "Width", "question": "Does it need it?", "head": "fusion", **values}
    return Variant.model_validate(own)


def planned(
    variants: list[Variant], params: dict[str, Any] = PARAMS, seeds: Sequence[int] = (0,), code: str = "code"
) -> tuple[list[Job], list[Job]]:
    return plan(variants, params, seeds, code, check_params, related_sets)


def outcomes(hits: np.ndarray, split: int = 1, clips: int = 4, skip: int = 0) -> Outcomes:
    """Videos of two classes, `clips` to a group; a miss is the other class."""
    numbers = np.arange(len(hits))[skip:]
    actual = np.where(numbers // clips % 2 == 0, "A", "B")
    other = np.where(actual == "A", "B", "A")
    return Outcomes(
        np.array([f"v{split}_{i:03}" for i in numbers]),
        np.array([f"g{split}_{i // clips:02}" for i in numbers]),
        actual,
        np.where(hits[skip:], actual, other),
    )


def a_run(hits: np.ndarray, head: str = "fusion", splits: tuple[int, ...] = (1, 2), skip: int = 0) -> Run:
    by_split = {split: outcomes(hits, split, skip=skip) for split in splits}
    return Run({"dataset": "demo"}, {head: by_split}, {head: HeadCost(1000, 0.25)})


GOOD, POOR = np.ones(80, bool), np.arange(80) % 4 > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- {name: Wide, topic: t, question: q}", "String should match pattern"),
        ("- {name: a, topic: t, question: q, sett: {}}", "sett': no such parameter"),
        ("- {name: a, topic: t, question: q}\n- {name: a, topic: t, question: q}", "'a' stands twice"),
        ("- {name: base, topic: t, question: q}", "'base' stands twice"),
        ("- {name: a, topic: t, question: q, head: oracle}", "variant 'a': 'oracle' is no head; known: zero_shot"),
        ("{", "cannot be read"),
    ],
)
def test_suite_that_breaks_a_rule_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(content)
    with pytest.raises(ParamsError, match=message):
        read_suite(path, HEADS, MAIN)


def test_variant_without_a_head_is_answered_by_the_main_one(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("- {name: a, topic: t, question: q}\n- {name: b, topic: t, question: q, head: zero_shot}")
    assert [one.head for one in read_suite(path, HEADS, MAIN)] == [MAIN, "zero_shot"]


def test_variants_are_chosen_by_name_in_the_suites_order() -> None:
    suite = [variant("a"), variant("b"), variant("c")]
    assert [v.name for v in choose(suite, ["c", "a"])] == ["a", "c"]
    assert choose(suite, []) == suite
    with pytest.raises(ParamsError, match="'d': not in the suite; it has a, b, c"):
        choose(suite, ["d"])


def test_plan_changes_what_was_asked_and_nothing_else() -> None:
    base, others = planned([variant(set={"fusion.hidden": 64})], seeds=[0, 1])
    assert [(job.variant, job.seed, job.changes) for job in base] == [("base", 0, {}), ("base", 1, {"seed": 1})]
    assert [job.changes for job in others] == [
        {"fusion.hidden": 64, "heads": ["fusion"]},
        {"fusion.hidden": 64, "heads": ["fusion"], "seed": 1},
    ]
    assert len({job.name for job in [*base, *others]}) == 4


def test_variant_that_the_base_answers_is_not_run() -> None:
    same = variant("same", set={"fusion.hidden": PARAMS["fusion"]["hidden"]})
    alone = variant("alone", head="motion_only", against="fusion")
    assert not needs_run(same, PARAMS)
    params = {**PARAMS, "heads": ["zero_shot"]}
    base, others = planned([same, alone], params)
    assert others == []
    assert base[0].changes == {"heads": ["zero_shot", "fusion", "motion_only"]}


def test_heads_on_demand_bring_their_stages_into_an_experiment() -> None:
    late = variant("late", head="frames_probe", against="zero_shot", set={"fusion.hidden": 64})
    for params, added in (
        ({**PARAMS, "related": []}, {"related": ["frames"]}),
        ({**PARAMS, "related": ["frames"]}, {}),
    ):
        base, others = planned([late, variant("usual", set={"fusion.hidden": 64})], params)
        assert base[0].changes == {}
        assert others[0].changes == {"fusion.hidden": 64, "heads": ["frames_probe"]} | added
        assert "related" not in others[1].changes


def test_a_job_is_known_again_by_its_name_while_it_would_come_out_the_same() -> None:
    def name(params: dict = PARAMS, code: str = "code", width: int = 64) -> str:
        return planned([variant(set={"fusion.hidden": width})], params, code=code)[1][0].name

    assert name() == name()
    others = {name(code="other"), name(width=65), name({**PARAMS, "motion": {**PARAMS["motion"], "cell_px": 16}})}
    assert len(others | {name()}) == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fusion.hiden": 64}, "variant 'narrow': parameter 'fusion.hiden': no such parameter"),
        ({"fusion.hidden": "wide"}, "variant 'narrow': parameter 'fusion.hidden'"),
        ({"fusion.dropout": 1.5}, "variant 'narrow': parameter 'fusion.dropout'"),
    ],
)
def test_a_change_that_cannot_be_is_refused_before_anything_runs(values: dict, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        planned([variant(set=values)])


def test_a_clear_loss_is_said_with_its_size() -> None:
    row = answer(variant(set={"fusion.hidden": 64}), PARAMS, [a_run(GOOD)], [a_run(POOR)], LEVEL)
    assert (row.top1_pct, row.delta_points, row.n_test, row.seeds) == (75.0, -25.0, 160, 1)
    assert (row.word, row.testable) == ("different", True)
    assert row.verdict == "25.0 points below"
    assert row.change == "fusion.hidden=64"
    assert row.top1_std_pct is None


def test_equal_hits_say_how_many_recordings_could_still_differ() -> None:
    row = answer(variant(set={"fusion.hidden": 64}), PARAMS, [a_run(POOR)], [a_run(POOR)], LEVEL)
    assert (row.delta_points, row.interval, row.word) == (0.0, None, "no video differs")
    assert row.verdict == "no video differs (at most 8.8 % of recordings)"  # 1 - .025^(1/40)


def scored(run: Run, shift: float) -> Run:
    """The same answers, with scores that a change may have moved."""
    outcomes = {
        head: {
            k: replace(own, scores=Scores(np.ones(80, int), *(np.full(80, 0.5 + shift) for _ in range(3))))
            for k, own in by_split.items()
        }
        for head, by_split in run.outcomes.items()
    }
    return replace(run, outcomes=outcomes)


def test_a_change_that_moves_not_one_score_cannot_be_tested_here() -> None:
    base, asked = scored(a_run(POOR), 0.0), variant(set={"fusion.hidden": 64})
    still = answer(asked, PARAMS, [base], [scored(a_run(POOR), 0.0)], LEVEL)
    assert (still.word, still.verdict, still.testable) == ("not testable here", "not testable here", False)
    moved = answer(asked, PARAMS, [base], [scored(a_run(POOR), 0.1)], LEVEL)
    assert moved.word == "no video differs"
    other = answer(asked, PARAMS, [base], [scored(a_run(GOOD), 0.0)], LEVEL)
    assert other.word == "different"


def test_a_question_of_sameness_is_answered_by_both_one_sided_tests() -> None:
    few = np.ones(4000, bool)
    few[:8:4] = False
    same = answer(variant(set={"fusion.hidden": 64}, equal_within=1.0), PARAMS, [a_run(np.ones(4000, bool))],
                  [a_run(few)], LEVEL)  # fmt: skip
    assert (same.word, same.verdict) == ("equal", "equal within 1 point")
    unsure = answer(variant(set={"fusion.hidden": 64}, equal_within=1.0), PARAMS, [a_run(GOOD)],
                    [a_run(np.arange(80) != 3)], LEVEL)  # fmt: skip
    assert unsure.word == "undecided"
    assert unsure.verdict.startswith("undecided: at most ")
    lost = answer(variant(set={"fusion.hidden": 64}, equal_within=1.0), PARAMS, [a_run(GOOD)], [a_run(POOR)], LEVEL)
    assert lost.verdict == "25.0 points below"


def test_questions_asked_together_share_their_false_discoveries() -> None:
    """Seven recordings, all one way: p = 1/64 alone, and with thirty questions of no difference no answer."""
    lucky = np.ones(80, bool)
    lucky[:28:4] = False
    one = answer(variant(set={"fusion.hidden": 64}), PARAMS, [a_run(GOOD, splits=(1,))], [a_run(lucky, splits=(1,))],
                 LEVEL)  # fmt: skip
    assert one.contrast.p == pytest.approx(2 / 2**7)
    (alone,) = answered_together([one])
    assert (alone.word, alone.contrast.q) == ("different", pytest.approx(2 / 2**7))
    swapped = np.ones(80, bool)
    swapped[0] = False
    other = np.ones(80, bool)
    other[4] = False
    idle = answer(variant(set={"fusion.hidden": 65}), PARAMS, [a_run(swapped)], [a_run(other)], LEVEL)
    many = answered_together([one, *[idle] * 30])
    assert many[0].contrast.q == pytest.approx(31 * 2 / 2**7)
    assert many[0].word == "no difference shown"
    assert many[0].interval is not None
    assert many[0].interval["high"] == 0.0  # it reaches to what the test allows


def test_seeds_are_averaged_video_by_video_and_spread_apart() -> None:
    half = np.arange(80) % 2 > 0
    row = answer(
        variant(set={"fusion.hidden": 64}), PARAMS, [a_run(GOOD), a_run(GOOD)], [a_run(GOOD), a_run(half)], LEVEL
    )
    assert (row.seeds, row.top1_pct, row.delta_points) == (2, 75.0, -25.0)
    assert row.top1_std_pct == pytest.approx(np.std([100, 50], ddof=1), abs=1e-3)


def test_a_head_is_held_against_another_of_the_base() -> None:
    base = Run({}, a_run(GOOD).outcomes | a_run(POOR, "motion_only").outcomes, {})
    row = answer(variant("mv", head="motion_only", against="fusion"), PARAMS, [base], [base], LEVEL)
    assert row.change == "motion_only for fusion"
    assert row.delta_points == -25.0
    assert row.cost is None


def test_videos_that_a_variant_dropped_are_left_out_of_the_difference() -> None:
    row = answer(variant(set={"fusion.hidden": 64}), PARAMS, [a_run(GOOD)], [a_run(GOOD, skip=8)], LEVEL)
    assert (row.n_test, row.delta_points) == (144, 0.0)
    with pytest.raises(DataError, match="no split in common"):
        answer(variant(), PARAMS, [a_run(GOOD, splits=(1,))], [a_run(GOOD, splits=(2,))], LEVEL)
