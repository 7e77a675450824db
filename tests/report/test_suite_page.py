"""The answers of a suite as a page, and as the rows of its table."""

import numpy as np

from moclip.report.suites.questions import as_markdown
from moclip.results.suite import CSV_COLUMNS, Run, answer, csv_row
from moclip.results.summary import SPREAD_FIGURES
from tests.results.test_suite import GOOD, LEVEL, PARAMS, POOR, a_run, variant

COMMITS = {"b" * 40: 1, "a" * 40: 2}


def test_tables_say_the_same() -> None:
    rows = [
        answer(variant(set={"fusion.hidden": 64}), PARAMS, [a_run(GOOD)], [a_run(POOR)], LEVEL),
        answer(variant("same"), PARAMS, [a_run(GOOD)], [a_run(GOOD)], LEVEL),
    ]
    text = as_markdown(rows, {0: a_run(GOOD)}, "ablations.yaml", LEVEL, COMMITS)
    assert "| narrow | Does it need it? | fusion.hidden=64 | 75.0 (160) | \N{MINUS SIGN}25.0 | " in text
    assert "| 1,000 | 0.2500 | 25.0 points below |" in text
    assert "is the base itself" in text
    assert "2 of its 3 runs are of the code and settings of commit `aaaaaaaaaa`;\n" in text
    assert "1 of its 3 runs is of the code and settings of commit `bbbbbbbbbb`.\n" in text
    differed, untestable = text.index("## What made a difference"), text.index("## What these data cannot test")
    assert differed < text.index("| narrow |") < untestable < text.index("| same |")
    assert "1 of 1 questions that these data can answer" in text
    assert text.index("| same |") < text.index("## How to read this")
    assert "intervals leave training noise out" in text
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
    row = answer(variant(set={"fusion.hidden": 64}), PARAMS, list(base.values()), [a_run(POOR), a_run(GOOD)], LEVEL)
    text = as_markdown([row], base, "ablations.yaml", LEVEL, COMMITS)
    assert "| fusion | 87.0 | 2.8 | 7.1 |" in text
    assert "| 87.5 (160) | 17.7 | \N{MINUS SIGN}12.5 |" in text
    assert "averaged over 2 values of `seed`" in text


def test_rows_without_a_difference_are_folded_by_topic_with_what_would_have_shown() -> None:
    nearly, worse = a_run(GOOD), a_run(np.arange(80) != 5)
    rows = [
        answer(variant("slight", set={"fusion.hidden": 64}), PARAMS, [nearly], [worse], LEVEL),
        answer(variant("bad", set={"fusion.hidden": 32}), PARAMS, [nearly], [a_run(POOR)], LEVEL),
    ]
    assert rows[0].word == "no difference shown"
    text = as_markdown(rows, {0: nearly}, "ablations.yaml", LEVEL, COMMITS)
    folded = text.partition("<details><summary>Width (1)</summary>")[2].partition("</details>")[0]
    assert "| slight |" in folded
    assert f"| {rows[0].contrast.detectable_points:.1f} |" in folded
    assert "| bad |" not in folded
