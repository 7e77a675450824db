"""The suite: what it refuses, which experiments it plans, and what its table says."""

from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.base.errors import DataError, ParamsError
from moclip.results.predictions import Outcomes
from moclip.results.suite import (
    CSV_COLUMNS,
    Cost,
    Run,
    Variant,
    answer,
    choose,
    csv_row,
    markdown,
    needs_run,
    plan,
    read_suite,
)
from moclip.results.summary import SPREAD_FIGURES, Bootstrap
from tests.support.imports import ROOT

PARAMS = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
BOOTSTRAP = Bootstrap(resamples=500, confidence_pct=95.0, seed=0)


def variant(name: str = "narrow", **values: object) -> Variant:
    return Variant.model_validate({"name": name, "topic": "Width", "question": "Does it need it?", **values})


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
    return Run({"dataset": "demo"}, {head: by_split}, {head: Cost(1000, 0.25)})


GOOD, POOR = np.ones(80, bool), np.arange(80) % 4 > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- {name: Wide, topic: t, question: q}", "String should match pattern"),
        ("- {name: a, topic: t, question: q, sett: {}}", "sett': no such parameter"),
        ("- {name: a, topic: t, question: q}\n- {name: a, topic: t, question: q}", "'a' stands twice"),
        ("- {name: base, topic: t, question: q}", "'base' stands twice"),
        ("- {name: a, topic: t, question: q, head: oracle}", "Input should be"),
        ("{", "cannot be read"),
    ],
)
def test_suite_that_breaks_a_rule_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(content)
    with pytest.raises(ParamsError, match=message):
        read_suite(path)


def test_variants_are_chosen_by_name_in_the_suites_order() -> None:
    suite = [variant("a"), variant("b"), variant("c")]
    assert [v.name for v in choose(suite, ["c", "a"])] == ["a", "c"]
    assert choose(suite, []) == suite
    with pytest.raises(ParamsError, match="variant 'd': not in the suite; it has a, b, c"):
        choose(suite, ["d"])


def test_plan_changes_what_was_asked_and_nothing_else() -> None:
    base, others = plan([variant(set={"fusion.hidden": 64})], PARAMS, [0, 1], "code")
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
    base, others = plan([same, alone], params, [0], "code")
    assert others == []
    assert base[0].changes == {"heads": ["zero_shot", "fusion", "motion_only"]}


def test_a_job_is_known_again_by_its_name_while_it_would_come_out_the_same() -> None:
    def name(params: dict = PARAMS, code: str = "code", width: int = 64) -> str:
        return plan([variant(set={"fusion.hidden": width})], params, [0], code)[1][0].name

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
        plan([variant(set=values)], PARAMS, [0], "code")


def test_a_clear_loss_is_said_with_its_size() -> None:
    row = answer(variant(set={"fusion.hidden": 64}), PARAMS, [a_run(GOOD)], [a_run(POOR)], BOOTSTRAP)
    assert (row.top1_pct, row.delta_points, row.n_test, row.seeds) == (75.0, -25.0, 160, 1)
    assert row.significant is True
    assert row.answer == "25.0 points below"
    assert row.change == "fusion.hidden=64"
    assert row.top1_std_pct is None


def test_equal_hits_show_no_difference() -> None:
    row = answer(variant(set={"fusion.hidden": 64}), PARAMS, [a_run(POOR)], [a_run(POOR)], BOOTSTRAP)
    assert (row.delta_points, row.significant, row.answer) == (0.0, False, "no difference shown")


def test_seeds_are_averaged_video_by_video_and_spread_apart() -> None:
    half = np.arange(80) % 2 > 0
    row = answer(
        variant(set={"fusion.hidden": 64}), PARAMS, [a_run(GOOD), a_run(GOOD)], [a_run(GOOD), a_run(half)], BOOTSTRAP
    )
    assert (row.seeds, row.top1_pct, row.delta_points) == (2, 75.0, -25.0)
    assert row.top1_std_pct == pytest.approx(np.std([100, 50], ddof=1), abs=1e-3)


def test_a_head_is_held_against_another_of_the_base() -> None:
    base = Run({}, a_run(GOOD).outcomes | a_run(POOR, "motion_only").outcomes, {})
    row = answer(variant("mv", head="motion_only", against="fusion"), PARAMS, [base], [base], BOOTSTRAP)
    assert row.change == "motion_only for fusion"
    assert row.delta_points == -25.0
    assert row.cost is None


def test_videos_that_a_variant_dropped_are_left_out_of_the_difference() -> None:
    row = answer(variant(set={"fusion.hidden": 64}), PARAMS, [a_run(GOOD)], [a_run(GOOD, skip=8)], BOOTSTRAP)
    assert (row.n_test, row.delta_points) == (144, 0.0)
    with pytest.raises(DataError, match="no split in common"):
        answer(variant(), PARAMS, [a_run(GOOD, splits=(1,))], [a_run(GOOD, splits=(2,))], BOOTSTRAP)


def test_tables_say_the_same() -> None:
    rows = [
        answer(variant(set={"fusion.hidden": 64}), PARAMS, [a_run(GOOD)], [a_run(POOR)], BOOTSTRAP),
        answer(variant("same"), PARAMS, [a_run(GOOD)], [a_run(GOOD)], BOOTSTRAP),
    ]
    text = markdown(rows, {0: a_run(GOOD)}, "ablations.yaml", BOOTSTRAP)
    assert "| narrow | Does it need it? | fusion.hidden=64 | 75.0 (160) | \N{MINUS SIGN}25.0 | " in text
    assert "| 1,000 | 0.2500 | 25.0 points below |" in text
    assert "is the base itself" in text
    assert "One seed was run" in text
    cells = dict(zip(CSV_COLUMNS, csv_row(rows[0]), strict=True))
    assert (cells["delta_points"], cells["trainable_parameters"], cells["top1_std_pct"]) == (-25.0, 1000, "")


def summary(top1_pct: dict[str, float]) -> dict:
    figures = {name: {"per_split": top1_pct} for name in SPREAD_FIGURES}
    facts = {"dataset": "demo", "complete": True, "splits": [1, 2], "n_classes": 2}
    return {**facts, "heads": {"fusion": figures}, "differences": {}}


def test_spread_over_seeds_of_the_base_stands_apart_from_that_over_splits() -> None:
    base = {
        seed: Run(summary({"1": value, "2": value + 10.0}), a_run(GOOD).outcomes, {})
        for seed, value in ((0, 80.0), (1, 84.0))
    }
    row = answer(variant(set={"fusion.hidden": 64}), PARAMS, list(base.values()), [a_run(POOR), a_run(GOOD)], BOOTSTRAP)
    text = markdown([row], base, "ablations.yaml", BOOTSTRAP)
    assert "| fusion | 87.0 | 2.8 | 7.1 |" in text
    assert "| 87.5 (160) | 17.7 | \N{MINUS SIGN}12.5 |" in text
    assert "averaged over 2 seeds" in text
