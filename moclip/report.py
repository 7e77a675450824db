"""Results and the paper's claims to Markdown and figures: values in, text and files out."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from moclip.figures import (
    AccuracyBar,
    accuracy_chart,
    confusion_chart,
    curves_chart,
    encoder_chart,
    gain_chart,
)
from moclip.history import Epoch
from moclip.paper import CLAIMS, PAPER, SETTINGS, Claim
from moclip.predictions import ClassRow, Outcomes
from moclip.summary import Json

# Every head that a report can name, in the order of its tables.
HEADS: Mapping[str, tuple[str, str]] = {
    "zero_shot": ("zero-shot CLIP", "likeness to the class prompts; trained on no video"),
    "motion_only": ("motion alone", "the motion network's own classifier"),
    "metadata_only": (
        "metadata alone",
        "logistic regression on what the container gives away (encoder, frame rate, size, key frames, B-frames, "
        "sound, length); it sees neither a pixel nor a vector",
    ),
    "clip_probe": (
        "CLIP probe",
        "the fusion head on CLIP features alone; the paper lacks this control",
    ),
    "linear_probe": ("linear CLIP probe", "logistic regression on the CLIP features, its C chosen on validation"),
    "score_average": (
        "score average",
        "the weighted mean of CLIP's and motion's probabilities, the weight chosen on validation; nothing is trained",
    ),
    "motion_permuted": (
        "fusion, foreign motion",
        "the fusion head with motion features dealt out anew among the videos: what its size alone gives",
    ),
    "fusion": ("fusion", "the same head on CLIP and motion features together"),
}
CONFUSION_ROWS = 12
NO_VALUE = "\N{EN DASH}"
_CONFUSION_EXTRA_COLUMNS = 3
_OTHER = "any other"


@dataclass(frozen=True)
class Inputs:
    """All that a report is made of.

    summary: as of `moclip.summary.summarize`; params: all parameters, nested;
    class_rows: by head, then split; outcomes: by split, of the `main_head`;
    histories: by head, then split, of the heads that are trained;
    audit: as of `moclip.audit.Audit.summary`;
    contact_sheet: its address relative to the report, None without;
    digests: by file; versions: by package.
    """

    summary: Json
    params: Json
    class_rows: Mapping[str, Mapping[int, Sequence[ClassRow]]]
    outcomes: Mapping[int, Outcomes]
    histories: Mapping[str, Mapping[int, Sequence[Epoch]]]
    audit: Json
    contact_sheet: str | None
    digests: Mapping[str, str]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Judged:
    """A claim of the paper beside our figure."""

    claim: Claim
    ours: str
    verdict: str


def main_head(heads: Sequence[str]) -> str:
    """The head whose errors are shown: fusion, or else the last of those that ran."""
    return max(heads, key=list(HEADS).index)


def trained(by_split: Mapping[int, Sequence[Epoch]]) -> bool:
    """Whether the histories of a head have any epoch: zero-shot CLIP has none."""
    return any(by_split.values())


def draw(inputs: Inputs, directory: Path) -> dict[str, str]:
    """Draw every chart that the results allow into `directory`; returns file names by chart."""
    drawn = {"accuracy": "accuracy.svg"}
    summary = inputs.summary
    accuracy_chart(directory / drawn["accuracy"], _bars(summary), 100.0 / summary["n_classes"])
    if gains := recall_gains(inputs.class_rows):
        drawn["gain"] = "gain.svg"
        gain_chart(directory / drawn["gain"], gains)
    if confusion := worst_confusions(list(inputs.outcomes.values())):
        drawn["confusion"] = "confusion.svg"
        confusion_chart(directory / drawn["confusion"], *confusion)
    if inputs.histories:
        drawn["curves"] = "curves.svg"
        titled = {HEADS[head][0]: inputs.histories[head] for head in _ordered(inputs.histories)}
        curves_chart(directory / drawn["curves"], titled)
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
    on_ucf101 = inputs.params["data"]["source"] == "ucf101"
    intervals = [summary["heads"][head]["top1_interval_pct"]["mean"] for head in heads]
    return (
        _environment()
        .get_template("report.md.j2")
        .render(
            summary=summary,
            title=data_title(summary),
            tested=is_tested(summary),
            headline=headline(summary),
            claims=judge(summary),
            departures=departures(inputs.params) if on_ucf101 else [],
            heads=heads,
            absent=[head for head in HEADS if head not in heads],
            names=HEADS,
            counts=counts,
            n_videos=sum(counts["n_test"].values()),
            no_interval=None in intervals,
            no_width=any(ends and ends["low"] == ends["high"] for ends in intervals),
            differences=difference_rows(summary),
            decomposition=decomposition(summary),
            confusions=frequent_confusions(list(inputs.outcomes.values()), 5),
            gains=recall_gains(inputs.class_rows),
            main=main_head(heads),
            audit=inputs.audit,
            contact_sheet=inputs.contact_sheet,
            select={name: inputs.params[name]["select"] for name in ("motion_net", "fusion")},
            figures=figures,
            params=[(key, _plain(value)) for key, value in _flat(_that_matter(inputs.params))],
            digests=sorted(inputs.digests.items()),
            versions=sorted(inputs.versions.items()),
            paper=PAPER,
        )
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("moclip"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown of our own values, no HTML of anyone else's
    )
    environment.filters.update(pct=_pct, signed=_signed, span=_span, cell=_cell, significance=_significance)
    return environment


def data_title(summary: Json) -> str:
    """What the videos were, in words that claim no more than is true."""
    dataset = summary["dataset"]
    name = {"demo": "generated demo data", "ucf101": "UCF101"}.get(dataset.removesuffix(" (part)"))
    if name is None:
        return f"the videos of {dataset}"
    return name if summary["complete"] else f"a part of {name}"


def is_tested(summary: Json) -> bool:
    """The paper's accuracies can be judged: the data are UCF101's, and all of them."""
    return summary["dataset"] == "ucf101" and summary["complete"]


def headline(summary: Json) -> str:
    """The verdict in one sentence."""
    if not is_tested(summary):
        return f"The paper's claims were NOT tested: this run used {data_title(summary)}."
    verdicts = [judged.verdict for judged in judge(summary) if judged.claim.head]
    kinds = ("reproduced", "not reproduced", "not tested")
    counts = [f"{verdicts.count(kind)} {kind}" for kind in kinds if kind in verdicts]
    return f"Of the paper's {len(verdicts)} accuracies on UCF101: {', '.join(counts)}."


def judge(summary: Json) -> list[Judged]:
    """Each claim with our figure and a verdict.

    An accuracy is reproduced if the paper's figure lies in our interval of the mean, or within one
    standard deviation over splits of our mean; with neither at hand it is not tested.
    """
    return [_judge(claim, summary) for claim in CLAIMS]


def _judge(claim: Claim, summary: Json) -> Judged:
    ours = summary["heads"].get(claim.head)
    if ours is None or not is_tested(summary):
        return Judged(claim, NO_VALUE, "not tested")
    mean, std = ours["top1_pct"]["mean"], ours["top1_pct"]["std"]
    interval = ours["top1_interval_pct"]["mean"]
    spans = [(interval["low"], interval["high"])] if interval else []
    spans += [(mean - std, mean + std)] if std is not None else []
    if not spans:
        return Judged(claim, f"{_pct(mean)} %", "not tested")
    inside = any(low <= claim.value <= high for low, high in spans)
    text = f"{_pct(mean)} %" + (f" ({_span(interval)})" if interval else "")
    return Judged(claim, text, "reproduced" if inside else "not reproduced")


def recall_gains(class_rows: Mapping[str, Mapping[int, Sequence[ClassRow]]]) -> dict[str, float]:
    """Recall of fusion minus that of the CLIP probe, in points, by class; splits are pooled.

    Empty where one of the two did not run; classes without a test video are left out.
    """
    if not {"fusion", "clip_probe"} <= set(class_rows):
        return {}
    fusion, probe = (_pooled(class_rows[head]) for head in ("fusion", "clip_probe"))
    return {name: 100.0 * (correct - probe[name][1]) / n for name, (n, correct) in fusion.items() if n}


def _pooled(by_split: Mapping[int, Sequence[ClassRow]]) -> dict[str, tuple[int, int]]:
    """Videos and hits by class, over all splits."""
    pooled: dict[str, tuple[int, int]] = {}
    for rows in by_split.values():
        for row in rows:
            n, correct = pooled.get(row.name, (0, 0))
            pooled[row.name] = (n + row.n, correct + row.correct)
    return pooled


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


def departures(params: Json) -> list[tuple[str, str, str]]:
    """Settings in which the parameters differ from the paper's published code: key, here, there."""
    here = dict(_flat(params))
    return [(key, _plain(here[key]), _plain(there)) for key, there in SETTINGS.items() if here[key] != there]


def _bars(summary: Json) -> list[AccuracyBar]:
    bars = []
    for head in _ordered(summary["heads"]):
        top1 = summary["heads"][head]["top1_pct"]
        ends = summary["heads"][head]["top1_interval_pct"]["mean"]
        interval = (ends["low"], ends["high"]) if ends else None
        per_split = list(top1["per_split"].values())
        bars.append(AccuracyBar(head, HEADS[head][0], top1["mean"], interval, per_split))
    return bars


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


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested parameters by dotted key, in the order of the file."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return value if isinstance(value, str) else json.dumps(value)


def _cell(text: str) -> str:
    """Text that stays inside one cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _pct(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.1f}"


def _significance(significant: bool | None) -> str:
    return {True: "significant", False: "not significant", None: "not known"}[significant]


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def _span(interval: Json | None, signed: bool = False) -> str:
    form = _signed if signed else _pct
    return NO_VALUE if interval is None else f"{form(interval['low'])} to {form(interval['high'])}"
