"""The printed figures of report.md and ablations.md, computed anew from files in Git by pandas, NumPy and SciPy alone.

Nothing of moclip is called. Reports that were written before these statistics are passed over, with the reason.
"""

import csv
import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, false_discovery_control
from scipy.stats import t as student_t

from tests.support.imports import ROOT

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
SUMMARY = json.loads((ROOT / "reports/summary.json").read_text())
pytestmark = pytest.mark.skipif(
    "fdr_pct" not in SUMMARY, reason="the recorded report is older than its statistics; `make repro` writes it anew"
)
HEADS = sorted(SUMMARY["heads"])


def videos(head: str) -> pd.DataFrame:
    """A row a test video of all splits, with `hit` as the share of trainings that are right."""
    parts = []
    for split in SUMMARY["splits"]:
        own = pd.read_csv(ROOT / f"results/heads/{head}/split{split}_outcomes.csv").sort_values("id")
        hit = (own.actual == own.predicted).to_numpy(float)
        kept = ROOT / f"results/heads/{head}/split{split}_logits.npz"
        if kept.is_file():
            with np.load(kept) as found:
                repeats = found["classes"][found["repeats"]]
            hits = np.vstack([hit, *(row == own.actual.to_numpy() for row in repeats)])
            hit = hits.mean(axis=0)
        parts.append(own.assign(split=split, hit=hit))
    return pd.concat(parts, ignore_index=True)


def error(rows: pd.DataFrame, value: pd.Series) -> tuple[float, float, int]:
    """Mean over splits, variance and degrees of freedom over recordings in classes in splits."""
    splits = rows.split.nunique()
    means = value.groupby(rows.split).mean()
    size = rows.groupby("split").id.transform("size")
    part = (value - rows.split.map(means)) / (size * splits)
    of_group = part.groupby([rows.split, rows.actual, rows.group]).sum()
    strata = of_group.groupby(level=[0, 1])
    assert (strata.size() > 1).all(), "classes of one recording need the rule of their neighbours"
    variance = (strata.var(ddof=1) * strata.size()).sum()
    return float(means.mean()), float(variance), int((strata.size() - 1).sum())


def korn_graubard(rows: pd.DataFrame) -> tuple[float, float]:
    """Limits in percent, with few recordings in error averaged with clips that hang together by a third."""
    p, variance, df = error(rows, rows.hit)
    of_split = rows.groupby("split").id.size()
    n = len(of_split) ** 2 / (1 / of_split).sum()
    groups = rows.groupby(["split", "group"]).hit
    expected = 1 + (n / groups.ngroups - 1) / 3
    spread = float(rows.groupby("split").hit.apply(lambda own: ((own - own.mean()) ** 2).mean()).mean())
    moved = min(int((groups.min() < 1).sum()), int((groups.max() > 0).sum()))
    if p in (0.0, 1.0):
        worth = n / expected
    else:
        blended = (6 * spread * expected / n + moved * variance) / (6 + moved)
        worth = min(n * p * (1 - p) / spread, p * (1 - p) / blended)
    worth *= (student_t.ppf(0.975, n - 1) / student_t.ppf(0.975, df)) ** 2
    low = beta.ppf(0.025, worth * p, worth - worth * p + 1) if p > 0 else 0.0
    high = beta.ppf(0.975, worth * p + 1, worth - worth * p) if p < 1 else 1.0
    return 100 * min(low, p), 100 * max(high, p)


def printed(line: str) -> list[float]:
    """All numbers of a line, minus signs and dashes between limits read as such."""
    return [float(word) for word in re.findall(r"[+-]?\d+\.\d+", line.replace(MINUS, "-").replace(DASH, " "))]


def table(after: str, first: str) -> str:
    text = (ROOT / "reports/report.md").read_text().partition(after)[2]
    return next(line for line in text.splitlines() if line.startswith(f"| {first}"))


def titles() -> dict[str, str]:
    """The heads' titles, in the order of the report's table, as the summary has them."""
    from moclip.heads.registry import HEADS as REGISTRY  # names alone

    return {head: REGISTRY[head].title for head in HEADS}


@pytest.mark.parametrize("head", HEADS)
def test_accuracies_and_their_intervals(head: str) -> None:
    rows, line = videos(head), table("## Accuracy", f"**{titles()[head]}**")
    constant = bool((rows.groupby("split").predicted.nunique() == 1).all())
    parts = [rows[rows.split == split] for split in SUMMARY["splits"]]
    wanted: list[float] = []
    for part in [*parts, rows] if len(parts) > 1 else parts:
        wanted.append(100 * float(part.groupby("split").hit.mean().mean()))
        wanted += [] if constant else korn_graubard(part)
    if len(parts) > 1:
        of_splits = [100 * part.hit.mean() for part in parts]
        wanted += [min(of_splits), max(of_splits)]
    assert ("no spread by design" in line) == constant
    assert printed(line) == pytest.approx(wanted, abs=0.051)


@pytest.mark.parametrize("head", HEADS)
def test_proper_scores(head: str) -> None:
    rows = videos(head)
    for name in ("nll_nats", "brier"):
        mean, variance, df = error(rows, rows[name])
        half = student_t.ppf(0.975, df) * variance**0.5
        figure = SUMMARY["heads"][head]["scores"][name]
        assert figure["mean"] == pytest.approx(mean, abs=1e-3)
        assert figure["interval"]["low"] == pytest.approx(mean - half, abs=1e-3)
        assert figure["interval"]["high"] == pytest.approx(mean + half, abs=1e-3)
    by_bin = np.clip(np.ceil(rows.confidence * 15).astype(int) - 1, 0, 14)
    gap = ((rows.actual == rows.predicted) - rows.confidence).groupby(by_bin).sum().abs().sum() / len(rows)
    assert SUMMARY["heads"][head]["calibration"]["ece_pct"] == pytest.approx(100 * gap, abs=1e-3)


@pytest.mark.parametrize("name", sorted(SUMMARY["differences"]))
def test_paired_differences_and_their_words(name: str) -> None:
    first, second = (videos(head) for head in name.split("_minus_"))
    assert (first.id == second.id).all()
    value = first.hit - second.hit
    mean, variance, df = error(first, value)
    found = SUMMARY["differences"][name]
    assert found["mean"] == pytest.approx(100 * mean, abs=1e-3)
    assert found["moved_videos"] == int((value != 0).sum())
    half = 100 * student_t.ppf(0.975, df) * variance**0.5
    passes = (found["p"] if found["q"] is None else found["q"]) <= 0.05
    low, high = 100 * mean - half, 100 * mean + half
    if not passes:
        low, high = min(low, 0.0), max(high, 0.0)
    if found["interval"]:
        assert (found["interval"]["low"], found["interval"]["high"]) == pytest.approx((low, high), abs=1e-3)
        assert (found["word"] == "different") == (passes and not low <= 0 <= high)
    assert found["p"] == pytest.approx(sign_flips(first, value), abs=0.02)


def sign_flips(rows: pd.DataFrame, value: pd.Series) -> float:
    """p by 4,000 flips of another generator; its standard error at 0.05 is 0.003."""
    share = value / (rows.groupby("split").id.transform("size") * rows.split.nunique())
    parts = share.groupby(rows.group).sum().to_numpy()
    signs = np.random.default_rng(123).choice([-1.0, 1.0], (4000, len(parts)))
    return float(np.mean(np.abs(signs @ parts) >= abs(parts.sum()) - 1e-9))


def test_q_values_of_the_differences_judged_together() -> None:
    asked = [row for row in SUMMARY["differences"].values() if not row["primary"] and row["moved_videos"]]
    assert [row["q"] for row in asked] == pytest.approx(
        false_discovery_control([row["p"] for row in asked]).tolist(), abs=1e-5
    )


def test_classes_that_gain() -> None:
    if not {"fusion", "clip_probe"} <= set(HEADS):
        pytest.skip("one of the two heads did not run")
    first, second = videos("fusion"), videos("clip_probe")
    gain = ((first.actual == first.predicted).astype(int) - (second.actual == second.predicted)).groupby(first.actual)
    table_of = pd.read_csv(ROOT / "reports/class_gains.csv").set_index("class")
    assert table_of.gain_points.to_dict() == pytest.approx((100 * gain.mean()).to_dict(), abs=1e-3)
    sentence = (ROOT / "reports/report.md").read_text().partition("### By class")[2].strip().splitlines()[0]
    assert sentence.startswith(f"{int((gain.mean() > 0).sum())} of {gain.ngroups} classes gain and ")
    counted = table_of.q.notna()
    if counted.any():
        assert table_of.q.to_numpy() == pytest.approx(false_discovery_control(table_of.p.to_numpy()), abs=1e-4)


def ablations() -> list[dict[str, Any]]:
    path = ROOT / "reports/ablations.csv"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = list(csv.DictReader(lines))
    if not rows or "q" not in rows[0]:
        pytest.skip("the recorded ablations are older than their statistics; `moclip ablate` writes them anew")
    return rows


def test_ablations_that_compare_heads_of_the_base_are_those_of_the_results() -> None:
    for row in ablations():
        if row["change"] == f"{row['head']} for {row['against']}" and {row["head"], row["against"]} <= set(HEADS):
            first, second = videos(row["head"]), videos(row["against"])
            mean, variance, df = error(first, first.hit - second.hit)
            assert float(row["delta_points"]) == pytest.approx(100 * mean, abs=1e-3)
            detectable = 100 * variance**0.5 * (student_t.ppf(0.975, df) + student_t.ppf(0.8, df))
            assert float(row["detectable_points"]) == pytest.approx(detectable, abs=1e-3)


def test_words_of_ablations_follow_from_their_p_q_and_interval() -> None:
    rows = [row for row in ablations() if row["q"]]
    moving = [row for row in rows if row["word"] != "no video differs"]
    assert [float(row["q"]) for row in moving] == pytest.approx(
        false_discovery_control([float(row["p"]) for row in moving]).tolist(), abs=1e-5
    )
    page = (ROOT / "reports/ablations.md").read_text()
    for row in moving:
        leaves_out = not float(row["low_points"]) <= 0.0 <= float(row["high_points"])
        on_these_videos = leaves_out and float(row["q"]) <= 0.05
        by_seeds = row["top1_std_pct"] != "" and row["word"].startswith("undecided: ")  # trainings scatter more
        assert on_these_videos == (row["word"] == "different" or by_seeds), row["variant"]
        assert f"| {row['variant']} | " in page
        if row["word"] == "different":
            side = "above" if float(row["delta_points"]) > 0 else "below"
            assert row["answer"] == f"{abs(float(row['delta_points'])):.1f} points {side}"
