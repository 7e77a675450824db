"""The verdict: each claim of the paper beside our figure, by stated rules.

The rules for accuracies were written down before any figure on UCF101. The 3 % of the cost were not: that the nearest
protocol lies 1.8 % below the claim was known by then.

Values in, values out; `RULES` are the same rules in words, for the report.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from moclip.heads.registry import HEADS, MAIN
from moclip.params.flat import leaves
from moclip.report.papers import CLAIMS, SETTINGS, Claim
from moclip.results.summary import Json, difference_name

REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE = "reproduced", "not reproduced", "not comparable"
KINDS = (REPRODUCED, NOT_REPRODUCED, NOT_COMPARABLE)
MAX_WIDTH_POINTS = 6.0  # of an interval that can reproduce anything
COST_TOLERANCE_PCT = 3.0  # counters differ: 0.39 is published for an EfficientNet-B0 that counts 0.381 here
RULES = (
    "An **accuracy** is *not comparable* unless all official test videos of UCF101 were tested, with the networks and "
    "weights that the claim is about.",
    f"Otherwise it is *reproduced* if the claimed value lies in our interval and that interval is at most "
    f"{MAX_WIDTH_POINTS:g} points wide (a wide one would reproduce anything, and is *not comparable*); else it is "
    "*not reproduced*. The paper does not say whether it reports a mean; its code runs split 1, so split 1 is judged "
    "where it was run, and else the mean. Other settings in which we depart stand below the table.",
    "The **number of parameters** is *reproduced* if the head as built has the claimed number to its last digit.",
    f"The **cost** is *reproduced* if a test protocol of the published code costs the claimed number of multiply-adds "
    f"within {COST_TOLERANCE_PCT:g} %, by which counters differ.",
)


@dataclass(frozen=True)
class Judged:
    """A claim beside our figure, with the verdict and its reason; a `leak` is a figure that was chosen on the test."""

    claim: Claim
    ours: str
    verdict: str
    why: str
    leak: bool = False


def judge(summary: Json, params: Json, accounting: Json) -> list[Judged]:
    """Each claim with our figure and a verdict, by `RULES`.

    Args:
        summary: As of `moclip.results.summary.summarize`.
        params: All parameters, nested.
        accounting: As the stage `account` writes it: `paper` and `run`.
    """
    judged = []
    for claim in CLAIMS:
        if claim.head is not None:
            judged.append(_accuracy(claim, summary, params))
        elif claim.unit == "M":
            judged.append(_parameters(claim, accounting["paper"]))
        else:
            judged.append(_cost(claim, accounting["paper"]))
    return judged


def leaks(heads: Iterable[str], params: Json) -> list[str]:
    """Those of the heads whose epochs, or whose motion network's, were chosen on the test list."""
    return [head for head in heads if any(params[by]["select"] == "test" for by in HEADS[head].chosen_by)]


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


def is_tested(summary: Json) -> bool:
    """The paper's accuracies can be judged at all: the data are UCF101's, and all of them."""
    return bool(summary["dataset"] == "ucf101" and summary["complete"])


def data_title(summary: Json) -> str:
    """What the videos were, in words that claim no more than is true."""
    dataset = summary["dataset"]
    name = {"demo": "generated demo data", "ucf101": "UCF101"}.get(dataset.removesuffix(" (part)"))
    if name is None:
        return f"the videos of {dataset}"
    return name if summary["complete"] else f"a part of {name}"


def in_one_sentence(judged: list[Judged], summary: Json) -> str:
    """The verdict in a sentence or two: accuracies, then the claims that need no data."""
    accuracies = [row.verdict for row in judged if row.claim.head]
    others = [row.verdict for row in judged if not row.claim.head]
    where = "" if is_tested(summary) else f" (this run used {data_title(summary)})"
    return f"Accuracies: {_counts(accuracies)}{where}. Parameters and multiply-adds: {_counts(others)}."


def departures(params: Json) -> list[tuple[str, str, str]]:
    """Settings in which the parameters differ from the paper's published code: key, here, there."""
    here = dict(leaves(params))
    return [(key, plain(here[key]), plain(there)) for key, there in SETTINGS.items() if here[key] != there]


def plain(value: Any) -> str:
    """A parameter's value as it reads in the file."""
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return value if isinstance(value, str) else json.dumps(value)


def nearest_protocol(claim: Claim, protocols: list[Json]) -> Json:
    """The protocol whose multiply-adds come nearest to the claim."""
    return min(protocols, key=lambda protocol: abs(protocol["gmac"] - claim.value))


def _counts(verdicts: list[str]) -> str:
    if len(set(verdicts)) == 1 and len(verdicts) > 1:
        return f"{'both' if len(verdicts) == 2 else f'all {len(verdicts)}'} {verdicts[0]}"
    return ", ".join(f"{verdicts.count(kind)} {kind}" for kind in KINDS if kind in verdicts)


def _accuracy(claim: Claim, summary: Json, params: Json) -> Judged:
    entry = summary["heads"].get(claim.head)
    if entry is None:
        return Judged(claim, "\N{EN DASH}", NOT_COMPARABLE, f"the head {claim.head} was not run")
    value, interval, n, of = _figure(entry)
    span = f" ({interval['low']:.1f}\N{EN DASH}{interval['high']:.1f})" if interval else ""
    ours = f"{value:.1f} %{span}, {n} videos, {of}"
    verdict, why = _compared(claim, summary, params, interval)
    return Judged(claim, ours, verdict, why, bool(leaks([str(claim.head)], params)))


def _figure(entry: Json) -> tuple[float, Json | None, int, str]:
    """Value, interval, test videos and what they are of: split 1, or else the mean."""
    top1, intervals = entry["top1_pct"], entry["top1_interval_pct"]
    if "1" in top1["per_split"]:
        return top1["per_split"]["1"], intervals["per_split"]["1"], entry["n_test"]["1"], "split 1"
    splits = ", ".join(top1["per_split"])
    of = f"mean over splits {splits}" if len(top1["per_split"]) > 1 else f"split {splits}"
    return top1["mean"], intervals["mean"], sum(entry["n_test"].values()), of


def _compared(claim: Claim, summary: Json, params: Json, interval: Json | None) -> tuple[str, str]:
    reasons = [] if is_tested(summary) else [data_title(summary)]
    reasons += [f"`{key}` {here}, not {there}" for key, here, there in _unlike(claim, params)]
    if reasons:
        return NOT_COMPARABLE, "; ".join(reasons)
    if interval is None:
        return NOT_COMPARABLE, "no interval"
    if interval["high"] - interval["low"] > MAX_WIDTH_POINTS:
        return NOT_COMPARABLE, f"our interval is {interval['high'] - interval['low']:.1f} points wide"
    if claim.value < interval["low"]:
        return NOT_REPRODUCED, "ours is above the claim"
    if claim.value > interval["high"]:
        return NOT_REPRODUCED, "ours is below the claim"
    return REPRODUCED, "the claim lies in our interval"


def _unlike(claim: Claim, params: Json) -> list[tuple[str, str, str]]:
    """Departures in what the claim needs; weights of a local file are taken to be what their model's name says."""
    by_file = params["clip"]["checkpoint"] is not None or params["clip"]["precomputed"] is not None
    needs = set(claim.needs) - ({"clip.pretrained"} if by_file else set())
    return [row for row in departures(params) if row[0] in needs]


def _parameters(claim: Claim, costs: Json) -> Judged:
    count = costs["head_parameters"]
    ours = f"{count:,} ({costs['head']})"
    if round(count / 1e6, 2) == claim.value:
        return Judged(claim, ours, REPRODUCED, f"the motion network's {costs['motion_parameters']:,} are not in it")
    return Judged(claim, ours, NOT_REPRODUCED, "the head as built has another number")


def _cost(claim: Claim, costs: Json) -> Judged:
    in_code = [protocol for protocol in costs["protocols"] if protocol["in_the_code"]]
    best = nearest_protocol(claim, in_code)
    off_pct = 100.0 * (best["gmac"] - claim.value) / claim.value
    ours = f"{best['gmac']:.1f} G ({best['inputs']} segments, {_crops(best['crops'])})"
    others = ", ".join(
        f"{one['inputs']} segments x {one['crops']} crops {one['gmac']:.1f} G" for one in in_code if one is not best
    )
    verdict = REPRODUCED if abs(off_pct) <= COST_TOLERANCE_PCT else NOT_REPRODUCED
    off = f"{abs(off_pct):.1f} % {'more' if off_pct > 0 else 'less'}"
    return Judged(claim, ours, verdict, f"{off}; the code's other test: {others}")


def _crops(count: int) -> str:
    return "1 crop" if count == 1 else f"{count} crops"
