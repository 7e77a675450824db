"""moclip.report: verdicts that claim no more than was measured, and a report for every choice of heads."""

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from moclip.base.markdown import signed
from moclip.heads.registry import HEADS as REGISTRY
from moclip.report.page import (
    ReportData,
    decomposition,
    difference_rows,
    draw,
    frequent_confusions,
    gained,
    optimism_by_head,
    report_page,
    systems,
    trained,
    worst_confusions,
)
from moclip.report.papers import read_papers
from moclip.report.verdict import judge, motion_adds
from moclip.results.estimate import Design
from moclip.results.gains import ClassGain
from moclip.results.predictions import Outcomes
from moclip.results.seeds import Seeds, differences_of
from tests.support.epochs import epoch

MINUS = "\N{MINUS SIGN}"
ROOT = Path(__file__).parents[2]
MEANS = {"zero_shot": 65.4, "motion_only": 60.0, "clip_probe": 82.5, "fusion": 89.0}
CONTROLS = {"metadata_only": 5.0, "linear_probe": 82.0, "score_average": 86.0, "motion_permuted": 82.1}
ALL = MEANS | CONTROLS
GAINS = [
    ClassGain("Run", 12, 9, 12, 3, 75.0, 50.0, 100.0, 0.004, 0.008, True),
    ClassGain("Jump", 12, 9, 6, 9, -25.0, -60.0, 10.0, 0.25, 0.25, False),
]
PAPERS = read_papers(ROOT / "papers")


def protocol(inputs: int, crops: int, in_the_code: bool, gmac: float) -> dict[str, Any]:
    words = f"{inputs} segments, {crops} crop{'s' if crops > 1 else ''}"
    return {"words": words, "inputs": inputs, "crops": crops, "in_the_code": in_the_code, "gmac": gmac}


_COST = {"trainable_parameters": 1000, "trained_in_all": 2000}
ACCOUNTING: dict[str, Any] = {
    "papers": {
        "moclip_lite": {
            "parameters": {
                "count": 969_829,
                "of": "1792-512-101",
                "beside": "the motion network's 4,136,645 are not in it",
            },
            "clip_frame_gmac": 4.4088,
            "motion_input_gmac": 0.3811,
            "protocols": [
                protocol(3, 1, False, 5.55),
                protocol(32, 1, True, 16.6034),
                protocol(25, 10, True, 99.6726),
            ],
        },
        "evl": {
            "parameters": {"count": 33_183_376, "of": "4 layers of 768", "beside": "CLIP is frozen and not in it"},
            "clip_frame_gmac": 17.5635,
            "decoder_gmac": 1.87,
            "protocols": [{"words": "8 frames, 3 views", "in_the_code": True, "gmac": 443.97}],
        },
    },
    "run": {
        "clip": {"model": "demo", "parameters": 1_329_368, "frame_gmac": 0.018302},
        "motion_net": {"arch": "small", "parameters": 178_512, "field": [18, 24], "input_gmac": 0.008, "inputs": 8},
        "video_bytes": {"mean": 25_000, "least": 19_000, "most": 31_000},
        "heads": {
            head: {**_COST, "gmac_per_video": gmac}
            for gmac, names in (
                (0.018, ("zero_shot", "clip_probe", "linear_probe")),
                (0.067, ("motion_only",)),
                (0.085, ("fusion", "motion_permuted", "score_average")),
            )
            for head in names
        },
    },
}
AUDIT: dict[str, Any] = {
    "encoders": {"Jump": {"mpeg4/XVID": 0, "mpeg4/xvid": 3}, "Run": {"mpeg4/XVID": 2, "mpeg4/xvid": 0}},
    "parts": [],
    "associations": [
        {"trait": "encoder", "cramers_v": 1.0, "shuffled_v": 0.8, "single": 2, "classes": 2, "groups": 5},
    ],
    "warnings": ["encoder and class go together: Cramer's V 1.00"],
}
HISTORY = [epoch(0, 2.0, 2.0, 10.0), epoch(1, 1.0, 1.0, 50.0)]


def summary(
    heads: list[str], dataset: str = "ucf101", complete: bool = True, splits: tuple[int, ...] = (1, 2, 3)
) -> dict[str, Any]:
    """Every split at the mean but for +-0.5, an interval of +-1 about it."""

    def spread(mean: float) -> dict[str, Any]:
        values = {str(k): mean + 0.5 * (k - 2) for k in splits}
        ends = {"least": min(values.values()), "most": max(values.values())}
        return {"mean": mean, "std": 0.5 if len(splits) > 1 else None, **ends, "per_split": values}

    def entry(head: str) -> dict[str, Any]:
        mean = ALL[head]
        ends = {"low": mean - 1, "high": mean + 1}
        return {
            "top1_pct": spread(mean),
            "top5_pct": spread(mean + 5),
            "mean_class_pct": spread(mean - 1),
            "ece_pct": spread(4.25),
            "nll_nats": spread(1.5),
            "n_test": {str(k): 3783 for k in splits},
            "n_groups": {str(k): 707 for k in splits},
            "correct": {str(k): 3000 for k in splits},
            "top1_interval_pct": {
                "mean": ends,
                "per_split": {k: {"low": v - 1, "high": v + 1} for k, v in spread(mean)["per_split"].items()},
            },
            "top1_error": {"se_points": 0.5, "df": 606, "merged_classes": 0},
            "constant": {"always": head == "metadata_only"},
            "calibration": {"ece_pct": 4.25, "calibrated_pct": 1.5, "calibrated_high_pct": 2.0},
            "scores": {
                "nll_nats": {"mean": 1.5, "interval": {"low": 1.4, "high": 1.6}},
                "brier": {"mean": 0.5, "interval": {"low": 0.45, "high": 0.55}},
            },
        }

    def difference(first: str, second: str) -> dict[str, Any]:
        gap = ALL[first] - ALL[second]
        ends = {"low": gap - 1, "high": gap + 1}
        by_split = {k: {"low": v - 1, "high": v + 1} for k, v in spread(gap)["per_split"].items()}
        primary = (first, second) == ("fusion", "clip_probe")
        judged = {"word": "different", "p": 0.0001, "q": None if primary else 0.0002, "primary": primary}
        sizes = {"se_points": 0.5, "df": 606, "detectable_points": 1.4, "groups": 2121, "moved_groups": 300}
        score = {"mean": -0.1, "interval": {"low": -0.2, "high": -0.05}}
        return {
            **{**spread(gap), "interval": ends, "interval_per_split": by_split, **judged, **sizes, "moved_videos": 500},
            **{"at_most_pct": None, "scores": {"nll_nats": score, "brier": score}},
        }

    pairs = [("fusion", other) for other in heads if other != "fusion" and "fusion" in heads]
    if {"clip_probe", "zero_shot"} <= set(heads):
        pairs.append(("clip_probe", "zero_shot"))
    return {
        "dataset": dataset,
        "complete": complete,
        "splits": list(splits),
        "n_classes": 101,
        "confidence_pct": 95.0,
        "fdr_pct": 5.0,
        "by_class": {"up": 90, "down": 3, "sign_p": 0.0001, "unlike_p": 0.03, "fewest": 1, "groups_of_class": 21},
        "heads": {head: entry(head) for head in sorted(heads)},
        "differences": {f"{a}_minus_{b}": difference(a, b) for a, b in pairs},
    }


def outcomes(actual: str, predicted: str) -> Outcomes:
    ids = np.array([f"v_{i}" for i in range(len(actual))])
    return Outcomes(ids, ids, np.array(list(actual)), np.array(list(predicted)))


def params() -> dict[str, Any]:
    return copy.deepcopy(YAML(typ="safe", pure=True).load(ROOT / "params.yaml"))


def report_data(heads: list[str], **options: Any) -> ReportData:
    values = summary(heads, **options)
    return ReportData(
        summary=values,
        params=params(),
        trials=judge(PAPERS, values, params(), ACCOUNTING["papers"]),
        gains=GAINS if {"fusion", "clip_probe"} <= set(heads) else [],
        accounting=copy.deepcopy(ACCOUNTING),
        outcomes={k: outcomes("RRJJ", "RJJJ") for k in values["splits"]},
        histories={name: dict.fromkeys(values["splits"], HISTORY) for name in heads if name != "zero_shot"},
        audit=copy.deepcopy(AUDIT),
        contact_sheet="contact_sheet.png",
        digests={"manifest.csv": "ab" * 32},
        versions={"numpy": "2.4.6"},
    )


def report(directory: Path, heads: list[str], **options: Any) -> str:
    given = report_data(heads, **options)
    drawn = draw(given, directory)
    assert sorted(drawn.values()) == sorted(path.name for path in directory.iterdir())
    return report_page(given, {chart: f"figures/{name}" for chart, name in drawn.items()})


def test_the_report_opens_with_the_verdict(tmp_path: Path) -> None:
    text = report(tmp_path, list(MEANS), dataset="demo")
    lines = text.splitlines()
    assert lines[0] == "# MoCLIP-Lite on generated demo data"
    assert [line.partition(".**")[0] for line in lines[2:7:2]] == ["**The claim", "**The run", "**What follows"]
    verdict = lines.index("## Verdict")
    assert lines[verdict + 2] == "### MoCLIP-Lite, arXiv 2509.17084"
    assert "**Accuracies: all 3 not comparable (this run used generated demo data)." in lines[verdict + 4]
    assert re.search(r"\*not comparable\*<details><summary>\d reasons</summary>.*`clip.model` demo", text)
    first = lines[: lines.index("### EVL, arXiv 2208.03550")]
    table = [line for line in first if "UCF101 |" in line or "fusion head |" in line or "Cost of one video" in line]
    assert len(table) == 5
    assert "| 0.97 M | 969,829 (1792-512-101) | *reproduced*: the motion network's 4,136,645 are not in it |" in text
    assert "| 16.9 GFLOPs | 16.6 G (32 segments, 1 crop) | *reproduced*: 1.8 % less" in text
    assert "**Accuracies: 1 not run. Differences: 1 not run. Parameters and multiply-adds: both reproduced.**" in lines
    titles = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
    assert titles[: len(PAPERS)] == [paper.named for paper in PAPERS.values()]
    assert text.index("## Verdict") < text.index("## Accuracy") < text.index("## What motion adds over a CLIP probe")


def test_every_system_has_its_row_beside_its_base_or_the_command_that_runs_it(tmp_path: Path) -> None:
    table = report(tmp_path, list(MEANS), dataset="demo").partition("## The systems")[2].partition("</details>")[0]
    rows = {line.split(" | ")[0].strip("| "): line for line in table.splitlines() if line.startswith("| ")}
    assert [paper.named for paper in PAPERS.values()] == list(rows)[2:]
    gap = "+6.5 (+5.5 to +7.5) over CLIP probe"
    assert f"| 89.0<br>(88.0\N{EN DASH}90.0) | {gap} | 1,000 | " in rows["MoCLIP-Lite, arXiv 2509.17084"]
    command = 'dvc exp run -S "heads=[zero_shot,motion_only,clip_probe,frames_probe,evl,fusion]" -S "related=[frames]"'
    assert f"| *not run* | `{command}` |  |  | 2 not run" in rows["EVL, arXiv 2208.03550"].replace("2 reproduced, ", "")
    assert all(f"- **{paper.title}**: {paper.left_out[0]}" in table for paper in PAPERS.values())
    assert "bounded near one half" in table


def test_a_system_is_held_against_its_base_on_the_same_frames() -> None:
    given = report_data(["clip_probe", "fusion"])
    heads, pairs = given.summary["heads"], given.summary["differences"]
    heads |= {"frames_probe": heads["clip_probe"], "evl": heads["fusion"]}
    pairs["evl_minus_frames_probe"] = pairs["fusion_minus_clip_probe"] | {"mean": 2.5}
    row = next(row for row in systems(given) if row["paper"].title == "EVL")
    assert (row["base"], row["gain"]["mean"], row["why"]) == ("frames_probe", 2.5, "")
    del pairs["evl_minus_frames_probe"]
    assert next(row for row in systems(given) if row["paper"].title == "EVL")["gain"] is None


def test_a_planted_leak_shows_as_a_number(tmp_path: Path) -> None:
    """Validation peaks at the second epoch, the test list at the first, by six points."""
    given = report_data(list(MEANS))
    assert "Chosen on the test list" not in report_page(given, draw(given, tmp_path))
    given.params["fusion"]["select"] = "test"
    given = replace(given, trials=judge(PAPERS, given.summary, given.params, ACCOUNTING["papers"]))
    leaked = [epoch(0, 2.0, 2.0, 40.0, 61.0), epoch(1, 1.0, 1.0, 50.0, 55.0)]
    for head in ("clip_probe", "fusion"):
        given.histories[head] = dict.fromkeys(given.summary["splits"], leaked)  # type: ignore[index]
    text = report_page(given, draw(given, tmp_path))
    assert "> † **Chosen on the test list** (`select: test`): CLIP probe, fusion." in text
    assert "> - fusion: +6.0 points of optimism, over the epoch that validation chooses (split 1: +6.0" in text
    assert "| **fusion** † |" in text
    assert "| **zero-shot CLIP** |" in text
    assert "split 1 † | *not" in text
    assert list(optimism_by_head(given.histories)) == ["clip_probe", "fusion"]


def test_pretraining_on_test_videos_is_said_beside_the_accuracies(tmp_path: Path) -> None:
    given = report_data(["zero_shot", "clip_probe", "fusion"])
    given.params["motion_pretrain"] = {"method": "mcl", "videos": "train"}
    figures = draw(given, tmp_path)
    assert "Transductive" not in report_page(given, figures)
    given.params["motion_pretrain"]["videos"] = "all"
    text = report_page(given, figures)
    assert "> **Transductive** (`motion_pretrain.videos: all`): fusion. Their motion networks learnt" in text
    assert text.index("Transductive") < text.index("## Accuracy")


def test_a_leak_without_validation_is_named_without_a_number(tmp_path: Path) -> None:
    given = report_data(["fusion"])
    given.params["fusion"]["select"] = "test"
    text = report_page(given, draw(given, tmp_path))
    assert "> By how much cannot be said, for nothing was held out for validation." in text


@pytest.mark.parametrize("splits", [(1, 2, 3), (2,)])
@pytest.mark.parametrize(
    "heads",
    [
        ["zero_shot"],
        ["motion_only"],
        ["clip_probe", "zero_shot"],
        ["fusion", "motion_only"],
        list(MEANS),
        list(ALL),
    ],
)
def test_every_choice_of_heads_and_splits_has_a_sound_report(
    tmp_path: Path, heads: list[str], splits: tuple[int, ...]
) -> None:
    text = report(tmp_path, heads, splits=splits)
    for target in re.findall(r"\]\(figures/([^)]+)\)", text):
        assert (tmp_path / target).is_file()
    assert ("### By class" in text) == ({"fusion", "clip_probe"} <= set(heads))
    assert ("## What motion adds over a CLIP probe" in text) == ({"fusion", "clip_probe"} <= set(heads))
    assert ("All paired differences" in text) == (len(heads) > 1)
    assert ("None: no head of this run is trained" in text) == (heads == ["zero_shot"])
    assert ("it is a range, not an error bar" in text) == (len(splits) > 1)
    assert ("**No spread by design**: metadata alone" in text) == ("metadata_only" in heads)
    assert ("**Not run**" in text) == (len(heads) < len(REGISTRY))
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):  # a table is as wide all through
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    assert "None" not in text.replace("None: no head", "")


def test_equal_inputs_give_equal_text_and_figures(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    assert report(one, list(MEANS)) == report(two, list(MEANS))
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_the_tables_hold_the_numbers(tmp_path: Path) -> None:
    text = report(tmp_path, list(MEANS))
    dash = "\N{EN DASH}"
    cells = [f"{mean}<br>({mean - 1}{dash}{mean + 1})" for mean in (88.5, 89.0, 89.5)]
    assert f"| **fusion** | {' | '.join(cells)} | **89.0**<br>(88.0{dash}90.0) | 88.5 to 89.5 |" in text
    assert (
        "| fusion | 94.0 | 88.0 | 1.50<br>(1.40 to 1.60) | 0.500<br>(0.450 to 0.550) | 4.2 | 1.5, up to 2.0 |" in text
    )
    row = f"| fusion {MINUS} CLIP probe (best other head) | +6.5 | +5.5 to +7.5 | < .001 | named beforehand | 1.4 | "
    assert f"{row}{MINUS}0.10<br>({MINUS}0.20 to {MINUS}0.05) | different |" in text
    by_split = "+6.0<br>(+5.0 to +7.0) | +6.5<br>(+5.5 to +7.5) | +7.0<br>(+6.0 to +8.0)"
    assert f"| CLIP probe | {by_split} | **+6.5**<br>(+5.5 to +7.5) | +6.0 to +7.0 | < .001 | different |" in text
    assert "| fusion | 1,000 | 2,000 | 85.0 |" in text
    assert f"| 32 | 1 | 16.6 G (a test of the code) | {MINUS}1.8 % (nearest) | 33.2 G |" in text


def test_what_motion_adds_is_held_against_every_head_that_knows_none(tmp_path: Path) -> None:
    rows = motion_adds(summary(list(ALL)))
    assert [row["other"] for row in rows] == ["clip_probe", "linear_probe", "motion_permuted"]
    assert motion_adds(summary(["fusion", "motion_only"])) == []


def test_a_difference_about_zero_says_what_is_still_compatible(tmp_path: Path) -> None:
    given = report_data(["fusion", "clip_probe"])
    difference = given.summary["differences"]["fusion_minus_clip_probe"]
    difference.update(mean=-0.2, interval={"low": -1.0, "high": 0.6}, word="no difference shown", p=0.3)
    text = report_page(given, {"accuracy": "a.svg"})
    said = "no difference shown: at most 1.0 below, 0.6 above (p .300)."
    assert f"over a CLIP probe: **{MINUS}0.2 points** ({MINUS}1.0 to +0.6), {said}" in text


def test_a_head_without_errors_has_no_confusion(tmp_path: Path) -> None:
    given = report_data(["fusion"], splits=(1,))
    given.outcomes[1].predicted[:] = given.outcomes[1].actual  # type: ignore[index]
    text = report_page(given, draw(given, tmp_path))
    assert "It made none on these test videos." in text


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
    assert parts["total"]["mean"] == pytest.approx(parts["supervision"]["mean"] + parts["motion"]["mean"])
    assert decomposition(summary(["fusion", "zero_shot"])) is None


def test_gains_are_counted_by_what_can_be_said_of_them() -> None:
    assert gained(GAINS) == {"up": 1, "down": 0, "open": 1}
    assert gained([]) == {"up": 0, "down": 0, "open": 0}


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


def test_parameters_that_the_run_did_not_read_are_left_out(tmp_path: Path) -> None:
    text = report(tmp_path, ["zero_shot"])
    assert "`demo.groups`" in text
    assert "data.root" not in text
    given = report_data(["zero_shot"])
    given.params["data"]["source"] = "ucf101"
    given.params["clip"]["model"] = "ViT-B-32"
    given = replace(given, trials=judge(PAPERS, given.summary, given.params, ACCOUNTING["papers"]))
    text = report_page(given, {"accuracy": "a.svg"})
    assert "`demo." not in text
    assert "`demo_clip." not in text
    assert "departs from the paper's published code" in text


def test_a_head_without_epochs_is_not_trained() -> None:
    assert trained({1: HISTORY})
    assert not trained({1: [], 2: []})


def test_traits_that_give_a_class_away_are_told_and_drawn(tmp_path: Path) -> None:
    given = report_data(list(MEANS))
    text = report_page(given, draw(given, tmp_path))
    assert "| encoder | 1.00 | 0.80 | 2 of 2 |" in text
    assert "- **Warning**: encoder and class go together" in text
    assert (tmp_path / "encoders.svg").stat().st_size > 1000
    assert "](encoders.svg)" in text


def test_videos_that_are_all_alike_are_said_to_be(tmp_path: Path) -> None:
    given = report_data(list(MEANS))
    given.audit.update(associations=[], warnings=[], encoders={"Run": {"mpeg4/FMP4": 2}, "Jump": {"mpeg4/FMP4": 3}})
    drawn = draw(given, tmp_path)
    assert "encoders" not in drawn
    assert "nothing there can tell the classes apart" in report_page(given, drawn)


def test_seen_and_unseen_classes_have_a_table_where_a_head_saw_some_alone(tmp_path: Path) -> None:
    def figure(mean: float) -> dict[str, Any]:
        return {"mean": mean, "per_split": {"1": mean}, "n_test": 9, "interval": {"low": mean - 2, "high": mean + 2}}

    def minus(mean: float) -> dict[str, Any]:
        return {"mean": mean, "interval": {"low": mean - 3, "high": mean + 3}, "word": "different"}

    first = {"model": "CLIP itself", "seen": figure(50.0), "unseen": figure(48.0), "harmonic_mean": figure(49.0)}
    own = {"model": "zero_shot", "seen": figure(60.0), "unseen": figure(44.0), "harmonic_mean": figure(50.8)}
    rows = [
        {**first, "minus_first": None},
        {**own, "minus_first": {"seen": minus(10.0), "unseen": minus(-4.0)}},
    ]
    given = report_data(["zero_shot"])
    assert "seen and unseen" not in report_page(given, draw(given, tmp_path))
    given.summary["heads"]["zero_shot"]["halves"] = {"rows": rows}
    text = report_page(given, draw(given, tmp_path))
    dash = "\N{EN DASH}"
    assert "## zero-shot CLIP: seen and unseen classes" in text
    both = f"50.0<br>(48.0{dash}52.0) | 48.0<br>(46.0{dash}50.0) | 49.0<br>(47.0{dash}51.0)"
    assert f"| CLIP itself | {both} |  |  |" in text
    assert f"| +10.0<br>(+7.0 to +13.0) | {MINUS}4.0<br>({MINUS}7.0 to {MINUS}1.0) |" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    assert "None" not in text.replace("None: no head", "")


def searched() -> dict[str, Any]:
    """What the stage `search` writes, in small."""
    of = {"mean": 50.0, "per_split": {"1": 50.0}, "interval": {"low": 40.0, "high": 60.0}}
    metrics = dict.fromkeys(("r1_30", "r1_50", "r1_70", "miou", "kept"), of)
    chosen = {"chosen": {"1": "threshold", "2": "query, best 4 merged"}}
    return {
        **{"every_s": 0.16, "queries": {"1": 36}, "films": {"1": 3}, "minutes": {"1": 3.46}, "left_out": {"1": 0}},
        "rows": [
            {"name": "query", "title": "query", **chosen, **metrics},
            {"name": "uniform", "title": "even chunks", **chosen, **metrics},
        ],
        "differences": {"query_minus_uniform": metrics, "query_minus_shots": metrics},
        "by_example": [{"target": "same class", "by": "motion", **chosen, **metrics}],
    }


def test_a_search_has_a_table_of_its_own_and_no_place_without_one(tmp_path: Path) -> None:
    given = report_data(list(MEANS), dataset="demo")
    without = report_page(given, draw(given, tmp_path))
    text = report_page(replace(given, search=searched()), draw(given, tmp_path))
    assert "Moments in long videos" not in without
    assert "`search.every_s`" not in without
    assert "36 in 3 videos of 3.46 minutes in all (split 1)." in text
    assert "50.0 R1 at IoU 0.5<br>(40.0\N{EN DASH}60.0) | +50.0 (+40.0 to +60.0) over even chunks" in text
    assert "*not run* | `moclip preset related`" in without
    assert "| query | 50.0<br>(40.0\N{EN DASH}60.0) |" in text
    assert "threshold; query, best 4 merged |" in text
    assert "| query \N{MINUS SIGN} uniform |" in text
    assert "| same class | motion |" in text
    assert "two\n  classes share" in text
    elsewhere = replace(given, search=searched(), params={**given.params, "data": {"source": "ucf101", "root": "x"}})
    assert "classes share" not in report_page(elsewhere, draw(given, tmp_path))


def test_errors_over_videos_and_over_trainings_are_printed_apart_and_together(tmp_path: Path) -> None:
    heads = ["zero_shot", "motion_only", "fusion"]
    data, rng = report_data(heads), np.random.default_rng(0)
    drawn = {chart: f"figures/{name}" for chart, name in draw(data, tmp_path).items()}

    def page() -> str:
        return report_page(data, drawn)

    design = Design({1: np.repeat(["Jump", "Run"], 12)}, {1: np.arange(24) // 4})
    hits = [{1: (rng.random(24) < 0.7).astype(float)} for _ in range(5)]
    found = {
        "zero_shot": Seeds(is_fixed=True).noise(hits[:1], design, 95.0),
        "motion_only": Seeds().noise(hits[:1], design, 95.0),
        "fusion": Seeds(shared="the motion network").noise(hits, design, 95.0),
    }
    rows = {head: {**own.values(), "shared": "the motion network" * (head == "fusion")} for head, own in found.items()}
    gain = Seeds().noise(differences_of(hits, hits[1:2]), design, 95.0)
    differences = {"fusion_minus_zero_shot": {**gain.values(), "word": gain.word}}
    assert "## Other videos, other trainings" not in page()
    assert "**One training** of each head" in page()
    data.summary["trainings"] = {"heads": rows, "differences": differences}
    text = page().partition("## Other videos, other trainings")[2].partition("\n## ")[0]
    own = found["fusion"]
    figures = " | ".join(f"{value:.2f}" for value in (own.sampling, own.training, own.total))
    assert f"| fusion | 5 | {own.mean:.1f} | {figures} |" in text
    assert f"± {own.new_training:.1f} |" in text
    zero_shot = rows["zero_shot"]
    printed = f"{zero_shot['mean']:.1f} | {zero_shot['sampling']:.2f} | \N{EN DASH} | {zero_shot['total']:.2f}"
    assert f"| zero-shot CLIP | draws nothing | {printed} |" in text, "nothing was trained, so no 0.00 of training"
    assert "*undecided: 1 seed, 5 would do*" in text
    assert f"| fusion {MINUS} zero-shot CLIP | {signed(gain.mean)} |" in text
    assert "All trainings of fusion share one training of the motion network" in text
