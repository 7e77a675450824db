"""The verdict: each claim of each paper beside our figure, by stated rules.

The rules for accuracies were written down before any figure on UCF101, and so were the margins in `papers/`. The 3 % of
the cost were not: that the nearest protocol lies 1.8 % below MoCLIP-Lite's claim was known by then.

Values in, values out; `RULES` are the same rules in words, for the report.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from moclip.base.markdown import NO_VALUE, signed, span
from moclip.heads.registry import CLIP, HEADS, MAIN, MOTION, in_order, related_sets
from moclip.params.flat import leaves
from moclip.report.papers import Accuracy, Claim, Count, Difference, Elsewhere, Measured, OfHalf, Paper, Retrieval
from moclip.results.equivalence import (
    ABOVE,
    BELOW,
    REPRODUCED,
    SEEDS_NEEDED,
    UNDECIDED,
    Sampling,
    hold_against,
)
from moclip.results.summary import Json, difference_name

NOT_REPRODUCED, NOT_COMPARABLE, NOT_RUN = "not reproduced", "not comparable", "not run"
KINDS = (REPRODUCED, BELOW, ABOVE, NOT_REPRODUCED, UNDECIDED, NOT_COMPARABLE, NOT_RUN)
COST_TOLERANCE_PCT = 3.0  # counters differ: 0.39 is published for an EfficientNet-B0 that counts 0.381 here
Settled = Accuracy | OfHalf | Difference
"""Claims that test videos settle."""
RULES = (
    "An **accuracy** is *not run* where its head was not, and *not comparable* unless all test videos of the data set "
    "that the claim is about were tested (of UCF101 the official ones), with the networks and weights that it names.",
    "Otherwise it is *reproduced within* its margin, *below* or *above the claim*, or *undecided*, by two one-sided "
    "tests at 5 % against the margin that the paper's file states and justifies. The unit is a training: the error is "
    f"s √(1 + 1/S) with the standard deviation s over our S seeds, at least {SEEDS_NEEDED} of them, for the claim is "
    "one such run on the same test videos. A head that draws nothing has s = 0. Test videos count as an error, in both "
    "figures, only where the claim is on another list or on an unknown one. Where a paper's code runs one split, that "
    "split is judged where it was run: MoCLIP-Lite does not say whether it reports a mean, and its code runs split 1. "
    "Other settings in which we depart stand below the table.",
    "**Selection**: where the claim's epoch was chosen on the test list (`select: test`) and ours was not, the "
    "question is *is it true*; *do we get their number* is answered by a run that chooses as they did.",
    "A **difference** of two heads on the same videos is judged likewise. Where its direction is claimed and no size, "
    "it is *reproduced* if our whole interval lies on the claimed side of the bound, *not reproduced* if it lies on "
    "the other side, and *undecided* if it holds the bound. Where heads build on a motion network, as many of these "
    "have to be trained (`seeds.motion`).",
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

    @property
    def words(self) -> str:
        """The verdict, with the margin that it holds within."""
        margin = self.claim.margin if isinstance(self.claim, Measured) else None
        if self.verdict != REPRODUCED or margin is None:
            return self.verdict
        return f"{self.verdict} within {margin:g} point{'' if margin == 1 else 's'}"


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
                    "words": row.words,
                    "margin_points": row.claim.margin if isinstance(row.claim, Measured) else None,
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
    reasons, leak = _reasons(paper, claim, summary, params), bool(leaks(claim.heads, params))
    ours = _figure(paper, claim, summary, draws=_draws(claim.heads, params))
    if isinstance(ours, str):
        return Judged(claim, NO_VALUE, NOT_COMPARABLE, "; ".join([ours, *reasons]))
    if reasons:
        return Judged(claim, ours.words, NOT_COMPARABLE, "; ".join(reasons), leak)
    verdict, why = _compared(claim, ours)
    asked = _question(paper, claim, params)
    return Judged(claim, ours.words, verdict, f"{asked}: {why}" if asked else why, leak)


@dataclass(frozen=True)
class _Ours:
    """Our figure by seed in words and numbers; `sampling` where it is not on the claim's own list."""

    by_seed: list[float]
    interval: Json | None
    of: str
    unit: str
    draws: bool
    sampling: Sampling | None
    trained: Json

    @property
    def too_few(self) -> str:
        """Why its trainings tell nothing of how it scatters; nothing where they do, or nothing is drawn."""
        if not self.draws:
            return ""
        count = len(self.by_seed)
        if count < SEEDS_NEEDED:
            return f"{count} seed{'s' if count > 1 else ''} run, {SEEDS_NEEDED} needed"
        if shared := self.trained.get("shared"):
            return f"all {count} trainings share {shared}; set `seeds.motion` to {SEEDS_NEEDED}"
        if (apart := self.trained.get("independent", count)) < SEEDS_NEEDED:
            return f"{count} trainings of heads on {apart} of the motion network, {SEEDS_NEEDED} needed: `seeds.motion`"
        return ""

    @property
    def words(self) -> str:
        """The mean with its unit, seeds, interval over recordings, and what it is of."""
        count, mean, is_points = len(self.by_seed), float(np.mean(self.by_seed)), self.unit == "points"
        seeds = f"{count} seed{'s' if count > 1 else ''}" if self.draws else "draws nothing"
        if count > 1:
            seeds += f", sd {np.std(self.by_seed, ddof=1):.1f}"
        bounds = f"; {span(self.interval, with_sign=is_points)}" if self.interval else ""
        return f"{signed(mean) if is_points else f'{mean:.1f}'} {self.unit} ({seeds}{bounds}), {self.of}"


def _draws(heads: Iterable[str], params: Json) -> bool:
    """Whether anything is drawn for one of the heads: a training, or the frame that CLIP sees."""
    random = str(params["clip"]["frame"]).startswith("random")
    specs = [HEADS[head] for head in heads]
    return any(not spec.draws_nothing or MOTION in spec.streams or (random and CLIP in spec.streams) for spec in specs)


def _question(paper: Paper, claim: Settled, params: Json) -> str:
    """Which question a claim whose epoch was chosen on the test list is asked; nothing where it was not."""
    keys = [key for key in claim.needs if key.endswith(".select") and paper.settings[key] == "test"]
    if not keys:
        return ""
    same = all(row[0] not in keys for row in departures(paper, params))
    return "do we get their number" if same else "is it true (ours was not chosen on the test list)"


def _figure(paper: Paper, claim: Settled, summary: Json, draws: bool) -> _Ours | str:
    """Our figure, or what is lacking where this run has none."""
    if isinstance(claim, Accuracy):
        return _accuracy(claim, paper, summary, draws)
    if isinstance(claim, OfHalf):
        return _of_half(claim, paper, summary, draws)
    return _difference(claim, paper, summary, draws)


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


def _lists(paper: Paper, claim: Settled, per_split: Json) -> tuple[list[str], bool]:
    """Splits of ours that are judged, and whether they are the claim's own: else all that were run."""
    wanted = [str(split) for split in paper.lists_of(claim)]
    own = bool(wanted) and set(wanted) <= set(per_split)
    return (wanted if own else sorted(per_split)), own


def _by_seed(trained: Json, splits: list[str], per_split: Json) -> list[float]:
    """The figure of each training, as a mean over these splits; one where a run has one training.

    Args:
        trained: What a summary says of the trainings: `per_training` over all splits, `per_split` by split.
        splits: Those that are judged.
        per_split: The figure by split, over all trainings.
    """
    of_splits = trained.get("per_split", {})
    if all(split in of_splits for split in splits):
        return [float(value) for value in np.mean([of_splits[split] for split in splits], axis=0)]
    if set(splits) == set(per_split) and "per_training" in trained:
        return list(trained["per_training"])
    return [float(np.mean([per_split[split] for split in splits]))]


def _trained(summary: Json, kind: str, name: str) -> Json:
    found: Json = summary.get("trainings", {}).get(kind, {}).get(name, {})
    return found


def _accuracy(claim: Accuracy, paper: Paper, summary: Json, draws: bool) -> _Ours:
    entry = summary["heads"][claim.head]
    per_split, intervals = entry["top1_pct"]["per_split"], entry["top1_interval_pct"]
    splits, own = _lists(paper, claim, per_split)
    interval = intervals["per_split"][splits[0]] if len(splits) == 1 else intervals["mean"]
    if len(splits) not in (1, len(per_split)):
        interval = None
    of = f"{sum(entry['n_test'][split] for split in splits)} videos, {_over_splits(splits)}"
    trained = _trained(summary, "heads", claim.head)
    by_seed = _by_seed(trained, splits, per_split)
    sampling = None if own else _sampling(entry.get("top1_error"), float(np.mean(by_seed)), claim.value)
    return _Ours(by_seed, interval, of, "%", draws, sampling, trained)


def _sampling(error: Json | None, ours: float, claim: float) -> Sampling | None:
    """Errors over recordings of our accuracy, and of one as high as the claim on a list of the same design."""
    if not error or not 0.0 < ours < 100.0:
        return Sampling(np.inf, np.inf, 1.0)
    scale = (claim * (100.0 - claim)) / (ours * (100.0 - ours))
    return Sampling(error["se_points"], error["se_points"] * float(np.sqrt(max(scale, 0.0))), error["df"])


def _difference(claim: Difference, paper: Paper, summary: Json, draws: bool) -> _Ours | str:
    """Ours, or that the summary has no such pair, in either order."""
    found = summary["differences"]
    turned = difference_name(claim.minus, claim.head) in found
    name = difference_name(*(reversed(claim.heads) if turned else claim.heads))
    entry = found.get(name)
    if entry is None:
        return "this run has no paired difference of these heads"
    splits, own = _lists(paper, claim, entry["per_split"])
    interval = entry["interval_per_split"][splits[0]] if len(splits) == 1 else entry["interval"]
    trained = _trained(summary, "differences", name)
    by_seed = _by_seed(trained, splits, entry["per_split"])
    if turned:
        by_seed = [-value for value in by_seed]
        interval = interval and {"low": -interval["high"], "high": -interval["low"]}
    se = entry.get("se_points")
    sampling = None if own else Sampling(se, se, entry["df"]) if se is not None else Sampling(np.inf, np.inf, 1.0)
    return _Ours(by_seed, interval, _over_splits(splits), "points", draws, sampling, trained)


def _of_half(claim: OfHalf, paper: Paper, summary: Json, draws: bool) -> _Ours | str:
    """Ours, or that the head saw all classes; a single split has no interval of its own where several were run."""
    halves = summary["heads"][claim.head].get("halves")
    if halves is None:
        return f"{claim.head} was not fitted on some of the classes alone"
    figure = halves["rows"][-1][claim.half]
    splits, own = _lists(paper, claim, figure["per_split"])
    interval = figure["interval"] if len(splits) == len(figure["per_split"]) else None
    by_seed = _by_seed({}, splits, figure["per_split"])
    se = (interval["high"] - interval["low"]) / 4.0 if interval else np.inf
    sampling = None if own else Sampling(se, se, 60.0)
    return _Ours(by_seed, interval, _over_splits(splits), "%", draws, sampling, {})


def _retrieval(paper: Paper, claim: Retrieval, summary: Json, search: Json | None) -> Judged:
    if search is None:
        return Judged(claim, NO_VALUE, NOT_RUN, "the search was not run: `moclip preset related`, then `dvc repro`")
    found = search["differences"][f"{claim.row}_minus_{claim.minus}"][claim.metric]
    interval = found["interval"]
    bounds = f" ({span(interval, with_sign=True)})" if interval else ""
    ours = f"{signed(found['mean'])} points{bounds}, {_over_splits(list(found['per_split']))}"
    if not is_tested(summary, paper.dataset_of(claim)):
        return Judged(claim, ours, NOT_COMPARABLE, data_title(summary))
    if interval is None:
        return Judged(claim, ours, UNDECIDED, "no interval")
    return Judged(claim, ours, *_on_one_side(claim, interval["low"], interval["high"]))


def _over_splits(splits: list[str]) -> str:
    return f"mean over splits {', '.join(splits)}" if len(splits) > 1 else f"split {splits[0]}"


def _reasons(paper: Paper, claim: Settled, summary: Json, params: Json) -> list[str]:
    """Why a claim is not about what ran: other data, or other settings where it needs them equal."""
    reasons = [] if is_tested(summary, paper.dataset_of(claim)) else [data_title(summary)]
    unlike = [
        (key, here, there)
        for key, here, there in departures(paper, params)
        if key in _needs(claim, params) and not (key.endswith(".select") and there == "test")  # see `_question`
    ]
    return reasons + [f"`{key}` {here}, not {there}" for key, here, there in unlike]


def _needs(claim: Settled, params: Json) -> set[str]:
    """What must be alike; weights of a local file are taken to be what their model's name says."""
    by_file = params["clip"]["checkpoint"] is not None or params["clip"]["precomputed"] is not None
    return set(claim.needs) - ({"clip.pretrained"} if by_file else set())


def _compared(claim: Settled, ours: _Ours) -> tuple[str, str]:
    if why := ours.too_few:
        return UNDECIDED, why
    if isinstance(claim, Difference) and claim.value is None:
        if ours.interval is None:
            return UNDECIDED, "no interval"
        return _on_one_side(claim, ours.interval["low"], ours.interval["high"])
    assert claim.size is not None, "a claim of size has one"
    assert claim.margin is not None, "and a margin"
    if ours.sampling and not np.isfinite(ours.sampling.ours):
        return UNDECIDED, "no interval, and the claim is on another or unknown list"
    found = hold_against(ours.by_seed, claim.size, claim.margin, ours.draws, ours.sampling)
    return found.verdict, found.why


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
    return UNDECIDED, f"our interval holds {bound:g}"


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
