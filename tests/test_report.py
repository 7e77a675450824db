"""moclip.report: verdicts that claim no more than was measured, and a report for every choice of heads."""

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.history import Epoch
from moclip.predictions import ClassRow, Outcomes
from moclip.report import (
    HEADS,
    Inputs,
    data_title,
    decomposition,
    departures,
    difference_rows,
    draw,
    frequent_confusions,
    headline,
    judge,
    main_head,
    recall_gains,
    render,
    trained,
    worst_confusions,
)
from moclip.schema.run import Head

MINUS = "\N{MINUS SIGN}"
ROOT = Path(__file__).parents[1]
MEANS = {"zero_shot": 65.4, "motion_only": 60.0, "clip_probe": 82.5, "fusion": 89.0}
AUDIT: dict[str, Any] = {
    "encoders": {"Jump": {"mpeg4/XVID": 0, "mpeg4/xvid": 3}, "Run": {"mpeg4/XVID": 2, "mpeg4/xvid": 0}},
    "parts": [],
    "associations": [
        {"trait": "encoder", "cramers_v": 1.0, "shuffled_v": 0.8, "single": 2, "classes": 2, "groups": 5},
    ],
    "warnings": ["encoder and class go together: Cramer's V 1.00"],
}
HISTORY = [Epoch(0, 0.1, 2.0, 2.0, 10.0), Epoch(1, 0.1, 1.0, 1.0, 50.0)]


def summary(
    heads: list[str], dataset: str = "ucf101", complete: bool = True, splits: tuple[int, ...] = (1, 2, 3)
) -> dict[str, Any]:
    """Every split at the mean but for +-0.5, an interval of +-1 about it."""

    def spread(mean: float) -> dict[str, Any]:
        values = {str(k): mean + 0.5 * (k - 2) for k in splits}
        return {"mean": mean, "std": 0.5 if len(splits) > 1 else None, "per_split": values}

    def entry(head: str) -> dict[str, Any]:
        mean = MEANS[head]
        ends = {"low": mean - 1, "high": mean + 1}
        return {
            "top1_pct": spread(mean),
            "top5_pct": spread(mean + 5),
            "mean_class_pct": spread(mean - 1),
            "n_test": {str(k): 3783 for k in splits},
            "n_groups": {str(k): 707 for k in splits},
            "correct": {str(k): 3000 for k in splits},
            "top1_interval_pct": {"mean": ends, "per_split": {str(k): ends for k in splits}},
        }

    def difference(first: str, second: str) -> dict[str, Any]:
        gap = MEANS[first] - MEANS[second]
        ends = {"low": gap - 1, "high": gap + 1}
        return {**spread(gap), "interval": ends, "significant": True}

    pairs = [("fusion", other) for other in heads if other != "fusion" and "fusion" in heads]
    if {"clip_probe", "zero_shot"} <= set(heads):
        pairs.append(("clip_probe", "zero_shot"))
    return {
        "dataset": dataset,
        "complete": complete,
        "splits": list(splits),
        "n_classes": 101,
        "confidence_pct": 95.0,
        "resamples": 2000,
        "heads": {head: entry(head) for head in sorted(heads)},
        "differences": {f"{a}_minus_{b}": difference(a, b) for a, b in pairs},
    }


def outcomes(actual: str, predicted: str) -> Outcomes:
    ids = np.array([f"v_{i}" for i in range(len(actual))])
    return Outcomes(ids, ids, np.array(list(actual)), np.array(list(predicted)))


def params() -> dict[str, Any]:
    return copy.deepcopy(YAML(typ="safe", pure=True).load(ROOT / "params.yaml"))


def inputs(heads: list[str], **options: Any) -> Inputs:
    values = summary(heads, **options)
    rows = {
        "fusion": [ClassRow("Run", 4, 4), ClassRow("Jump", 4, 2), ClassRow("Still", 0, 0)],
        "clip_probe": [ClassRow("Run", 4, 1), ClassRow("Jump", 4, 3), ClassRow("Still", 0, 0)],
    }
    return Inputs(
        summary=values,
        params=params(),
        class_rows={head: {k: rows.get(head, []) for k in values["splits"]} for head in heads},
        outcomes={k: outcomes("RRJJ", "RJJJ") for k in values["splits"]},
        histories={name: dict.fromkeys(values["splits"], HISTORY) for name in heads if name != "zero_shot"},
        audit=copy.deepcopy(AUDIT),
        contact_sheet="contact_sheet.png",
        digests={"manifest.csv": "ab" * 32},
        versions={"numpy": "2.4.6"},
    )


def report(directory: Path, heads: list[str], **options: Any) -> str:
    given = inputs(heads, **options)
    drawn = draw(given, directory)
    assert sorted(drawn.values()) == sorted(path.name for path in directory.iterdir())
    return render(given, {chart: f"figures/{name}" for chart, name in drawn.items()})


def test_every_head_has_a_name_in_the_report() -> None:
    assert set(HEADS) == set(Head.__args__)


def test_a_claim_is_judged_by_interval_and_spread() -> None:
    verdicts = {judged.claim.head: judged.verdict for judged in judge(summary(list(MEANS)))}
    assert verdicts["zero_shot"] == "reproduced"  # 65.0 in 64.4..66.4
    assert verdicts["fusion"] == "reproduced"
    assert verdicts["motion_only"] == "not reproduced"  # 66.5 above 59..61
    assert headline(summary(list(MEANS))).endswith("2 reproduced, 1 not reproduced.")


def test_the_spread_over_splits_counts_as_well_as_the_interval() -> None:
    wide = summary(["motion_only"])
    wide["heads"]["motion_only"]["top1_pct"]["std"] = 7.0
    assert [judged.verdict for judged in judge(wide)][1] == "reproduced"


def test_without_interval_or_spread_nothing_is_judged() -> None:
    bare = summary(["fusion"], splits=(1,))
    bare["heads"]["fusion"]["top1_interval_pct"]["mean"] = None
    assert {judged.verdict for judged in judge(bare)} == {"not tested"}


def test_a_head_that_did_not_run_is_not_tested() -> None:
    assert headline(summary(["zero_shot"])).endswith("1 reproduced, 2 not tested.")


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
def test_other_data_than_all_of_ucf101_test_no_claim(tmp_path: Path, dataset: str, complete: bool, title: str) -> None:
    values = summary(list(MEANS), dataset, complete)
    assert data_title(values) == title
    assert {judged.verdict for judged in judge(values)} == {"not tested"}
    text = report(tmp_path, list(MEANS), dataset=dataset, complete=complete)
    assert f"claims were NOT tested: this run used {title}.**" in text
    assert "reproduced |" not in text
    assert text.startswith(f"# MoCLIP-Lite on {title}\n")


@pytest.mark.parametrize("splits", [(1, 2, 3), (2,)])
@pytest.mark.parametrize(
    "heads",
    [
        ["zero_shot"],
        ["motion_only"],
        ["clip_probe", "zero_shot"],
        ["fusion", "motion_only"],
        list(MEANS),
    ],
)
def test_every_choice_of_heads_and_splits_has_a_sound_report(
    tmp_path: Path, heads: list[str], splits: tuple[int, ...]
) -> None:
    text = report(tmp_path, heads, splits=splits)
    for target in re.findall(r"\]\(figures/([^)]+)\)", text):
        assert (tmp_path / target).is_file()
    assert ("## Gain by class" in text) == ({"fusion", "clip_probe"} <= set(heads))
    assert ("## What each part adds" in text) == (len(heads) > 1)
    assert ("None: no head of this run is trained" in text) == (heads == ["zero_shot"])
    assert ("With one split there is no such spread" in text) == (len(splits) == 1)
    assert ("**Not run**" in text) == (set(heads) < set(HEADS))
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):  # a table is as wide all through
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    assert "None" not in text.replace("None: no head", "")


def test_equal_inputs_give_equal_text_and_figures(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    assert report(one, list(MEANS)) == report(two, list(MEANS))
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_the_table_holds_the_numbers(tmp_path: Path) -> None:
    text = report(tmp_path, list(MEANS))
    assert "| **fusion** | 88.5 | 89.0 | 89.5 | **89.0** | 0.5 | 88.0 to 90.0 | 94.0 | 88.0 |" in text
    assert f"| fusion {MINUS} CLIP probe (best other head) | +6.5 | +5.5 to +7.5 | significant |" in text


def test_a_difference_about_zero_is_called_not_significant(tmp_path: Path) -> None:
    given = inputs(["fusion", "clip_probe"])
    difference = given.summary["differences"]["fusion_minus_clip_probe"]
    difference.update(mean=-0.2, interval={"low": -1.0, "high": 0.6}, significant=False)
    text = render(given, {"accuracy": "a.svg"})
    assert f"adds to a CLIP probe: {MINUS}0.2 points ({MINUS}1.0 to +0.6), not significant." in text


def test_a_head_without_errors_has_no_confusion_and_a_warning(tmp_path: Path) -> None:
    given = inputs(["fusion"], splits=(1,))
    given.outcomes[1].predicted[:] = given.outcomes[1].actual  # type: ignore[index]
    given.summary["heads"]["fusion"]["top1_interval_pct"]["mean"] = {"low": 100.0, "high": 100.0}
    text = render(given, draw(given, tmp_path))
    assert "It made none on these test videos." in text
    assert "**without width**" in text


def test_difference_rows_put_the_strongest_rival_first() -> None:
    rows = difference_rows(summary(list(MEANS)))
    assert [(row["head"], row["other"], row["best_other"]) for row in rows] == [
        ("fusion", "clip_probe", True),
        ("fusion", "zero_shot", False),
        ("fusion", "motion_only", False),
        ("clip_probe", "zero_shot", False),
    ]


def test_the_gain_over_zero_shot_is_split_into_parts_that_add_up() -> None:
    parts = decomposition(summary(list(MEANS)))
    assert parts is not None
    assert parts["total"] == pytest.approx(parts["supervision"] + parts["motion"])
    assert decomposition(summary(["fusion", "zero_shot"])) is None


def test_gains_pool_the_splits_and_skip_untested_classes() -> None:
    gains = recall_gains(inputs(["fusion", "clip_probe"]).class_rows)
    assert gains == {"Run": 75.0, "Jump": -25.0}
    assert recall_gains(inputs(["fusion"]).class_rows) == {}


def test_worst_confusions_counts_and_gathers_the_rest() -> None:
    counts, rows, columns = worst_confusions([outcomes("aab", "abb"), outcomes("bc", "cc")])  # type: ignore[misc]
    assert (rows, columns) == (["a", "b"], ["a", "b", "c"])
    assert counts.tolist() == [[1, 1, 0], [0, 1, 1]]
    many = "abcdefghijklmnopqrst"  # each class is taken for the seventh after it
    counts, rows, columns = worst_confusions([outcomes(many, many[7:] + many[:7])])  # type: ignore[misc]
    assert (len(rows), columns[-1]) == (12, "any other")
    assert counts.sum(axis=1).tolist() == [1] * 12
    assert worst_confusions([outcomes("ab", "ab")]) is None


def test_frequent_confusions_are_sorted_and_say_of_how_many() -> None:
    found = frequent_confusions([outcomes("aabbb", "abaac"), outcomes("aa", "bc")], 3)
    assert found == [("a", "b", 2, 4), ("b", "a", 2, 3), ("a", "c", 1, 4)]
    assert frequent_confusions([outcomes("ab", "ab")], 3) == []


def test_departures_compare_values_not_their_spelling() -> None:
    here = params()
    here["fusion"]["hidden"] = 512
    here["motion_net"]["bound_px"] = 20
    named = {key: (ours, theirs) for key, ours, theirs in departures(here)}
    assert "fusion.hidden" not in named
    assert "motion_net.bound_px" not in named
    assert named["motion_net.pretrained"] == ("false", "true")


def test_parameters_that_the_run_did_not_read_are_left_out(tmp_path: Path) -> None:
    text = report(tmp_path, ["zero_shot"])
    assert "`demo.groups`" in text
    assert "data.root" not in text
    given = inputs(["zero_shot"])
    given.params["data"]["source"] = "ucf101"
    given.params["clip"]["model"] = "ViT-B-32"
    text = render(given, {"accuracy": "a.svg"})
    assert "`demo." not in text
    assert "`demo_clip." not in text
    assert "departs from the paper's published code" in text


def test_a_head_without_epochs_is_not_trained() -> None:
    assert trained({1: HISTORY})
    assert not trained({1: [], 2: []})


def test_main_head_is_fusion_or_the_nearest_to_it() -> None:
    assert main_head(["fusion", "zero_shot"]) == "fusion"
    assert main_head(["motion_only", "zero_shot"]) == "motion_only"


def test_traits_that_give_a_class_away_are_told_and_drawn(tmp_path: Path) -> None:
    given = inputs(list(MEANS))
    text = render(given, draw(given, tmp_path))
    assert "| encoder | 1.00 | 0.80 | 2 of 2 |" in text
    assert "- **Warning**: encoder and class go together" in text
    assert (tmp_path / "encoders.svg").stat().st_size > 1000
    assert "](encoders.svg)" in text


def test_videos_that_are_all_alike_are_said_to_be(tmp_path: Path) -> None:
    given = inputs(list(MEANS))
    given.audit.update(associations=[], warnings=[], encoders={"Run": {"mpeg4/FMP4": 2}, "Jump": {"mpeg4/FMP4": 3}})
    drawn = draw(given, tmp_path)
    assert "encoders" not in drawn
    assert "nothing there can tell the classes apart" in render(given, drawn)
