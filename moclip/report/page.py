"""Results and the paper's claims to Markdown and figures: values in, text and files out."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.markdown import environment
from moclip.heads.registry import HEADS, main_head
from moclip.params.flat import leaves
from moclip.report.figures import (
    AccuracyBar,
    CostPoint,
    accuracy_chart,
    confusion_chart,
    cost_chart,
    curves_chart,
    encoder_chart,
    gain_chart,
)
from moclip.report.papers import CLAIMS, PAPER
from moclip.report.verdict import (
    RULES,
    data_title,
    departures,
    headline,
    is_tested,
    judge,
    leaks,
    nearest_protocol,
    plain,
)
from moclip.results.gains import ClassGain
from moclip.results.predictions import Outcomes
from moclip.results.summary import Json
from moclip.training.history import Epoch, optimism_points

CONFUSION_ROWS = 12
_CONFUSION_EXTRA_COLUMNS = 3
_OTHER = "any other"


@dataclass(frozen=True)
class Inputs:
    """All that a report is made of.

    summary: as of `moclip.results.summary.summarize`; params: all parameters, nested;
    gains: of fusion over the CLIP probe, as of `moclip.results.gains`, none without both;
    accounting: as the stage `account` writes it; outcomes: by split, of the `main_head`;
    histories: by head, then split, of the heads that are trained;
    audit: as of `moclip.data.audit.Audit.summary`;
    contact_sheet: its address relative to the report, None without;
    digests: by file; versions: by package.
    """

    summary: Json
    params: Json
    gains: Sequence[ClassGain]
    accounting: Json
    outcomes: Mapping[int, Outcomes]
    histories: Mapping[str, Mapping[int, Sequence[Epoch]]]
    audit: Json
    contact_sheet: str | None
    digests: Mapping[str, str]
    versions: Mapping[str, str]


def trained(by_split: Mapping[int, Sequence[Epoch]]) -> bool:
    """Whether the histories of a head have any epoch: zero-shot CLIP has none."""
    return any(by_split.values())


def draw(inputs: Inputs, directory: Path) -> dict[str, str]:
    """Draw every chart that the results allow into `directory`; returns file names by chart."""
    drawn = {"accuracy": "accuracy.svg"}
    summary = inputs.summary
    accuracy_chart(directory / drawn["accuracy"], _bars(summary), 100.0 / summary["n_classes"])
    if inputs.gains:
        drawn["gain"] = "gain.svg"
        gain_chart(directory / drawn["gain"], inputs.gains)
    if confusion := worst_confusions(list(inputs.outcomes.values())):
        drawn["confusion"] = "confusion.svg"
        confusion_chart(directory / drawn["confusion"], *confusion)
    if inputs.histories:
        drawn["curves"] = "curves.svg"
        titled = {HEADS[head][0]: inputs.histories[head] for head in _ordered(inputs.histories)}
        curves_chart(directory / drawn["curves"], titled)
    if points := _cost_points(summary, inputs.accounting["run"]):
        drawn["cost"] = "cost.svg"
        cost_chart(directory / drawn["cost"], points)
    if several_encoders(inputs.audit):
        drawn["encoders"] = "encoders.svg"
        encoder_chart(directory / drawn["encoders"], inputs.audit["encoders"])
    return drawn


def several_encoders(audit: Json) -> bool:
    """Whether the videos come from more than one encoder family, so that there is something to compare."""
    return len({family for row in audit["encoders"].values() for family, count in row.items() if count}) > 1


def render(inputs: Inputs, figures: Mapping[str, str]) -> str:
    """The report as Markdown; `figures` are addresses by chart, relative to the report."""
    summary, heads = inputs.summary, _ordered(inputs.summary["heads"])
    counts = summary["heads"][heads[0]]
    intervals = [summary["heads"][head]["top1_interval_pct"]["mean"] for head in heads]
    claims = judge(summary, inputs.params, inputs.accounting)
    return (
        environment()
        .get_template("report.md.j2")
        .render(
            summary=summary,
            title=data_title(summary),
            tested=is_tested(summary),
            headline=headline(claims, summary),
            claims=claims,
            rules=RULES,
            departures=departures(inputs.params) if inputs.params["data"]["source"] == "ucf101" else [],
            leaks=leaks(heads, inputs.params),
            optimism=optimism_by_head(inputs.histories),
            heads=heads,
            absent=[head for head in HEADS if head not in heads],
            names=HEADS,
            counts=counts,
            n_videos=sum(counts["n_test"].values()),
            no_interval=None in intervals,
            differences=difference_rows(summary),
            motion_adds=motion_adds(summary),
            decomposition=decomposition(summary),
            confusions=frequent_confusions(list(inputs.outcomes.values()), 5),
            gains=inputs.gains,
            gained=gained(inputs.gains),
            chance_nll=math.log(summary["n_classes"]),
            main=main_head(heads),
            paper_costs=inputs.accounting["paper"],
            nearest=nearest_protocol(_cost_claim(), inputs.accounting["paper"]["protocols"]),
            cost_claim=_cost_claim(),
            run_costs=inputs.accounting["run"],
            audit=inputs.audit,
            contact_sheet=inputs.contact_sheet,
            select={name: inputs.params[name]["select"] for name in ("motion_net", "fusion")},
            figures=figures,
            params=[(key, plain(value)) for key, value in leaves(_that_matter(inputs.params))],
            digests=sorted(inputs.digests.items()),
            versions=sorted(inputs.versions.items()),
            paper=PAPER,
        )
    )


def _cost_claim() -> Any:
    return next(claim for claim in CLAIMS if claim.unit == "GFLOPs")


def optimism_by_head(histories: Mapping[str, Mapping[int, Sequence[Epoch]]]) -> dict[str, Json]:
    """What choosing the epoch on the test list gave each head, in points by split and as their mean.

    Heads that were not so chosen are left out, and those of which nothing was held out to compare with.
    """
    found = {}
    for head in _ordered(histories):
        by_split = {split: optimism_points(history) for split, history in sorted(histories[head].items())}
        known = {str(split): points for split, points in by_split.items() if points is not None}
        if known:
            found[head] = {"per_split": known, "mean": float(np.mean(list(known.values())))}
    return found


def worst_confusions(
    outcomes: Sequence[Outcomes],
) -> tuple[np.ndarray, list[str], list[str]] | None:
    """The classes of lowest recall, by what they were taken for; None where nothing went wrong.

    Returns:
        Counts (rows, columns), names of the rows (at most `CONFUSION_ROWS`, worst first), names of
        the columns (the rows' classes, then the most frequent others, then all the rest in one).
    """
    actual = np.concatenate([o.actual for o in outcomes])
    predicted = np.concatenate([o.predicted for o in outcomes])
    names, codes = np.unique(np.concatenate([actual, predicted]), return_inverse=True)
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(table, tuple(codes.reshape(2, -1)), 1)
    hits, totals = np.diag(table), table.sum(axis=1)
    wrong = np.flatnonzero(hits < totals)
    if not len(wrong):
        return None
    rows = wrong[np.argsort(hits[wrong] / totals[wrong], kind="stable")][:CONFUSION_ROWS]
    columns, rest = _split_columns(table[rows], rows)
    counts = np.concatenate([table[np.ix_(rows, columns)], table[rows][:, rest].sum(1)[:, None]], 1)
    labels = [*names[columns].tolist(), _OTHER]
    if not counts[:, -1].any():
        counts, labels = counts[:, :-1], labels[:-1]
    return counts, names[rows].tolist(), labels


def frequent_confusions(outcomes: Sequence[Outcomes], most: int) -> list[tuple[str, str, int, int]]:
    """The most frequent errors: actual class, predicted class, videos, test videos of the class."""
    pairs = Counter(pair for o in outcomes for pair in zip(o.actual.tolist(), o.predicted.tolist(), strict=True))
    totals = Counter(name for o in outcomes for name in o.actual.tolist())
    wrong = [(a, b, count, totals[a]) for (a, b), count in pairs.items() if a != b]
    return sorted(wrong, key=lambda row: (-row[2], row[:2]))[:most]


def _split_columns(table: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes that get a column of their own, and the rest."""
    others = np.setdiff1d(np.arange(table.shape[1]), rows)
    frequent = others[np.argsort(-table[:, others].sum(axis=0), kind="stable")]
    frequent = frequent[table[:, frequent].any(axis=0)][:_CONFUSION_EXTRA_COLUMNS]
    return np.concatenate([rows, frequent]), np.setdiff1d(others, frequent)


def _bars(summary: Json) -> list[AccuracyBar]:
    bars = []
    for head in _ordered(summary["heads"]):
        top1 = summary["heads"][head]["top1_pct"]
        ends = summary["heads"][head]["top1_interval_pct"]["mean"]
        interval = (ends["low"], ends["high"]) if ends else None
        per_split = list(top1["per_split"].values())
        bars.append(AccuracyBar(head, HEADS[head][0], top1["mean"], interval, per_split))
    return bars


def _cost_points(summary: Json, costs: Json) -> list[CostPoint]:
    """Heads whose multiply-adds are known; one that runs no network has no place on a logarithmic axis."""
    points = []
    for bar in _bars(summary):
        if cost := costs["heads"].get(bar.head):
            points.append(CostPoint(bar.head, bar.title, cost["gmac_per_video"], bar.mean_pct, bar.interval_pct))
    return points


def motion_adds(summary: Json) -> list[Json]:
    """Fusion over the heads that have no motion of the video itself: what motion adds over each of them."""
    rivals = ("clip_probe", "linear_probe", "motion_permuted")
    found = [(other, summary["differences"].get(f"fusion_minus_{other}")) for other in rivals]
    return [{"other": other, **difference} for other, difference in found if difference]


def gained(gains: Sequence[ClassGain]) -> dict[str, int]:
    """How many classes gain or lose significantly, and of how many it cannot be said."""
    clear = [gain.gain_points for gain in gains if gain.significant]
    return {"up": sum(g > 0 for g in clear), "down": sum(g < 0 for g in clear), "open": len(gains) - len(clear)}


def difference_rows(summary: Json) -> list[Json]:
    """Rows of the paired table: fusion over its best rival first, probe over zero-shot last."""
    rows = []
    for key, value in summary["differences"].items():
        head, other = key.split("_minus_")
        rows.append({"head": head, "other": other, "best_other": False, **value})
    rows.sort(key=lambda row: (row["head"] != "fusion", row["mean"], row["other"]))
    if rows and rows[0]["head"] == "fusion":
        rows[0]["best_other"] = True
    return rows


def decomposition(summary: Json) -> dict[str, float] | None:
    """Fusion's gain over zero-shot in points: what supervision gives, and what motion gives."""
    if not {"zero_shot", "clip_probe", "fusion"} <= set(summary["heads"]):
        return None
    differences = summary["differences"]
    return {
        "total": differences["fusion_minus_zero_shot"]["mean"],
        "supervision": differences["clip_probe_minus_zero_shot"]["mean"],
        "motion": differences["fusion_minus_clip_probe"]["mean"],
    }


def _ordered(heads: Mapping[str, Any]) -> list[str]:
    return [head for head in HEADS if head in heads]


def _that_matter(params: Json) -> Json:
    """Parameters without those that this run did not read, and without where the videos lie."""
    unread = set()
    if params["data"]["source"] != "demo":
        unread.add("demo")
    if params["clip"]["model"] != "demo":
        unread.add("demo_clip")
    kept = {key: value for key, value in params.items() if key not in unread}
    return {**kept, "data": {k: v for k, v in params["data"].items() if k != "root"}}
