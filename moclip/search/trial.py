"""How well moments are found in composed films: figures by way of searching, with intervals by group.

One query a run: its class. The ways differ in what scores a step, and in how the curve is cut; what is free of a way
is chosen on the films of the validation part.

Axes: t step, d feature, k class, n query.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.special import log_softmax

from moclip.base.errors import DataError
from moclip.heads.fitted import Fitted
from moclip.heads.registry import HEADS
from moclip.params.frames import SearchParams
from moclip.results.estimate import Design
from moclip.results.intervals import Level
from moclip.search.films import Film, Run
from moclip.search.moments import (
    QUERY_RULES,
    Rule,
    chunk_scores,
    chunks,
    cosine,
    iou,
    retrieve,
    sliding_mean,
    softmax_over_time,
)

IOUS = (0.3, 0.5, 0.7)
BUDGET = 0.1  # of a film that is kept, for `kept`
MERGES = (1, 2, 4, 8, 16)
PUBLISHED_MERGE = 16
RANDOM, UNIFORM, SHOTS, PUBLISHED, QUERY, ORACLE = "random", "uniform", "shots", "published", "query", "oracle"
BY = ("clip", "motion", "both")
METRICS = (*(f"r1_{round(100 * bound)}" for bound in IOUS), "miou", "kept")


@dataclass(frozen=True)
class Way:
    """A way of searching: what a row of the table is.

    Attributes:
        name: Its row.
        title: The row's words.
        score: `text`, `random`, or the name of a head.
        rules: Ways to cut among which validation chooses; the true spans are `oracle`.
        merges: Likewise, of how many chunks to merge.
    """

    name: str
    title: str
    score: str
    rules: tuple[str, ...]
    merges: tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """What was chosen for a way."""

    rule: str
    merge: int


@dataclass(frozen=True)
class Features:
    """What is known of each clip's steps, and of the classes.

    Attributes:
        clip: CLIP's features (t, d) by video.
        motion: The motion network's (t, d) by video.
        texts: One unit vector a class, (k, d).
        heads: Trained heads by name.
    """

    clip: Mapping[str, np.ndarray]
    motion: Mapping[str, np.ndarray]
    texts: np.ndarray
    heads: Mapping[str, Fitted]

    def of(self, stream: str, ids: Sequence[str]) -> np.ndarray:
        """A stream of clips end to end, float32 (t, d)."""
        values: Mapping[str, np.ndarray] = getattr(self, stream)
        return np.concatenate([values[video] for video in ids]).astype(np.float32)


def ways(params: SearchParams, heads: Sequence[str]) -> list[Way]:
    """All rows, in the order of the table."""
    rules = QUERY_RULES if params.chunks is None else (params.chunks,)
    merges = MERGES if params.merge is None else (params.merge,)
    by_head = [Way(f"{QUERY}_{head}", f"query, scores of {HEADS[head].title}", head, rules, merges) for head in heads]
    return [
        Way(RANDOM, "random chunk", RANDOM, ("uniform",), (1,)),
        Way(UNIFORM, "even chunks", "text", ("uniform",), merges),
        Way(SHOTS, "shots", "text", ("shots",), merges),
        Way(PUBLISHED, "as published (softmax over time)", "text", ("published",), (PUBLISHED_MERGE,)),
        Way(QUERY, "query", "text", rules, merges),
        *by_head,
        Way(ORACLE, "true bounds", "text", (ORACLE,), (1,)),
    ]


@dataclass(frozen=True)
class Query:
    """One run of a film as what is looked for: its class, where it is, and every way's curve (t,) by `Way.score`."""

    film: Film
    run: Run
    curves: Mapping[str, np.ndarray]
    features: np.ndarray


def queries(films: Sequence[Film], seen: Features, rng: Callable[[int, int], np.random.Generator]) -> list[Query]:
    """Every run of every film as a query; `rng` gives the generator of the random scores by film and run."""
    found = []
    for number, film in enumerate(films):
        clip, motion = seen.of("clip", film.ids), seen.of("motion", film.ids)
        inputs = {"clip": clip, "motion": motion}
        by_head = {
            head: log_softmax(fitted.logits({name: inputs[name] for name in fitted.streams}).astype(np.float64), axis=1)
            for head, fitted in seen.heads.items()
        }
        for run in film.runs:
            curves = {"text": cosine(clip, seen.texts[run.label])}
            curves |= {head: values[:, run.label] for head, values in by_head.items()}
            curves[RANDOM] = rng(number, run.label).random(film.steps)
            found.append(Query(film, run, curves, clip))
    return found


def spans_of(query: Query, way: Way, choice: Choice, chunk_steps: float) -> np.ndarray:
    """Spans of a film, the best first, (n, 2)."""
    curve = query.curves[way.score]
    if choice.rule == ORACLE:
        spans = np.array([(run.start, run.end) for run in query.film.runs])
        scores = np.array([curve[start:end].mean() for start, end in spans])
    else:
        rule: Rule = choice.rule  # type: ignore[assignment]
        count = max(1, math.ceil(query.film.steps / chunk_steps - 1e-9))
        spans = chunks(curve, count, rule, query.features)
        values = softmax_over_time(curve) if rule == PUBLISHED else curve
        scores = chunk_scores(values, spans, rule)
    return retrieve(spans, scores, choice.merge)[0]


def measured(query: Query, spans: np.ndarray, curve: np.ndarray) -> dict[str, float]:
    """Figures of one answer, from 0 to 1: by `METRICS`."""
    target = (query.run.start, query.run.end)
    overlap = iou(spans[0], target)
    hits = {f"r1_{round(100 * bound)}": float(overlap >= bound) for bound in IOUS}
    return {**hits, "miou": overlap, "kept": kept(spans, curve, target)}


def kept(spans: np.ndarray, curve: np.ndarray, target: tuple[int, int]) -> float:
    """Share of a target in the first tenth of a film that is retrieved: span by span, in one its best steps first."""
    order = np.concatenate([start + np.argsort(-curve[start:end], kind="stable") for start, end in spans])
    taken = order[: max(1, math.floor(BUDGET * len(curve) + 1e-9))]
    return float(((taken >= target[0]) & (taken < target[1])).sum() / (target[1] - target[0]))


def choose(asked: Sequence[Query], way: Way, chunk_steps: float) -> tuple[Choice, list[dict[str, Any]]]:
    """The rule and merge of the best mean IoU on these queries, the first of equal ones; and all that were tried.

    Raises:
        DataError: there is something to choose and nothing to choose by.
    """
    options = [Choice(rule, merge) for rule, merge in product(way.rules, way.merges)]
    if len(options) == 1:
        return options[0], []
    if not asked:
        raise DataError(
            "search.chunks and search.merge: null chooses on films of the validation part, and it has no two classes; "
            "set both, or hold groups out by data.val_groups"
        )
    target = [(query, (query.run.start, query.run.end)) for query in asked]
    tried = [
        float(np.mean([iou(spans_of(query, way, option, chunk_steps)[0], span) for query, span in target]))
        for option in options
    ]
    best = int(np.argmax(tried))
    rows = [{**asdict(option), "miou_pct": round(100 * value, 4)} for option, value in zip(options, tried, strict=True)]
    return options[best], rows


Figures = dict[str, np.ndarray]
"""By metric, one value a query, (n,)."""


def answers(asked: Sequence[Query], way: Way, choice: Choice, chunk_steps: float) -> Figures:
    """Figures of a way on all queries, by metric (n,)."""
    rows = [measured(query, spans_of(query, way, choice, chunk_steps), query.curves[way.score]) for query in asked]
    return {metric: np.array([row[metric] for row in rows]) for metric in METRICS}


def design_of(sought: Mapping[int, Sequence[Run]]) -> Design:
    """Class and group of what each query seeks, by split; of a group that spans classes, each class's clips are one."""
    return Design(
        {split: np.array([run.label for run in own]) for split, own in sought.items()},
        {split: np.array([f"{run.label}/{run.group}" for run in own]) for split, own in sought.items()},
    )


def summary(figures: Mapping[int, Figures], design: Design, level: Level) -> dict[str, Any]:
    """Each metric of a way in percent: mean over splits, interval, and by split."""
    found = {}
    for metric in METRICS:
        values = {split: of[metric] for split, of in figures.items()}
        per_split = {str(split): round(100 * float(of.mean()), 4) for split, of in values.items()}
        found[metric] = {
            "mean": round(float(np.mean(list(per_split.values()))), 4),
            "per_split": per_split,
            "interval": level.accuracy_interval(values, design),
        }
    return found


def difference(
    one: Mapping[int, Figures], other: Mapping[int, Figures], design: Design, level: Level
) -> dict[str, Any]:
    """Each metric of a way minus that of another on the same queries, in points: mean over splits and interval."""
    found = {}
    for metric in METRICS:
        values = {split: one[split][metric] - other[split][metric] for split in one}
        contrast = level.contrast(values, design)
        found[metric] = {
            "mean": contrast.points,
            "per_split": {str(split): round(100 * float(of.mean()), 4) for split, of in values.items()},
            **contrast.values(),
        }
    return found


@dataclass(frozen=True)
class Alike:
    """A question by example: a clip, the film that is searched, and the run that ought to be found in it."""

    example: str
    film: Film
    target: Run


def by_example(
    films: Sequence[Film], examples: Mapping[int, str], wanted: Mapping[int, int], *, without_own: bool
) -> list[Alike]:
    """Questions by the example of each run's class.

    Args:
        films: What is searched.
        examples: A clip of each class, of a recording that is in no film.
        wanted: The class that is to be found, by that of the example.
        without_own: Search the film without the run of the example's own class.
    """
    found = []
    for film in films:
        by_label = {run.label: run for run in film.runs}
        for run in film.runs:
            if run.label not in examples or (label := wanted.get(run.label)) not in by_label:
                continue
            searched = film.without(run) if without_own else film
            target = next(one for one in searched.runs if one.label == label)
            found.append(Alike(examples[run.label], searched, target))
    return found


def alike_figures(asked: Sequence[Alike], seen: Features, by: str, choice: Choice, chunk_steps: float) -> Figures:
    """Figures of a search by example, by metric (n,)."""
    way = Way("like", "by example", "like", (choice.rule,), (choice.merge,))
    rows = []
    for one in asked:
        curve = likeness(one.film, one.example, seen, by)
        query = Query(one.film, one.target, {"like": curve}, seen.of("clip", one.film.ids))
        rows.append(measured(query, spans_of(query, way, choice, chunk_steps), curve))
    return {metric: np.array([row[metric] for row in rows]) for metric in METRICS}


def choose_alike(asked: Sequence[Alike], seen: Features, by: str, params: SearchParams, chunk_steps: float) -> Choice:
    """As `choose`, for a search by example."""
    curves = [likeness(one.film, one.example, seen, by) for one in asked]
    rules = QUERY_RULES if params.chunks is None else (params.chunks,)
    merges = MERGES if params.merge is None else (params.merge,)
    made = [
        Query(one.film, one.target, {"like": curve}, seen.of("clip", one.film.ids))
        for one, curve in zip(asked, curves, strict=True)
    ]
    return choose(made, Way("like", "by example", "like", rules, merges), chunk_steps)[0]


def likeness(film: Film, example: str, seen: Features, by: str) -> np.ndarray:
    """How like a clip each step of a film is, (t,): see `moclip.search.ask.like_curves`."""
    if by == "both":
        parts = [likeness(film, example, seen, way) for way in ("clip", "motion")]
        mean: np.ndarray = sum((part - part.mean()) / (part.std() or 1.0) for part in parts) / len(parts)
        return mean
    values, asked = (seen.of(by, ids).astype(np.float64) for ids in (film.ids, [example]))
    if by == "clip":
        values, asked = (of / np.linalg.norm(of, axis=1, keepdims=True) for of in (values, asked))
    return cosine(sliding_mean(values, len(asked)), asked.mean(axis=0))
