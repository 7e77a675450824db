"""Results and the paper's claims to Markdown and figures: values in, text and files out."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moclip.base.markdown import pct, signed, span
from moclip.heads.registry import CLIP, CONTROL, HEADS, MAIN, chosen_on_validation, in_order, main_head
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
    reliability_chart,
)
from moclip.report.papers import GFLOPS, Count, Retrieval
from moclip.report.reader.opening import opening
from moclip.report.render import render
from moclip.report.verdict import (
    RULES,
    Trial,
    command_for,
    counted,
    data_title,
    epochs_kept,
    leaks,
    motion_adds,
    nearest_protocol,
    plain,
    transductive,
)
from moclip.results.gains import ClassGain
from moclip.results.metrics import ECE_BINS
from moclip.results.predictions import Outcomes
from moclip.results.summary import Json, difference_name
from moclip.training.history import Epoch, kept_epoch, optimism_points

CONFUSION_ROWS = 12
FEWEST_CLASSES_FOR_TOP5 = 50  # five guesses of fewer are no test
_CONFUSION_EXTRA_COLUMNS = 3
_OTHER = "any other"


@dataclass(frozen=True)
class ReportData:
    """All that a report is made of.

    summary: as of `moclip.results.summary.summarize`; params: all parameters, nested;
    gains: of `MAIN` over `CONTROL`, as of `moclip.results.gains`, none without both;
    trials: by paper, as of `moclip.report.verdict.judge`, the one that the report is named after first;
    accounting: `papers` as the stage `account` writes it, and `run`; outcomes: by split, of the `main_head`;
    histories: by head, then split, of the heads that are trained;
    audit: as of `moclip.data.audit.Audit.summary`;
    contact_sheet: its address relative to the report, None without;
    digests: by file; versions: by package; search: as the stage of that name writes it, None where it was not run;
    damaged: videos of which the frames before their damage were taken.
    """

    summary: Json
    params: Json
    gains: Sequence[ClassGain]
    trials: Mapping[str, Trial]
    accounting: Json
    outcomes: Mapping[int, Outcomes]
    histories: Mapping[str, Mapping[int, Sequence[Epoch]]]
    audit: Json
    contact_sheet: str | None
    digests: Mapping[str, str]
    versions: Mapping[str, str]
    search: Json | None = None
    damaged: int = 0


def trained(by_split: Mapping[int, Sequence[Epoch]]) -> bool:
    """Whether the histories of a head have any epoch: zero-shot CLIP has none."""
    return any(by_split.values())


def draw(data: ReportData, directory: Path) -> dict[str, str]:
    """Draw every chart that the results allow into `directory`; returns file names by chart."""
    drawn = {"accuracy": "accuracy.svg"}
    summary = data.summary
    accuracy_chart(directory / drawn["accuracy"], _bars(summary), 100.0 / summary["n_classes"])
    if data.gains:
        drawn["gain"] = "gain.svg"
        axis = f"recall of {HEADS[MAIN].title} minus recall of the {HEADS[CONTROL].title}"
        gain_chart(directory / drawn["gain"], data.gains, axis)
    if confusion := worst_confusions(list(data.outcomes.values())):
        drawn["confusion"] = "confusion.svg"
        confusion_chart(directory / drawn["confusion"], *confusion)
    if data.histories:
        drawn["curves"] = "curves.svg"
        titled = {HEADS[head].title: data.histories[head] for head in in_order(data.histories)}
        curves_chart(directory / drawn["curves"], titled, kept_epochs(data))
    scores = [own.scores for own in data.outcomes.values() if own.scores is not None]
    if scores and len(scores) == len(data.outcomes):
        drawn["reliability"] = "reliability.svg"
        hits = np.concatenate([own.correct for own in data.outcomes.values()])
        reliability_chart(
            directory / drawn["reliability"], np.concatenate([own.confidence for own in scores]), hits, ECE_BINS
        )
    if points := _cost_points(summary, data.accounting["run"]):
        drawn["cost"] = "cost.svg"
        cost_chart(directory / drawn["cost"], points)
    if several_encoders(data.audit):
        drawn["encoders"] = "encoders.svg"
        encoder_chart(directory / drawn["encoders"], data.audit["encoders"])
    return drawn


def kept_epochs(data: ReportData) -> dict[str, dict[int, int]]:
    """The epoch that was kept, by title of a head, then split; of heads whose rule and values tell."""
    found: dict[str, dict[int, int]] = {}
    for head, by_split in data.histories.items():
        select = data.params.get(HEADS[head].section or "", {}).get("select", "")
        epochs = {split: kept_epoch(history, select) for split, history in by_split.items()}
        found[HEADS[head].title] = {split: epoch for split, epoch in epochs.items() if epoch is not None}
    return found


def several_encoders(audit: Json) -> bool:
    """Whether the videos come from more than one encoder family, so that there is something to compare."""
    return len({family for row in audit["encoders"].values() for family, count in row.items() if count}) > 1


def report_page(data: ReportData, figures: Mapping[str, str]) -> str:
    """The report as Markdown; `figures` are addresses by chart, relative to the report."""
    summary, heads = data.summary, in_order(data.summary["heads"])
    counts = summary["heads"][heads[0]]
    intervals = [summary["heads"][head]["top1_interval_pct"]["mean"] for head in heads]
    first = next(iter(data.trials.values()))
    outcomes = list(data.outcomes.values())
    return render(
        "report.md.j2",
        summary=summary,
        title=data_title(summary),
        paper=first.paper,
        tested=first.tested,
        trials=list(data.trials.values()),
        systems=systems(data),
        source=data.params["data"]["source"],
        opening=opening(first, summary, heads),
        rules=RULES,
        leaks=leaks(heads, data.params),
        transductive=transductive(heads, data.params),
        optimism=optimism_by_head(data.histories),
        heads=heads,
        absent=[head for head in HEADS if head not in heads],
        names=HEADS,
        main=MAIN,
        control=CONTROL,
        shown=main_head(heads),
        counts=counts,
        n_videos=sum(counts["n_test"].values()),
        no_interval=None in intervals,
        merged=max(summary["heads"][head].get("top1_error", {}).get("merged_classes", 0) for head in heads),
        constants=[head for head in heads if summary["heads"][head].get("constant", {}).get("always")],
        shows_top5=summary["n_classes"] >= FEWEST_CLASSES_FOR_TOP5,
        shows_mean_class=any(
            round(summary["heads"][head]["mean_class_pct"]["mean"] - summary["heads"][head]["top1_pct"]["mean"], 1)
            for head in heads
        ),
        ece_bins=ECE_BINS,
        differences=difference_rows(summary),
        motion_adds=motion_adds(summary),
        decomposition=decomposition(summary),
        confusions=frequent_confusions(outcomes, 5),
        gains=data.gains,
        gained=gained(data.gains),
        chance_nll=math.log(summary["n_classes"]),
        breakdown=_breakdown(data),
        run_costs=data.accounting["run"],
        sees_clip=any(CLIP in HEADS[head].streams for head in heads),
        audit=data.audit,
        damaged=data.damaged,
        contact_sheet=data.contact_sheet,
        epochs_kept=epochs_kept(heads, data.params),
        chosen_on=chosen_on_validation(data.params),
        held_out={row["split"]: row for row in data.audit.get("parts", ()) if row["part"] == "val"},
        trainings=trainings(summary),
        search=_search(data),
        figures=figures,
        params=[(key, plain(value)) for key, value in leaves(_that_matter(data.params))],
        digests=sorted(data.digests.items()),
        versions=sorted(data.versions.items()),
    )


def _search(data: ReportData) -> str:
    """The section on moments in long videos; nothing where none were searched."""
    if data.search is None:
        return ""
    level = f"{data.summary['confidence_pct']:g} %"
    return render("search.md.j2", search=data.search, level=level, source=data.params["data"]["source"])


def trainings(summary: Json) -> Json | None:
    """What other videos and other trainings move, by head in the order of tables, and of the differences.

    None where no head was trained more than once, of a run that draws nothing or of an older version.
    """
    found = summary.get("trainings", {"heads": {}})
    if all(len(row["per_training"]) == 1 for row in found["heads"].values()):
        return None
    heads = {head: found["heads"][head] for head in in_order(found["heads"])}
    names = {difference_name(a, b): (a, b) for a in heads for b in heads}
    return {
        "heads": heads,
        "differences": [(*names[name], row) for name, row in found["differences"].items()],
        "sharing": [head for head, row in heads.items() if row["shared"] and len(row["per_training"]) > 1],
    }


def systems(data: ReportData) -> list[Json]:
    """A row for each paper on file: how its system works and is run here, what it gives over its base, what it costs.

    A paper's head is that of `switch` which stands last in all tables; its base is the head's first rival, which sees
    the same frames. `figure` is null where one of them has no results: `why` then says what runs them.
    """
    return [_system(trial, data) for trial in data.trials.values()]


def _system(trial: Trial, data: ReportData) -> Json:
    heads = [head for head in trial.paper.switch.get("heads", ()) if head in HEADS]
    head = main_head(heads) if heads else None
    base = next(iter(HEADS[head].rivals), CONTROL) if head else None
    row: Json = {"paper": trial.paper, "base": base, "verdicts": counted(trial.rows), "figure": None, "gain": None}
    row |= {"switch": [f"{key}: {plain(value)}" for key, value in trial.paper.switch.items()], "why": "", "cost": None}
    row["found"] = None
    if head is None or base is None:
        return {**row, **_found(trial, data.search)}
    row["cost"] = data.accounting["run"]["heads"].get(head)
    if command := command_for([head, base], data.summary, data.params):
        return {**row, "why": command}
    gain = data.summary["differences"].get(difference_name(head, base))
    return {**row, "figure": data.summary["heads"][head], "gain": gain}


def _found(trial: Trial, search: Json | None) -> Json:
    """Of a system that finds moments: its first claim's figure and difference in words, or what runs it."""
    claim = next((claim for claim in trial.paper.claims if isinstance(claim, Retrieval)), None)
    if claim is None:
        return {}
    if search is None:
        return {"why": "moclip preset related"}
    own, other = (next(row for row in search["rows"] if row["name"] == name) for name in (claim.row, claim.minus))
    gain = search["differences"][f"{claim.row}_minus_{claim.minus}"][claim.metric]
    figure, overlap = own[claim.metric], claim.metric.removeprefix("r1_")
    unit = f"R1 at IoU {int(overlap) / 100:g}" if overlap.isdigit() else claim.metric
    words = f"{pct(figure['mean'])} {unit}<br>({span(figure['interval'])})"
    return {"found": (words, f"{signed(gain['mean'])} ({span(gain['interval'], True)}) over {other['title']}")}


def _breakdown(data: ReportData) -> Json | None:
    """The first paper's claim of a cost beside all protocols that come into question; None where there is one alone."""
    name, trial = next(iter(data.trials.items()))
    costs = data.accounting["papers"].get(name, {"protocols": []})
    claims = [claim for claim in trial.paper.claims if isinstance(claim, Count) and claim.unit == GFLOPS]
    if not claims or len(costs["protocols"]) < 2:
        return None
    nearest = nearest_protocol(claims[0], costs["protocols"])
    return {"claim": claims[0], "networks": trial.paper.costs, "costs": costs, "nearest": nearest}


def optimism_by_head(histories: Mapping[str, Mapping[int, Sequence[Epoch]]]) -> dict[str, Json]:
    """What choosing the epoch on the test list gave each head, in points by split and as their mean.

    Heads that were not so chosen are left out, and those of which nothing was held out to compare with.
    """
    found = {}
    for head in in_order(histories):
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
    return [
        AccuracyBar(
            title=HEADS[head].title,
            colour=HEADS[head].colour,
            mean_pct=summary["heads"][head]["top1_pct"]["mean"],
            interval_pct=_interval(summary, head),
            per_split_pct=list(summary["heads"][head]["top1_pct"]["per_split"].values()),
        )
        for head in in_order(summary["heads"])
    ]


def _cost_points(summary: Json, costs: Json) -> list[CostPoint]:
    """Heads whose multiply-adds are known; one that runs no network has no place on a logarithmic axis."""
    return [
        CostPoint(
            title=HEADS[head].title,
            colour=HEADS[head].colour,
            gmac=costs["heads"][head]["gmac_per_video"],
            top1_pct=summary["heads"][head]["top1_pct"]["mean"],
            interval_pct=_interval(summary, head),
        )
        for head in in_order(summary["heads"])
        if head in costs["heads"]
    ]


def _interval(summary: Json, head: str) -> tuple[float, float] | None:
    ends = summary["heads"][head]["top1_interval_pct"]["mean"]
    return (ends["low"], ends["high"]) if ends else None


def gained(gains: Sequence[ClassGain]) -> dict[str, int]:
    """How many classes gain or lose by their own test, and of how many nothing is shown."""
    clear = [gain.gain_points for gain in gains if gain.different]
    return {"up": sum(g > 0 for g in clear), "down": sum(g < 0 for g in clear), "open": len(gains) - len(clear)}


def difference_rows(summary: Json) -> list[Json]:
    """Rows of the paired table: `MAIN` over its best rival first, the other heads over theirs last."""
    rows = []
    for key, value in summary["differences"].items():
        head, other = key.split("_minus_")
        rows.append({"head": head, "other": other, "best_other": False, **value})
    rows.sort(key=lambda row: (row["head"] != MAIN, row["mean"], row["other"]))
    if rows and rows[0]["head"] == MAIN:
        rows[0]["best_other"] = True
    return rows


def decomposition(summary: Json) -> Json | None:
    """The steps from the rival of `MAIN`'s control to `MAIN`, each a paired difference of the summary."""
    base = HEADS[CONTROL].rivals[0]
    if not {base, CONTROL, MAIN} <= set(summary["heads"]):
        return None
    pairs = {"total": (MAIN, base), "supervision": (CONTROL, base), "motion": (MAIN, CONTROL)}
    return {"base": base, **{name: summary["differences"][difference_name(*pair)] for name, pair in pairs.items()}}


def _that_matter(params: Json) -> Json:
    """Parameters without those that this run did not read, and without where the videos lie."""
    unread = set()
    if params["data"]["source"] != "demo":
        unread.add("demo")
    if params["clip"]["model"] != "demo":
        unread.add("demo_clip")
    if not params["related"]:
        unread.add("search")
    kept = {key: value for key, value in params.items() if key not in unread}
    return {**kept, "data": {k: v for k, v in params["data"].items() if k != "root"}}
