"""moclip.summary: the form that other tools rely on, and refusals of results that do not belong together."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moclip.base.errors import DataError, StoreError
from moclip.base.files import write_json
from moclip.data.ucf101 import UCF101_TEST_VIDEOS
from moclip.heads.registry import contrasts
from moclip.results.comparison import _mean
from moclip.results.halves import Halves, half_rows
from moclip.results.intervals import Level
from moclip.results.metrics import measure, outcomes_of
from moclip.results.predictions import Predictions
from moclip.results.summary import (
    PROPER_SCORES,
    SPREAD_FIGURES,
    Result,
    _spread,
    is_complete,
    key_figures,
    over_seeds,
    read_metrics,
    summarize,
)

LEVEL = Level(confidence_pct=95.0, fdr_pct=5.0)
SKILL = {"zero_shot": 0.5, "motion_only": 1.0, "clip_probe": 1.5, "fusion": 4.0}


def predictions(head: str, split: int, *, groups: int = 4, first_group: int | None = None) -> Any:
    """A head of known skill on 3 classes x `groups` x 5 videos; equal videos for every head."""
    start = split * groups if first_group is None else first_group
    classes = ("Run", "Jump", "Still")
    rows = [(c, g, k) for c in range(3) for g in range(start, start + groups) for k in range(5)]
    labels = np.array([c for c, _, _ in rows])
    rng = np.random.default_rng([split, len(head)])
    logits = rng.normal(size=(len(rows), 3))
    logits[np.arange(len(rows)), labels] += SKILL[head]
    return Predictions(
        ids=np.array([f"v_{classes[c]}_g{g:02}_c{k}" for c, g, k in rows]),
        labels=labels,
        logits=logits.astype(np.float32),
        classes=np.array(classes),
        groups=np.array([f"{classes[c]}_g{g:02}" for c, g, _ in rows]),
    )


def result(head: str, split: int, **options: int) -> Result:
    p = predictions(head, split, **options)
    return Result(measure(head, split, p, LEVEL), outcomes_of(p))


def results(*heads: str, splits: tuple[int, ...] = (1, 2, 3)) -> dict[str, dict[int, Result]]:
    return {head: {split: result(head, split) for split in splits} for head in heads}


def summary_of(found: Mapping[str, Mapping[int, Result]], dataset: str = "demo", whole: bool = True) -> dict[str, Any]:
    return summarize(dataset, whole, found, LEVEL, contrasts(list(found)))


def test_the_form_is_the_documented_one() -> None:
    summary = summary_of(results(*SKILL))
    assert (summary["dataset"], summary["splits"], summary["complete"]) == ("demo", [1, 2, 3], True)
    assert list(summary["heads"]) == list(SKILL)
    for head, by_split in results(*SKILL).items():
        entry = summary["heads"][head]
        assert entry["n_test"] == {"1": 60, "2": 60, "3": 60}
        for key in SPREAD_FIGURES:
            per_split = {str(k): getattr(r.metrics, key) for k, r in by_split.items()}
            assert entry[key]["per_split"] == pytest.approx(per_split, abs=6e-5)
            assert entry[key]["mean"] == pytest.approx(statistics.mean(per_split.values()), abs=1e-4)
            assert entry[key]["std"] == pytest.approx(statistics.stdev(per_split.values()), abs=1e-4)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_one_split_has_no_spread_and_the_interval_of_the_split_itself() -> None:
    only = results("fusion", splits=(2,))
    entry = summary_of(only)["heads"]["fusion"]
    assert entry["top1_pct"]["std"] is None
    metrics = only["fusion"][2].metrics
    own = {"low": metrics.top1_low_pct, "high": metrics.top1_high_pct}
    assert entry["top1_interval_pct"] == {"mean": own, "per_split": {"2": own}}


def test_a_paired_difference_is_narrower_than_the_heads_apart_and_knows_its_sign() -> None:
    summary = summary_of(results(*SKILL))
    difference = summary["differences"]["fusion_minus_zero_shot"]
    heads = summary["heads"]
    gap = heads["fusion"]["top1_pct"]["mean"] - heads["zero_shot"]["top1_pct"]["mean"]
    assert difference["mean"] == pytest.approx(gap, abs=1e-3)
    assert difference["interval"]["low"] < gap < difference["interval"]["high"]
    assert difference["word"] == "different"
    assert difference["p"] < 0.001


def test_equal_heads_differ_by_nothing() -> None:
    same = results("clip_probe")["clip_probe"]
    twin = {k: replace(r, metrics=replace(r.metrics, head="fusion")) for k, r in same.items()}
    summary = summary_of({"clip_probe": same, "fusion": twin})
    difference = summary["differences"]["fusion_minus_clip_probe"]
    assert (difference["mean"], difference["interval"], difference["word"]) == (0.0, None, "no video differs")
    assert difference["at_most_pct"] == pytest.approx(100 * (1 - 0.025 ** (1 / 36)), abs=1e-3)
    assert difference["interval_per_split"] == {"1": None, "2": None, "3": None}


def seeded(values: dict[int, dict[int, float]]) -> dict[int, Any]:
    """Summaries by seed whose fusion has these top-1 by split; everything else is equal."""
    summary = summary_of(results(*SKILL, splits=(1, 2)))
    made = {}
    for seed, by_split in values.items():
        made[seed] = json.loads(json.dumps(summary))
        made[seed]["heads"]["fusion"]["top1_pct"]["per_split"] = {str(k): v for k, v in by_split.items()}
    return made


def test_spreads_over_seeds_and_over_splits_are_never_mixed() -> None:
    """Seeds move nothing, splits do; and the other way round."""
    by_split = over_seeds(seeded({0: {1: 60.0, 2: 80.0}, 7: {1: 60.0, 2: 80.0}}))["heads"]["fusion"]["top1_pct"]
    assert by_split == {
        "mean": 70.0,
        "std_over_seeds": 0.0,
        "std_over_splits": pytest.approx(statistics.stdev([60, 80]), abs=1e-4),
        "per_seed": {"0": 70.0, "7": 70.0},
    }
    by_seed = over_seeds(seeded({0: {1: 60.0, 2: 60.0}, 7: {1: 80.0, 2: 80.0}}))["heads"]["fusion"]["top1_pct"]
    assert (by_seed["std_over_splits"], by_seed["per_seed"]) == (0.0, {"0": 60.0, "7": 80.0})
    assert by_seed["std_over_seeds"] == pytest.approx(statistics.stdev([60, 80]), abs=1e-4)


def test_one_seed_has_no_spread_over_seeds() -> None:
    alone = over_seeds(seeded({3: {1: 60.0, 2: 80.0}}))
    assert alone["seeds"] == [3]
    assert alone["heads"]["fusion"]["top1_pct"]["std_over_seeds"] is None
    assert set(alone["differences"]) == {f"{a}_minus_{b}" for a, b in contrasts(list(SKILL))}
    assert set(alone["heads"]["fusion"]) == set(SPREAD_FIGURES)


def test_summaries_of_different_things_are_not_averaged() -> None:
    different = seeded({0: {1: 60.0, 2: 80.0}, 1: {1: 60.0, 2: 80.0}})
    del different[1]["heads"]["fusion"]
    with pytest.raises(DataError, match=r"seeds 0 and 1 differ in heads: .*'fusion'"):
        over_seeds(different)
    with pytest.raises(DataError, match="no summary was given"):
        over_seeds({})


def test_recordings_that_test_in_several_splits_are_one_unit_of_the_mean() -> None:
    """The mean over two splits of the same recordings is as sure as one split, not surer."""
    shared = {"fusion": {k: result("fusion", k, first_group=0) for k in (1, 2)}}
    error = summary_of(shared, "folder clips")["heads"]["fusion"]["top1_error"]
    apart = summary_of({"fusion": {k: result("fusion", k) for k in (1, 2)}})["heads"]["fusion"]["top1_error"]
    assert (error["df"], apart["df"]) == (9, 18)


def test_proper_scores_have_intervals_and_paired_differences() -> None:
    summary = summary_of(results("clip_probe", "fusion"))
    own = results("fusion")["fusion"]
    for name in PROPER_SCORES:
        figure = summary["heads"]["fusion"]["scores"][name]
        by_hand = np.mean([getattr(r.outcomes.scores, name).mean() for r in own.values()])
        assert figure["mean"] == pytest.approx(by_hand, abs=1e-3)
        assert figure["interval"]["low"] < figure["mean"] < figure["interval"]["high"]
        difference = summary["differences"]["fusion_minus_clip_probe"]["scores"][name]
        assert difference["mean"] == pytest.approx(
            figure["mean"] - summary["heads"]["clip_probe"]["scores"][name]["mean"], abs=1e-3
        )
        assert difference["interval"]["high"] < 0.0


def test_the_primary_contrast_is_asked_alone_and_the_others_together() -> None:
    found = results(*SKILL)
    pairs = [("fusion", "clip_probe"), ("fusion", "zero_shot"), ("fusion", "motion_only")]
    differences = summarize("demo", True, found, LEVEL, pairs, ("fusion", "clip_probe"))["differences"]
    primary = differences.pop("fusion_minus_clip_probe")
    assert (primary["primary"], primary["q"]) == (True, None)
    assert [row["primary"] for row in differences.values()] == [False, False]
    assert all(row["q"] >= row["p"] for row in differences.values())


def test_a_constant_answer_has_no_spread_by_design() -> None:
    by_split = {}
    for split in (1, 2, 3):
        p = replace(predictions("fusion", split), logits=np.tile(np.array([[2.0, 1.0, 0.0]], np.float32), (60, 1)))
        by_split[split] = Result(measure("fusion", split, p, LEVEL), outcomes_of(p))
    entry = summary_of({"fusion": by_split})["heads"]["fusion"]
    assert entry["constant"] == {"always": True}
    assert entry["top1_interval_pct"]["mean"] == {"low": pytest.approx(33.3333), "high": pytest.approx(33.3333)}


@pytest.mark.parametrize(
    ("dataset", "whole", "n_test", "n_classes", "expected"),
    [
        ("demo", True, {1: 5}, 3, True),
        ("demo", False, {1: 5}, 3, False),
        ("ucf101", True, UCF101_TEST_VIDEOS, 101, True),
        ("ucf101", True, {1: 3783}, 101, True),
        ("ucf101", True, {1: 3783, 2: 3733}, 101, False),
        ("ucf101", True, {1: 3783}, 100, False),
        ("ucf101", False, {1: 3783}, 101, False),
        ("ucf101 (part)", False, {1: 64}, 20, False),
    ],
)
def test_a_part_is_never_complete(
    dataset: str, whole: bool, n_test: Mapping[int, int], n_classes: int, expected: bool
) -> None:
    assert is_complete(dataset, whole, n_test, n_classes) is expected


def test_heads_with_other_splits_or_videos_are_refused() -> None:
    uneven = {**results("fusion"), **results("zero_shot", splits=(1, 2))}
    with pytest.raises(DataError, match=r"zero_shot: has splits \[1, 2\], another head \[1, 2, 3\]"):
        summary_of(uneven)
    other = {"fusion": {1: result("fusion", 1)}, "zero_shot": {1: result("zero_shot", 1, groups=5)}}
    with pytest.raises(DataError, match=r"video 'v_Jump_g04_c0' is in the first head alone"):
        summary_of(other)


def test_figures_of_another_run_than_the_outcomes_are_refused() -> None:
    good = result("fusion", 1)
    torn = replace(good, metrics=replace(good.metrics, correct=1))
    with pytest.raises(StoreError, match=r"fusion, split 1: outcomes say .* metrics 1 of 60"):
        summary_of({"fusion": {1: torn}})


def test_metrics_files_are_checked(tmp_path: Path) -> None:
    metrics = result("fusion", 1).metrics
    write_json(tmp_path / "m.json", asdict(metrics))
    assert read_metrics(tmp_path / "m.json", "fusion", 1) == metrics
    with pytest.raises(StoreError, match="is about head fusion, split 1, not about head fusion, sp"):
        read_metrics(tmp_path / "m.json", "fusion", 2)
    write_json(tmp_path / "m.json", {"top1_pct": 3.0})
    with pytest.raises(StoreError, match="is no metrics file"):
        read_metrics(tmp_path / "m.json", "fusion", 1)


QUOTED = ("fusion", "clip_probe", "linear_probe", "motion_only", "zero_shot")
PAIR = ("fusion", "clip_probe")


def test_key_figures_hold_what_the_summary_says_and_are_eight_at_most() -> None:
    summary = summary_of(results(*SKILL))
    figures = key_figures(summary, QUOTED, PAIR)
    assert sum(map(len, figures.values())) <= 8
    shown = [head for head in QUOTED if head in SKILL]
    assert list(figures["top1_pct"])[: len(shown)] == shown
    assert all(summary["heads"][head]["top1_pct"]["mean"] == value for head, value in figures["top1_pct"].items())
    known = summary["differences"]["fusion_minus_clip_probe"]
    assert figures["gain_points"] == {"mean": known["mean"], **known["interval"]}


def test_key_figures_do_without_heads_that_did_not_run_and_an_interval_that_is_not_known() -> None:
    summary = summary_of(results("clip_probe", "fusion", splits=(1,)))
    summary["differences"]["fusion_minus_clip_probe"]["interval"] = None
    assert set(key_figures(summary, QUOTED, PAIR)["gain_points"]) == {"mean"}
    other = key_figures(summary, ("evl", "motion_only"), ("evl", "motion_only"))
    assert other == {
        "top1_pct": {head: summary["heads"][head]["top1_pct"]["mean"] for head in ("clip_probe", "fusion")}
    }


def test_mean_over_splits_is_rounded_once() -> None:
    """419 of 432: the mean of 97.9167, 96.5278 and 96.5278 would be 96.9908."""
    exact = [100 * hits / 144 for hits in (141, 139, 139)]
    spread = _spread(dict(enumerate(exact, 1)))
    assert spread["mean"] == 96.9907
    assert spread["per_split"] == {"1": 97.9167, "2": 96.5278, "3": 96.5278}
    metrics = [replace(result("fusion", 1).metrics, top1_pct=round(value, 8)) for value in exact]
    assert _mean([one.top1_pct for one in metrics]) == spread["mean"]


def test_a_head_that_saw_some_classes_alone_has_its_halves_and_their_key_figures() -> None:
    found = results("zero_shot", "fusion")
    for split, one in found["fusion"].items():
        p = predictions("fusion", split)
        rows = half_rows(
            p, Halves(["Run", "Jump"], {"CLIP itself": predictions("zero_shot", split).logits, "fusion": p.logits})
        )
        found["fusion"][split] = replace(one, halves=rows)
    summary = summary_of(found)
    assert "halves" not in summary["heads"]["zero_shot"]
    clip, own = summary["heads"]["fusion"]["halves"]["rows"]
    assert (clip["model"], own["model"]) == ("CLIP itself", "fusion")
    assert own["unseen"]["mean"] == 100.0  # one class alone is unseen
    json.dumps(summary)
    assert all(isinstance(value, dict) for value in summary["heads"]["fusion"].values())  # as MLflow's view reads them
