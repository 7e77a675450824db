"""Two or more results side by side: parameters that differ, accuracies, paired differences. Values in, values out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moclip.base.errors import DataError
from moclip.base.markdown import significance
from moclip.results.intervals import Bootstrap, is_significant, paired_hits
from moclip.results.metrics import Metrics
from moclip.results.predictions import Outcomes

COLUMNS = (
    *("head", "variant", "splits", "n_test", "top1_pct", "top5_pct", "mean_class_pct"),
    *("difference_points", "low_points", "high_points", "verdict"),
)
_ABSENT = "absent"


@dataclass(frozen=True)
class Variant:
    """A result: its name, its parameters by dotted key, and by head and split its figures and outcomes."""

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, Mapping[int, Metrics]]
    outcomes: Mapping[str, Mapping[int, Outcomes]]


@dataclass(frozen=True)
class ComparedHead:
    """One head of one variant, on the splits that all variants with this head have in common.

    `difference` is top-1 minus that of the baseline in points, None for the baseline itself and for
    a head that it lacks; `interval` is None where no spread can be estimated.
    """

    head: str
    variant: str
    splits: tuple[int, ...]
    n_test: int
    top1_pct: float
    top5_pct: float
    mean_class_pct: float
    difference: float | None
    interval: Mapping[str, float] | None

    @property
    def verdict(self) -> str:
        """Whether the difference is one: not where the interval holds zero."""
        if self.difference is None:
            return ""
        return significance(is_significant(self.interval))

    def values(self) -> tuple[Any, ...]:
        """The row under `COLUMNS`, for CSV."""
        low, high = (self.interval["low"], self.interval["high"]) if self.interval else ("", "")
        difference = "" if self.difference is None else self.difference
        shares = (self.top1_pct, self.top5_pct, self.mean_class_pct)
        splits = " ".join(map(str, self.splits))
        return (self.head, self.variant, splits, self.n_test, *shares, difference, low, high, self.verdict)


@dataclass(frozen=True)
class Comparison:
    """`params` has for each parameter that differs its value by variant; `notes` say what could not be compared."""

    baseline: str
    variants: tuple[str, ...]
    params: Mapping[str, Mapping[str, str]]
    rows: tuple[ComparedHead, ...]
    notes: tuple[str, ...]
    bootstrap: Bootstrap


def compare(
    baseline: Variant, others: Sequence[Variant], bootstrap: Bootstrap, notes: Sequence[str] = ()
) -> Comparison:
    """Hold each of `others` against the baseline, on the same videos.

    Raises:
        DataError: a video or its label differs between them: results on other data have no difference.
    """
    variants = [baseline, *others]
    heads = list(dict.fromkeys(head for variant in variants for head in variant.outcomes))
    rows = [row for head in heads for row in _rows(head, baseline, variants, bootstrap)]
    return Comparison(
        baseline=baseline.name,
        variants=tuple(variant.name for variant in variants),
        params=differing(variants),
        rows=tuple(rows),
        notes=(*notes, *_gaps(heads, variants)),
        bootstrap=bootstrap,
    )


def differing(variants: Sequence[Variant]) -> dict[str, dict[str, str]]:
    """Parameters that are not the same in all variants, by key, then by variant."""
    keys = sorted({key for variant in variants for key in variant.params})
    table = {key: {variant.name: variant.params.get(key, _ABSENT) for variant in variants} for key in keys}
    return {key: values for key, values in table.items() if len(set(values.values())) > 1}


def _rows(head: str, baseline: Variant, variants: Sequence[Variant], bootstrap: Bootstrap) -> Iterator[ComparedHead]:
    having = [variant for variant in variants if head in variant.outcomes]
    splits = sorted(set.intersection(*(set(variant.outcomes[head]) for variant in having)))
    if not splits:
        return
    for variant in having:
        difference, interval = None, None
        if variant is not baseline and baseline in having:
            difference, interval = _difference(variant, baseline, head, splits, bootstrap)
        metrics = [variant.metrics[head][split] for split in splits]
        yield ComparedHead(
            head=head,
            variant=variant.name,
            splits=tuple(splits),
            n_test=sum(m.n_test for m in metrics),
            top1_pct=_mean([m.top1_pct for m in metrics]),
            top5_pct=_mean([m.top5_pct for m in metrics]),
            mean_class_pct=_mean([m.mean_class_pct for m in metrics]),
            difference=difference,
            interval=interval,
        )


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def _difference(
    variant: Variant, baseline: Variant, head: str, splits: Sequence[int], bootstrap: Bootstrap
) -> tuple[float, Mapping[str, float] | None]:
    """Top-1 of the variant minus the baseline's in points: mean over splits, and its interval."""
    values, groups = {}, {}
    for split in splits:
        try:
            paired, values[split] = paired_hits(variant.outcomes[head][split], baseline.outcomes[head][split])
        except DataError as error:
            raise DataError(
                f"{variant.name} and {baseline.name} were not tested on the same data, so they cannot be compared: "
                f"{head}, split {split}: {error} (first: {variant.name})"
            ) from error
        groups[split] = paired.groups
    mean = _mean([100.0 * float(values[split].mean()) for split in splits])
    return mean, bootstrap.interval(values, groups)


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
