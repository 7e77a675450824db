"""Metrics of all heads and splits to one table: means, spreads, intervals, paired differences.

Three spreads are kept apart. The range over splits, in which test and training list change together: with three it is
a range, not an error bar. The standard deviation over seeds: trainings on the same list with other random numbers. The
interval: how the mean would vary over other recordings of the same classes, as many of each, the trained networks left
as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import DataError, StoreError
from moclip.base.files import read_json
from moclip.data.ucf101 import UCF101_CLASSES, UCF101_TEST_VIDEOS
from moclip.results.contrast import Contrast, among
from moclip.results.estimate import Design, estimate
from moclip.results.halves import HalfRow, half_table
from moclip.results.intervals import Level, by_id, is_constant, paired, paired_hits
from moclip.results.metrics import Metrics, calibration
from moclip.results.predictions import Outcomes
from moclip.results.seeds import Seeds, differences_of, hits_of

Json = dict[str, Any]
PROPER_SCORES = ("nll_nats", "brier")
SPREAD_FIGURES = ("top1_pct", "top5_pct", "mean_class_pct", "ece_pct", "nll_nats")


@dataclass(frozen=True)
class Result:
    """One head on one split: its figures, and the outcomes that they were counted from.

    `halves` are the videos by half, of a head that was fitted on some of the classes.
    """

    metrics: Metrics
    outcomes: Outcomes
    halves: Sequence[HalfRow] | None = None


def read_metrics(path: Path, head: str, split: int) -> Metrics:
    """Read the figures of one head on one split.

    Raises:
        StoreError: the file is missing, has other keys, or is about another head or split.
    """
    value = read_json(path)
    names = {field.name for field in fields(Metrics)}
    if not isinstance(value, dict) or set(value) != names:
        raise StoreError(f"{path}: is no metrics file (needs exactly the keys {sorted(names)})")
    metrics = Metrics(**value)
    if (metrics.head, metrics.split) != (head, split):
        about = f"head {metrics.head}, split {metrics.split}"
        raise StoreError(f"{path}: is about {about}, not about head {head}, split {split}")
    return metrics


def is_complete(dataset: str, whole: bool, n_test: Mapping[int, int], n_classes: int) -> bool:
    """Whether results may carry the data set's name.

    Args:
        dataset: Its name, as of `moclip.data.dataset.Dataset`.
        whole: No listed video and no class was left out.
        n_test: Test videos by split; for ucf101 they must be the official lists' counts.
        n_classes: Classes to choose among.
    """
    if dataset != "ucf101":
        return whole
    official = {split: UCF101_TEST_VIDEOS[split] for split in n_test}
    return whole and dict(n_test) == official and n_classes == UCF101_CLASSES


def summarize(
    dataset: str,
    whole: bool,
    results: Mapping[str, Mapping[int, Result]],
    level: Level,
    contrasts: Iterable[tuple[str, str]],
    primary: tuple[str, str] | None = None,
    seeds: Mapping[str, Seeds] | None = None,
) -> Json:
    """The summary of a run, as plain values for JSON; splits are keys in text.

    Args:
        dataset: Its name, as of `moclip.data.dataset.Dataset`.
        whole: No listed video and no class was left out.
        results: By head, then by split; every head has the same splits and videos.
        level: Of intervals and words.
        contrasts: Pairs of heads whose paired difference is wanted.
        primary: The one of them that was named beforehand and stands alone; the others are judged together.
        seeds: How many trainings heads share nothing in, and whether they draw anything, by head; where a head is
            missing, its trainings share nothing, and draw.

    Raises:
        DataError: heads disagree on videos, labels or classes.
        StoreError: outcomes and figures of a head disagree.
    """
    first = next(iter(results.values()))
    for head, by_split in results.items():
        _check(head, by_split, first)
    n_classes = next(iter(first.values())).metrics.n_classes
    n_test = {split: result.metrics.n_test for split, result in first.items()}
    return {
        "dataset": dataset,
        "complete": is_complete(dataset, whole, n_test, n_classes),
        "splits": sorted(first),
        "n_classes": n_classes,
        "confidence_pct": level.confidence_pct,
        "fdr_pct": level.fdr_pct,
        "heads": {head: _head(by_split, level) for head, by_split in results.items()},
        "differences": _differences(results, contrasts, primary, level),
        "trainings": _trainings(results, contrasts, seeds or {}, level),
    }


def difference_name(first: str, second: str) -> str:
    """Key of a paired difference in a summary."""
    return f"{first}_minus_{second}"


def _check(head: str, by_split: Mapping[int, Result], first: Mapping[int, Result]) -> None:
    if set(by_split) != set(first):
        raise DataError(f"{head}: has splits {sorted(by_split)}, another head {sorted(first)}")
    for split, result in by_split.items():
        m, hits = result.metrics, result.outcomes.correct
        if (len(hits), int(hits.sum())) != (m.n_test, m.correct):
            raise StoreError(
                f"{head}, split {split}: outcomes say {hits.sum()} of {len(hits)} videos, "
                f"metrics {m.correct} of {m.n_test}; run the stage evaluate again"
            )
        if m.n_classes != first[split].metrics.n_classes:
            raise DataError(f"{head}, split {split}: chooses among another number of classes")


def _head(by_split: Mapping[int, Result], level: Level) -> Json:
    metrics = {split: result.metrics for split, result in sorted(by_split.items())}
    outcomes = {split: result.outcomes for split, result in by_split.items()}
    hits, constant = {split: own.hits for split, own in sorted(outcomes.items())}, is_constant(outcomes)
    design = Design.of(outcomes)
    top1 = {split: 100.0 * float(of.mean()) for split, of in hits.items()}
    alone = {k: level.accuracy_interval({k: hits[k]}, _of_split(design, k), constant) for k in hits}
    return {
        **{key: _spread({split: getattr(m, key) for split, m in metrics.items()}) for key in SPREAD_FIGURES},
        "top1_pct": _spread(top1),
        **{
            key: {str(split): getattr(m, key) for split, m in metrics.items()}
            for key in ("n_test", "n_groups", "correct")
        },
        "top1_interval_pct": {
            "mean": level.accuracy_interval(hits, design, constant),
            "per_split": {str(split): interval for split, interval in alone.items()},
        },
        "top1_error": _error(hits, design),
        "constant": {"always": constant},
        "calibration": calibration(list(outcomes.values())) or {},
        "scores": _scores(outcomes, level),
        **_halves(by_split, level),
    }


def _error(hits: Mapping[int, np.ndarray], design: Design) -> Json:
    """Standard error over recordings of the mean over splits, in points, with its degrees of freedom; or nothing."""
    found = estimate(hits, design)
    if found is None:
        return {}
    return {"se_points": round(100.0 * found.se, 4), "df": found.df, "merged_classes": found.lone}


def _scores(outcomes: Mapping[int, Outcomes], level: Level) -> Json:
    """Mean over splits of each proper score with its interval; nothing where outcomes of an older version lack them."""
    if any(own.scores is None for own in outcomes.values()):
        return {}
    design, found = Design.of(outcomes), {}
    for name in PROPER_SCORES:
        values = {split: getattr(own.scores, name) for split, own in outcomes.items()}
        mean = float(np.mean([of.mean() for of in values.values()]))
        found[name] = {"mean": round(mean, 4), "interval": level.mean_interval(values, design)}
    return found


def _halves(by_split: Mapping[int, Result], level: Level) -> Json:
    rows = {split: result.halves for split, result in sorted(by_split.items()) if result.halves is not None}
    return {"halves": {"rows": half_table(rows, level)}} if len(rows) == len(by_split) else {}


def _spread(by_split: Mapping[int, float]) -> Json:
    """Mean and sample standard deviation (null for one split), beside the values themselves; each rounded once."""
    values = list(by_split.values())
    return {
        "mean": round(float(np.mean(values)), 4),
        "std": sample_std(values),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
        "per_split": {str(split): round(value, 4) for split, value in by_split.items()},
    }


def _differences(
    results: Mapping[str, Mapping[int, Result]],
    contrasts: Iterable[tuple[str, str]],
    primary: tuple[str, str] | None,
    level: Level,
) -> Json:
    """Top-1 of each pair's first head minus its second's, by name; all but the primary one are judged together."""
    made = {pair: _Paired.of(results[pair[0]], results[pair[1]]) for pair in contrasts}
    means = {pair: level.contrast(own.hits, own.design) for pair, own in made.items()}
    others = [pair for pair in means if pair != primary]
    means |= dict(zip(others, among([means[pair] for pair in others]), strict=True))
    return {difference_name(*pair): _difference(own, means[pair], pair == primary, level) for pair, own in made.items()}


@dataclass(frozen=True)
class _Paired:
    """Differences of two heads by split, in the design's order: of hits, and of each proper score."""

    hits: Mapping[int, np.ndarray]
    scores: Mapping[str, Mapping[int, np.ndarray]]
    design: Design

    @classmethod
    def of(cls, first: Mapping[int, Result], second: Mapping[int, Result]) -> "_Paired":
        both = {k: paired(first[k].outcomes, second[k].outcomes) for k in sorted(first)}
        known = all(own.scores and other.scores for own, other in both.values())
        scores = {
            name: {k: getattr(own.scores, name) - getattr(other.scores, name) for k, (own, other) in both.items()}
            for name in (PROPER_SCORES if known else ())
        }
        hits = {k: paired_hits(*pair)[1] for k, pair in both.items()}
        return cls(hits, scores, Design.of({k: own for k, (own, _) in both.items()}))


def _difference(own: _Paired, mean: Contrast, primary: bool, level: Level) -> Json:
    """A paired difference in points, with intervals; of the proper scores in their own units."""
    splits = own.design.splits
    alone = {k: level.contrast({k: own.hits[k]}, _of_split(own.design, k)) for k in splits}
    return {
        **_spread({k: alone[k].points for k in splits}),
        "mean": mean.points,
        **mean.values(),
        "primary": primary,
        "interval_per_split": {str(k): alone[k].interval for k in splits},
        "scores": {
            name: {
                "mean": round(float(np.mean([of.mean() for of in values.values()])), 4),
                "interval": level.mean_interval(values, own.design),
            }
            for name, values in own.scores.items()
        },
    }


def _trainings(
    results: Mapping[str, Mapping[int, Result]],
    contrasts: Iterable[tuple[str, str]],
    seeds: Mapping[str, Seeds],
    level: Level,
) -> Json:
    """What other videos and other trainings move of each head's top-1, and of each difference."""
    sorted_by_id = {
        head: {k: by_id(result.outcomes) for k, result in sorted(by_split.items())}
        for head, by_split in results.items()
    }
    hits = {head: hits_of(outcomes) for head, outcomes in sorted_by_id.items()}
    design = Design.of(next(iter(sorted_by_id.values())))
    of = {head: seeds.get(head, Seeds()) for head in results}
    found = {head: of[head].noise(hits[head], design, level.confidence_pct, lowest=0.0) for head in results}
    both = {difference_name(a, b): (of[a].beside(of[b]), differences_of(hits[a], hits[b])) for a, b in contrasts}
    pairs = {name: own.noise(moved, design, level.confidence_pct) for name, (own, moved) in both.items()}
    return {
        "heads": {head: {**own.values(), "shared": of[head].shared} for head, own in found.items()},
        "differences": {
            name: {**own.values(), "word": own.word, "shared": both[name][0].shared} for name, own in pairs.items()
        },
    }


def _of_split(design: Design, split: int) -> Design:
    return Design({split: design.classes[split]}, {split: design.groups[split]})


def over_seeds(summaries: Mapping[int, Json]) -> Json:
    """Summaries of one setting under several seeds to means with two spreads that are never mixed.

    For each head and figure, and for each difference's top-1: `mean` over all; `std_over_seeds`, of the
    means over splits (one figure a seed: what a repetition with another seed moves); `std_over_splits`,
    of the means over seeds (one figure a split: what another train and test list moves); `per_seed`.
    A spread is null with a single seed or split. No interval over test videos is given here: seeds share
    those, so that more seeds do not narrow it.

    Args:
        summaries: By seed, as of `summarize`; all of the same data set, splits and heads.

    Raises:
        DataError: there is none, or they are not of one data set, with the same splits and heads.
    """
    if not summaries:
        raise DataError("no summary was given; run the setting with at least one seed")
    ordered = dict(sorted(summaries.items()))
    first_seed, first = next(iter(ordered.items()))
    for seed, summary in ordered.items():
        for key in ("dataset", "complete", "splits", "n_classes", "heads", "differences"):
            here, there = (sorted(s[key]) if isinstance(s[key], dict) else s[key] for s in (summary, first))
            if here != there:
                raise DataError(f"seeds {first_seed} and {seed} differ in {key}: {there} and {here}")
    return {
        **{key: first[key] for key in ("dataset", "complete", "splits", "n_classes")},
        "seeds": list(ordered),
        "heads": {
            head: {
                key: _spreads({seed: s["heads"][head][key]["per_split"] for seed, s in ordered.items()})
                for key in SPREAD_FIGURES
            }
            for head in first["heads"]
        },
        "differences": {
            name: _spreads({seed: s["differences"][name]["per_split"] for seed, s in ordered.items()})
            for name in first["differences"]
        },
    }


def _spreads(values: Mapping[int, Mapping[str, float]]) -> Json:
    """Values by seed, then split, as one table (seeds, splits): its mean and the spread along each axis."""
    table = np.array([[by_split[split] for split in sorted(by_split)] for by_split in values.values()])
    of_seeds, of_splits = table.mean(axis=1), table.mean(axis=0)
    return {
        "mean": round(float(table.mean()), 4),
        "std_over_seeds": sample_std(of_seeds),
        "std_over_splits": sample_std(of_splits),
        "per_seed": {str(seed): round(float(mean), 4) for seed, mean in zip(values, of_seeds, strict=True)},
    }


def sample_std(values: Sequence[float] | np.ndarray) -> float | None:
    """Sample standard deviation; None for a single value."""
    return round(float(np.std(values, ddof=1)), 4) if len(values) > 1 else None


def key_figures(
    summary: Mapping[str, Any], quoted: Sequence[str], pair: tuple[str, str]
) -> dict[str, dict[str, float]]:
    """The figures that variants are told apart by, at most eight: accuracies that people quote, and the gain.

    `top1_pct` has means over splits, `gain_points` a paired difference with its interval; the rest is in the summary.

    Args:
        summary: As of `summarize`. Where it has no interval, there is none here.
        quoted: Heads whose accuracy is wanted; others stand in for those that did not run.
        pair: Heads whose difference is wanted; there is none where one of them did not run.
    """
    heads = summary["heads"]
    shown = [head for head in quoted if head in heads]
    shown += [head for head in heads if head not in quoted][: len(quoted) - len(shown)]
    figures = {"top1_pct": {head: heads[head]["top1_pct"]["mean"] for head in shown}}
    gain = summary["differences"].get(difference_name(*pair))
    return figures | ({"gain_points": {"mean": gain["mean"], **(gain["interval"] or {})}} if gain else {})
