"""Two or more results side by side: parameters that differ, accuracies, paired differences. Values in, values out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from moclip.base.errors import DataError
from moclip.results.contrast import Contrast
from moclip.results.estimate import Design
from moclip.results.intervals import Level, paired, paired_hits
from moclip.results.metrics import Metrics
from moclip.results.predictions import Outcomes

COLUMNS = (
    *("head", "variant", "splits", "n_test", "top1_pct", "top5_pct", "mean_class_pct"),
    *("difference_points", "low_points", "high_points", "p", "verdict"),
)
_ABSENT = "absent"
IDENTICAL = "identical"
SAME_PARAMS = "no difference of the variants: same parameters, run elsewhere or by other code"


@dataclass(frozen=True)
class Variant:
    """A result: its name, its parameters by dotted key, and by head and split its figures and outcomes.

    `params_behind` has by head the parameters that it rests on; a head without them is taken to have others.
    """

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, Mapping[int, Metrics]]
    outcomes: Mapping[str, Mapping[int, Outcomes]]
    params_behind: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparedHead:
    """One head of one variant, on the splits that all variants with this head have in common.

    `contrast` is its top-1 minus that of the baseline, None for the baseline itself and for a head that it lacks.
    `is_identical` says that all answers and scores are the baseline's, `same_params` that all parameters behind it are.
    """

    head: str
    variant: str
    splits: tuple[int, ...]
    n_test: int
    top1_pct: float
    top5_pct: float
    mean_class_pct: float
    contrast: Contrast | None
    is_identical: bool = False
    same_params: bool = False

    @property
    def difference(self) -> float | None:
        """In points of top-1."""
        return None if self.contrast is None else self.contrast.points

    @property
    def interval(self) -> Mapping[str, float] | None:
        """Of the difference, in points; None where there is none, or no spread can be estimated."""
        return None if self.contrast is None else self.contrast.interval

    @property
    def verdict(self) -> str:
        """The word of the difference, by the one rule of `moclip.results.contrast`, where there is one to speak of."""
        if self.contrast is None:
            return ""
        if self.is_identical:
            return IDENTICAL
        return SAME_PARAMS if self.same_params else self.contrast.word

    def values(self) -> tuple[Any, ...]:
        """The row under `COLUMNS`, for CSV."""
        low, high = (self.interval["low"], self.interval["high"]) if self.interval else ("", "")
        difference = "" if self.difference is None else self.difference
        p = "" if self.contrast is None or self.contrast.p is None else round(self.contrast.p, 6)
        shares = (self.top1_pct, self.top5_pct, self.mean_class_pct)
        splits = " ".join(map(str, self.splits))
        return (self.head, self.variant, splits, self.n_test, *shares, difference, low, high, p, self.verdict)


@dataclass(frozen=True)
class Comparison:
    """`params` has for each parameter that differs its value by variant; `notes` say what could not be compared."""

    baseline: str
    variants: tuple[str, ...]
    params: Mapping[str, Mapping[str, str]]
    rows: tuple[ComparedHead, ...]
    notes: tuple[str, ...]
    level: Level

    @property
    def identical(self) -> tuple[str, ...]:
        """Heads that every variant which has them shares with the baseline, to the last score."""
        held = [row for row in self.rows if row.contrast is not None]
        return tuple(dict.fromkeys(row.head for row in held if all(r.is_identical for r in held if r.head == row.head)))

    @property
    def shown(self) -> tuple[ComparedHead, ...]:
        """The rows of all other heads."""
        return tuple(row for row in self.rows if row.head not in self.identical)

    @property
    def is_run_elsewhere(self) -> bool:
        """Whether a head has other outcomes under the same parameters: the baseline is of another machine or code."""
        return any(row.same_params and not row.is_identical for row in self.rows)


def compare(baseline: Variant, others: Sequence[Variant], level: Level, notes: Sequence[str] = ()) -> Comparison:
    """Hold each of `others` against the baseline, on the same videos.

    Raises:
        DataError: a video or its label differs between them: results on other data have no difference.
    """
    variants = [baseline, *others]
    heads = list(dict.fromkeys(head for variant in variants for head in variant.outcomes))
    rows = [row for head in heads for row in _rows(head, baseline, variants, level)]
    return Comparison(
        baseline=baseline.name,
        variants=tuple(variant.name for variant in variants),
        params=differing(variants),
        rows=tuple(rows),
        notes=(*notes, *_gaps(heads, variants)),
        level=level,
    )


def differing(variants: Sequence[Variant]) -> dict[str, dict[str, str]]:
    """Parameters that are not the same in all variants, by key, then by variant."""
    keys = sorted({key for variant in variants for key in variant.params})
    table = {key: {variant.name: variant.params.get(key, _ABSENT) for variant in variants} for key in keys}
    return {key: values for key, values in table.items() if len(set(values.values())) > 1}


def _rows(head: str, baseline: Variant, variants: Sequence[Variant], level: Level) -> Iterator[ComparedHead]:
    having = [variant for variant in variants if head in variant.outcomes]
    splits = sorted(set.intersection(*(set(variant.outcomes[head]) for variant in having)))
    if not splits:
        return
    for variant in having:
        held = variant is not baseline and baseline in having
        contrast = _contrast(variant, baseline, head, splits, level) if held else None
        metrics = [variant.metrics[head][split] for split in splits]
        yield ComparedHead(
            head=head,
            variant=variant.name,
            splits=tuple(splits),
            n_test=sum(m.n_test for m in metrics),
            top1_pct=_mean([m.top1_pct for m in metrics]),
            top5_pct=_mean([m.top5_pct for m in metrics]),
            mean_class_pct=_mean([m.mean_class_pct for m in metrics]),
            contrast=contrast,
            is_identical=held
            and all(is_identical(variant.outcomes[head][k], baseline.outcomes[head][k]) for k in splits),
            same_params=held and _same_params(variant, baseline, head),
        )


def _of_splits(variant: Variant, head: str, splits: Sequence[int]) -> list[Outcomes]:
    return [variant.outcomes[head][split] for split in splits]


def is_identical(first: Outcomes, second: Outcomes) -> bool:
    """Whether two results on the same videos give the same answers with the same scores, as far as these are known."""
    one, other = paired(first, second)
    if (one.predicted != other.predicted).any():
        return False
    if one.scores is None or other.scores is None:
        return one.scores is other.scores
    return bool((one.scores.nll_nats == other.scores.nll_nats).all())


def _same_params(variant: Variant, baseline: Variant, head: str) -> bool:
    own, other = variant.params_behind.get(head), baseline.params_behind.get(head)
    return own is not None and own == other


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def _contrast(variant: Variant, baseline: Variant, head: str, splits: Sequence[int], level: Level) -> Contrast:
    """Top-1 of the variant minus the baseline's, mean over splits."""
    values, ordered = {}, {}
    for split in splits:
        try:
            ordered[split], values[split] = paired_hits(variant.outcomes[head][split], baseline.outcomes[head][split])
        except DataError as error:
            raise DataError(
                f"{variant.name} and {baseline.name} were not tested on the same data, so they cannot be compared: "
                f"{head}, split {split}: {error} (first: {variant.name})"
            ) from error
    return level.contrast(values, Design.of(ordered))


def _gaps(heads: Sequence[str], variants: Sequence[Variant]) -> Iterator[str]:
    """A sentence for each head that a variant lacks, and for splits that not all have."""
    for head in heads:
        having = [variant for variant in variants if head in variant.outcomes]
        for variant in variants:
            if variant not in having:
                yield f"{head}: not run in {variant.name}"
        every = set.union(*(set(variant.outcomes[head]) for variant in having))
        for variant in having:
            if lacking := sorted(every - set(variant.outcomes[head])):
                words = f"split{'s' if len(lacking) > 1 else ''} {', '.join(map(str, lacking))}"
                yield f"{head}: {words} not run in {variant.name}, left out of all"
