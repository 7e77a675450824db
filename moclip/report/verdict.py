"""The verdict: each claim of each paper beside our figure, by stated rules.

The rules for accuracies were written down before any figure on UCF101. The 3 % of the cost were not: that the nearest
protocol lies 1.8 % below MoCLIP-Lite's claim was known by then.

Values in, values out; `RULES` are the same rules in words, for the report.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moclip.base.markdown import NO_VALUE, signed, span
from moclip.heads.registry import HEADS, MAIN, MOTION, in_order, related_sets
from moclip.params.flat import leaves
from moclip.report.papers import Accuracy, Claim, Count, Difference, Elsewhere, Measured, OfHalf, Paper, Retrieval
from moclip.results.summary import Json, difference_name

REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE, NOT_RUN = "reproduced", "not reproduced", "not comparable", "not run"
KINDS = (REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE, NOT_RUN)
MAX_WIDTH_POINTS = 6.0  # of an interval that can reproduce anything
COST_TOLERANCE_PCT = 3.0  # counters differ: 0.39 is published for an EfficientNet-B0 that counts 0.381 here
Settled = Accuracy | OfHalf | Difference
"""Claims that test videos settle."""
RULES = (
    "An **accuracy** is *not run* where its head was not, and *not comparable* unless all test videos of the data set "
    "that the claim is about were tested (of UCF101 the official ones), with the networks and weights that it names.",
    f"Otherwise it is *reproduced* if the claimed value lies in our interval and that interval is at most "
    f"{MAX_WIDTH_POINTS:g} points wide (a wide one would reproduce anything, and is *not comparable*); else it is "
    "*not reproduced*. Where a paper's code runs one split, that split is judged where it was run, and else the mean: "
    "MoCLIP-Lite does not say whether it reports a mean, and its code runs split 1. Other settings in which we depart "
    "stand below the table.",
    "A **difference** of two heads on the same videos is judged likewise. Where its direction is claimed and no size, "
    "it is *reproduced* if our whole interval lies on the claimed side of the bound, and *not reproduced* if it lies "
    "on the other side, or on both and is narrow enough.",
    "The accuracy on **seen or unseen classes** is judged likewise, where the head was fitted on some classes alone.",
    "The **number of parameters** is *reproduced* if the networks as built have the claimed number to its last digit.",
    f"The **cost** is *reproduced* if a test protocol of the published code costs the claimed number of multiply-adds "
    f"within {COST_TOLERANCE_PCT:g} %, by which counters differ.",
    "**Retrieval** by one way of searching over another is *not run* where the search was not. Else it is judged as a "
    "difference, on long videos that are composed of the test clips.",
    "A figure of **another task**, such as the answers of a language model, is *not comparable*.",
)


@dataclass(frozen=True)
class Judged:
    """A claim beside our figure, with the verdict and its reason; a `leak` is a figure that was chosen on the test."""

    claim: Claim
    ours: str
    verdict: str
    why: str
    leak: bool = False


@dataclass(frozen=True)
class Trial:
    """A paper with the verdict on each of its claims.

    `sentence` is the verdict in a sentence or two; `data` is the paper's data set in words; `tested` says that the
    videos are all of it, `ran` that the heads of a claim have results; `departures` are settings in which this run is
    unlike the paper's code.
    """

    paper: Paper
    rows: list[Judged]
    sentence: str
    data: str
    tested: bool
    ran: bool
    departures: list[tuple[str, str, str]]


def judge(
    papers: Mapping[str, Paper], summary: Json, params: Json, costs: Json, search: Json | None = None
) -> dict[str, Trial]:
    """Each paper with each of its claims, our figure and a verdict, by `RULES`.

    Args:
        papers: As of `moclip.report.papers.read_papers`.
        summary: As of `moclip.results.summary.summarize`.
        params: All parameters, nested.
        costs: As of `moclip.report.paper_costs.paper_costs`.
        search: As the stage `search` writes it; None where it was not run.
    """
    return {name: _try(paper, summary, params, costs.get(name, {}), search) for name, paper in papers.items()}


def record(trials: Mapping[str, Trial]) -> Json:
    """The verdicts as plain values for JSON, by paper."""
    return {
        name: {
            "paper": trial.paper.named,
            "verdict": trial.sentence,
            "claims": [
                {
                    "statement": row.claim.statement,
                    "claimed": row.claim.claimed,
                    "ours": row.ours,
                    "verdict": row.verdict,
                    "why": row.why,
                    "chosen_on_test": row.leak,
                }
                for row in trial.rows
            ],
        }
        for name, trial in trials.items()
    }


def leaks(heads: Iterable[str], params: Json) -> list[str]:
    """Those of the heads whose epochs, or whose motion network's, were chosen on the test list."""
    return [head for head in heads if any(params[by]["select"] == "test" for by in HEADS[head].chosen_by)]


def transductive(heads: Iterable[str], params: Json) -> list[str]:
    """Those of the heads whose motion network saw held-out videos, without labels, before it was trained."""
    given = params["motion_pretrain"]
    if given["videos"] == "train":
        return []
    shared = given["method"] != "none"
    rows = {head: HEADS[head] for head in heads}
    return [
        head
        for head, spec in rows.items()
        if spec.own_network == "pretrained" or (shared and MOTION in spec.streams and spec.own_network is None)
    ]


def epochs_kept(heads: Iterable[str], params: Json) -> list[tuple[str, str]]:
    """By which rule an epoch was kept, and of what, for each section that the heads' epochs rest on."""
    words = {"motion_net": "the motion network", HEADS[MAIN].section: "the heads"}
    sections = dict.fromkeys(by for head in heads for by in HEADS[head].chosen_by)
    return [(params[by]["select"], words.get(by, f"`{by}`")) for by in sections]


def motion_adds(summary: Json) -> list[Json]:
    """`MAIN` over the heads that have no motion of the video itself: what motion adds over each of them."""
    controls = [head for head, spec in HEADS.items() if spec.is_motion_control]
    found = [(other, summary["differences"].get(difference_name(MAIN, other))) for other in controls]
    return [{"other": other, **difference} for other, difference in found if difference]


def is_tested(summary: Json, dataset: str = "ucf101") -> bool:
    """Accuracies on a data set can be judged at all: the videos are of that one, and all of them."""
    return bool(summary["dataset"] == dataset and summary["complete"])


def data_title(summary: Json) -> str:
    """What the videos were, in words that claim no more than is true."""
    dataset = summary["dataset"]
    name = data_name(dataset.removesuffix(" (part)"))
    if name is None:
        return f"the videos of {dataset}"
    return name if summary["complete"] else f"a part of {name}"


def data_name(dataset: str) -> str | None:
    """A data set's name in words; None of one that is known by its folder alone."""
    return {"demo": "generated demo data", "ucf101": "UCF101"}.get(dataset)


def in_one_sentence(judged: list[Judged], summary: Json, tested: bool) -> str:
    """The verdict in a sentence or two: accuracies and differences, then the claims that need no data."""
    parts = []
    kinds: tuple[tuple[tuple[type[Claim], ...], str], ...] = (
        ((Accuracy, OfHalf), "Accuracies"),
        ((Difference,), "Differences"),
        ((Retrieval,), "Retrieval"),
        ((Elsewhere,), "Other tasks"),
    )
    for kind, title in kinds:
        if verdicts := [row.verdict for row in judged if isinstance(row.claim, kind)]:
            told = not tested and NOT_COMPARABLE in verdicts and kind != (Elsewhere,)
            parts.append(f"{title}: {_counts(verdicts)}{f' (this run used {data_title(summary)})' if told else ''}.")
    if counts := {row.claim.about for row in judged if isinstance(row.claim, Count)}:
        words = {"parameters": "parameters", "cost": "multiply-adds"}
        about = " and ".join(word for key, word in words.items() if key in counts)
        verdicts = [row.verdict for row in judged if isinstance(row.claim, Count)]
        parts.append(f"{about.capitalize()}: {_counts(verdicts)}.")
    return " ".join(parts)


def departures(paper: Paper, params: Json) -> list[tuple[str, str, str]]:
    """Settings in which the parameters differ from a paper's published code: key, here, there.

    A setting of a head that this version lacks is no parameter, and is left out.
    """
    here = dict(leaves(params))
    return [
        (key, plain(here[key]), plain(there))
        for key, there in paper.settings.items()
        if key in here and here[key] != there
    ]


def command_for(heads: Iterable[str], summary: Json, params: Json) -> str:
    """The command that gives results to these heads beside those that have some; nothing where all have."""
    wanted = in_order({*summary["heads"], *heads})
    if set(wanted) == set(summary["heads"]):
        return ""
    settings = {"heads": wanted}
    if lacking := set(related_sets(wanted)) - set(params["related"]):
        settings["related"] = [*params["related"], *sorted(lacking)]
    return " ".join(["dvc exp run", *(f'-S "{key}=[{",".join(values)}]"' for key, values in settings.items())])


def counted(rows: Iterable[Judged]) -> str:
    """How often each verdict fell: `1 reproduced, 2 not comparable`."""
    return _counts([row.verdict for row in rows])


def plain(value: Any) -> str:
    """A parameter's value as it reads in the file."""
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return value if isinstance(value, str) else json.dumps(value)


def nearest_protocol(claim: Count, protocols: list[Json]) -> Json:
    """The protocol whose multiply-adds come nearest to the claim."""
    return min(protocols, key=lambda protocol: abs(protocol["gmac"] - claim.value))


def _try(paper: Paper, summary: Json, params: Json, costs: Json, search: Json | None) -> Trial:
    def judged(claim: Claim) -> Judged:
        if isinstance(claim, Count):
            return _count(claim, costs)
        if isinstance(claim, Elsewhere):
            return Judged(claim, NO_VALUE, NOT_COMPARABLE, f"needs {claim.lacks}")
        if isinstance(claim, Retrieval):
            return _retrieval(paper, claim, summary, search)
        assert isinstance(claim, Accuracy | Difference | OfHalf), "every kind of claim has its rule"
        return _measured(paper, claim, summary, params)

    rows = [judged(claim) for claim in paper.claims]
    tested = is_tested(summary, paper.dataset)
    ran = any(row.verdict != NOT_RUN for row in rows if isinstance(row.claim, Measured | Retrieval))
    data, sentence = data_name(paper.dataset) or paper.dataset, in_one_sentence(rows, summary, tested)
    return Trial(paper, rows, sentence, data, tested, ran, departures(paper, params))


def _counts(verdicts: list[str]) -> str:
    if len(set(verdicts)) == 1 and len(verdicts) > 1:
        return f"{'both' if len(verdicts) == 2 else f'all {len(verdicts)}'} {verdicts[0]}"
    return ", ".join(f"{verdicts.count(kind)} {kind}" for kind in KINDS if kind in verdicts)


def _measured(paper: Paper, claim: Settled, summary: Json, params: Json) -> Judged:
    if why := _why_not_run(claim, summary, params):
        return Judged(claim, NO_VALUE, NOT_RUN, why)
    figure, lacking = _figure(paper, claim, summary)
    if figure is None:
        return Judged(claim, NO_VALUE, NOT_COMPARABLE, "; ".join([lacking, *_reasons(paper, claim, summary, params)]))
    ours, interval = figure
    reasons = _reasons(paper, claim, summary, params)
    verdict, why = (NOT_COMPARABLE, "; ".join(reasons)) if reasons else _compared(claim, interval)
    return Judged(claim, ours, verdict, why, bool(leaks(claim.heads, params)))


def _figure(paper: Paper, claim: Settled, summary: Json) -> tuple[tuple[str, Json | None] | None, str]:
    """Ours in words with its interval, None where this run has no such figure; and what is lacking then."""
    if isinstance(claim, Accuracy):
        return _accuracy(claim, paper, summary), ""
    if isinstance(claim, OfHalf):
        return _of_half(claim, paper, summary), f"{claim.head} was not fitted on some of the classes alone"
    return _difference(claim, paper, summary), "this run has no paired difference of these heads"


def _why_not_run(claim: Settled, summary: Json, params: Json) -> str:
    """Which head lacks results, and how it gets some; nothing where all have them."""
    missing = [head for head in claim.heads if head not in summary["heads"]]
    if unknown := [head for head in missing if head not in HEADS]:
        return f"this version has no head '{unknown[0]}'"
    if not missing:
        return ""
    command = command_for(claim.heads, summary, params)
    one = f"the head {missing[0]} was" if len(missing) == 1 else f"the heads {' and '.join(missing)} were"
    return f"{one} not run: `{command}`"


def _accuracy(claim: Accuracy, paper: Paper, summary: Json) -> tuple[str, Json | None]:
    """Ours in words, and its interval."""
    entry = summary["heads"][claim.head]
    top1, intervals, split = entry["top1_pct"], entry["top1_interval_pct"], str(paper.split)
    if split in top1["per_split"]:
        value, interval, n = top1["per_split"][split], intervals["per_split"][split], entry["n_test"][split]
        of = f"split {split}"
    else:
        value, interval, n = top1["mean"], intervals["mean"], sum(entry["n_test"].values())
        of = _over_splits(top1["per_split"])
    bounds = f" ({span(interval)})" if interval else ""
    return f"{value:.1f} %{bounds}, {n} videos, {of}", interval


def _difference(claim: Difference, paper: Paper, summary: Json) -> tuple[str, Json | None] | None:
    """Ours in words, and its interval; None where the summary has no such pair, in either order."""
    found, split = summary["differences"], str(paper.split)
    turned = difference_name(claim.minus, claim.head) in found
    entry = found.get(difference_name(*(reversed(claim.heads) if turned else claim.heads)))
    if entry is None:
        return None
    if split in entry["per_split"]:
        value, interval, of = entry["per_split"][split], entry["interval_per_split"][split], f"split {split}"
    else:
        value, interval, of = entry["mean"], entry["interval"], _over_splits(entry["per_split"])
    if turned:
        value, interval = -value, interval and {"low": -interval["high"], "high": -interval["low"]}
    bounds = f" ({span(interval, with_sign=True)})" if interval else ""
    return f"{signed(value)} points{bounds}, {of}", interval


def _of_half(claim: OfHalf, paper: Paper, summary: Json) -> tuple[str, Json | None] | None:
    """Ours in words, and its interval; a single split has none of its own where several were run."""
    halves = summary["heads"][claim.head].get("halves")
    if halves is None:
        return None
    figure, split = halves["rows"][-1][claim.half], str(paper.split)
    is_one = split in figure["per_split"] and len(figure["per_split"]) > 1
    value = figure["per_split"][split] if is_one else figure["mean"]
    interval = None if is_one else figure["interval"]
    of = f"split {split}" if is_one else _over_splits(figure["per_split"])
    bounds = f" ({span(interval)})" if interval else ""
    return f"{value:.1f} %{bounds}, {of}", interval


def _retrieval(paper: Paper, claim: Retrieval, summary: Json, search: Json | None) -> Judged:
    if search is None:
        return Judged(claim, NO_VALUE, NOT_RUN, "the search was not run: `moclip preset related`, then `dvc repro`")
    found = search["differences"][f"{claim.row}_minus_{claim.minus}"][claim.metric]
    interval = found["interval"]
    bounds = f" ({span(interval, with_sign=True)})" if interval else ""
    ours = f"{signed(found['mean'])} points{bounds}, {_over_splits(found['per_split'])}"
    if not is_tested(summary, paper.dataset_of(claim)):
        return Judged(claim, ours, NOT_COMPARABLE, data_title(summary))
    if interval is None:
        return Judged(claim, ours, NOT_COMPARABLE, "no interval")
    return Judged(claim, ours, *_on_one_side(claim, interval["low"], interval["high"]))


def _over_splits(per_split: Json) -> str:
    splits = ", ".join(per_split)
    return f"mean over splits {splits}" if len(per_split) > 1 else f"split {splits}"


def _reasons(paper: Paper, claim: Settled, summary: Json, params: Json) -> list[str]:
    """Why a claim is not about what ran: other data, or other settings where it needs them equal."""
    reasons = [] if is_tested(summary, paper.dataset_of(claim)) else [data_title(summary)]
    unlike = [row for row in departures(paper, params) if row[0] in _needs(claim, params)]
    return reasons + [f"`{key}` {here}, not {there}" for key, here, there in unlike]


def _needs(claim: Settled, params: Json) -> set[str]:
    """What must be alike; weights of a local file are taken to be what their model's name says."""
    by_file = params["clip"]["checkpoint"] is not None or params["clip"]["precomputed"] is not None
    return set(claim.needs) - ({"clip.pretrained"} if by_file else set())


def _compared(claim: Settled, interval: Json | None) -> tuple[str, str]:
    if interval is None:
        return NOT_COMPARABLE, "no interval"
    low, high = interval["low"], interval["high"]
    if isinstance(claim, Difference) and claim.value is None:
        return _on_one_side(claim, low, high)
    value = claim.value
    assert value is not None, "a claim of size has one"
    if high - low > MAX_WIDTH_POINTS:
        return NOT_COMPARABLE, f"our interval is {high - low:.1f} points wide"
    if value < low:
        return NOT_REPRODUCED, "ours is above the claim"
    if value > high:
        return NOT_REPRODUCED, "ours is below the claim"
    return REPRODUCED, "the claim lies in our interval"


def _on_one_side(claim: Difference | Retrieval, low: float, high: float) -> tuple[str, str]:
    """A claim of direction, by the interval of the difference."""
    if claim.above is not None:
        bound, holds, fails = claim.above, low > claim.above, high <= claim.above
    else:
        assert isinstance(claim, Difference), "only a difference may lie below"
        assert claim.below is not None, "a direction is one of the two"
        bound, holds, fails = claim.below, high < claim.below, low >= claim.below
    if holds:
        return REPRODUCED, "our interval lies on the claimed side"
    if fails:
        return NOT_REPRODUCED, "our interval lies on the other side"
    if high - low > MAX_WIDTH_POINTS:
        return NOT_COMPARABLE, f"our interval is {high - low:.1f} points wide and holds {bound:g}"
    return NOT_REPRODUCED, f"our interval holds {bound:g}"


def _count(claim: Count, costs: Json) -> Judged:
    return _parameters(claim, costs["parameters"]) if claim.about == "parameters" else _cost(claim, costs["protocols"])


def _parameters(claim: Count, counted: Json) -> Judged:
    ours, digits = f"{counted['count']:,} ({counted['of']})", len(f"{claim.value:g}".partition(".")[2])
    if round(counted["count"] / 1e6, digits) == claim.value:
        return Judged(claim, ours, REPRODUCED, counted["beside"])
    return Judged(claim, ours, NOT_REPRODUCED, "the networks as built have another number")


def _cost(claim: Count, protocols: list[Json]) -> Judged:
    in_code = [protocol for protocol in protocols if protocol["in_the_code"]]
    best = nearest_protocol(claim, in_code)
    off_pct = 100.0 * (best["gmac"] - claim.value) / claim.value
    others = ", ".join(f"{one['words']}: {one['gmac']:.1f} G" for one in in_code if one is not best)
    verdict = REPRODUCED if abs(off_pct) <= COST_TOLERANCE_PCT else NOT_REPRODUCED
    off = f"{abs(off_pct):.1f} % {'more' if off_pct > 0 else 'less'}"
    why = f"{off}; the code's other test: {others}" if others else off
    return Judged(claim, f"{best['gmac']:.1f} G ({best['words']})", verdict, why)
