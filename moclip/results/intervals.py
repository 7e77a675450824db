"""How sure one may be of a figure: the level that a run asks for, and intervals at it.

Everything comes from `moclip.results.estimate`, over other recordings of the same classes, as many of each, the trained
networks as they are. Figures are means over splits; accuracies in percent, differences in points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from moclip.base.errors import DataError
from moclip.results.contrast import Contrast, contrast
from moclip.results.estimate import BySplit, Design, estimate, influence, of_influence
from moclip.results.limits import Limits, accuracy_limits, mean_limits, of_share
from moclip.results.predictions import Outcomes


@dataclass(frozen=True)
class Level:
    """Confidence of intervals and words, and the rate of false discoveries by class, in percent."""

    confidence_pct: float
    fdr_pct: float

    def accuracy_interval(self, values: BySplit, design: Design, constant: bool = False) -> Limits | None:
        """Interval of an accuracy in percent, by `accuracy_limits`; None where no spread can be estimated.

        An answer that is always the same (`constant`) has its variance exactly: none, where lists are balanced.
        """
        found = estimate(values, design)
        if found is None:
            return None
        if constant:
            return of_share(mean_limits(found, self.confidence_pct))
        return accuracy_limits(found, self.confidence_pct)

    def mean_interval(self, values: BySplit, design: Design) -> Limits | None:
        """Interval of the mean of a score, in its own unit; None where no spread can be estimated."""
        found = estimate(values, design)
        return None if found is None else mean_limits(found, self.confidence_pct, scale=1.0)

    def harmonic_interval(self, parts: Sequence[tuple[BySplit, Design]]) -> Limits | None:
        """Interval of the harmonic mean in percent of two accuracies, taken in each split, then averaged.

        Linear in both accuracies; None where no spread can be estimated, or a part has no hit in a split, where a
        harmonic mean has no linear approximation.
        """
        (first, _), (second, _) = parts
        weights, value = _harmonic_weights(first, second)
        if weights is None:
            return None
        joined = _joined([design for _, design in parts])
        linear = [influence(values, design) for values, design in parts]
        scaled = [
            _of_split(own, design, k) * weights[k][i]
            for k in joined.splits
            for i, (own, (_, design)) in enumerate(zip(linear, parts, strict=True))
        ]
        found = of_influence(value, np.concatenate(scaled), joined)
        return None if found is None else of_share(mean_limits(found, self.confidence_pct))

    def contrast(self, differences: BySplit, design: Design) -> Contrast:
        """A paired difference with its interval and its word."""
        return contrast(differences, design, self.confidence_pct)


def _harmonic_weights(first: BySplit, second: BySplit) -> tuple[dict[int, tuple[float, float]] | None, float]:
    """Derivatives of each split's harmonic mean by both accuracies, and the mean of those over splits."""
    weights, means = {}, []
    for split in first:
        a, b = float(first[split].mean()), float(second[split].mean())
        if not a or not b:
            return None, 0.0
        weights[split] = (2.0 * b * b / (a + b) ** 2, 2.0 * a * a / (a + b) ** 2)
        means.append(2.0 * a * b / (a + b))
    return weights, float(np.mean(means))


def _joined(designs: Sequence[Design]) -> Design:
    splits = designs[0].splits
    return Design(
        {k: np.concatenate([design.classes[k] for design in designs]) for k in splits},
        {k: np.concatenate([design.groups[k] for design in designs]) for k in splits},
    )


def _of_split(parts: np.ndarray, design: Design, split: int) -> np.ndarray:
    """The parts (n,) of one split, out of those of all (N,)."""
    start = sum(len(design.groups[k]) for k in design.splits if k < split)
    return parts[start : start + len(design.groups[split])]


def is_constant(outcomes: Mapping[int, Outcomes]) -> bool:
    """Whether a head gave every test video of a split one and the same answer, in each split."""
    return all(len(np.unique(own.predicted)) == 1 for own in outcomes.values())


def paired_hits(first: Outcomes, second: Outcomes) -> tuple[Outcomes, np.ndarray]:
    """Hits of `first` minus hits of `second`, video by video, each the share of its trainings that are right.

    Returns:
        `first` in order of id, and (n,) from -1 to 1 in the same order.

    Raises:
        DataError: the two differ in videos or labels; names the first that does.
    """
    a, b = paired(first, second)
    return a, a.hits - b.hits


def paired(first: Outcomes, second: Outcomes) -> tuple[Outcomes, Outcomes]:
    """Both in order of id.

    Raises:
        DataError: the two differ in videos or labels; names the first that does.
    """
    a, b = by_id(first), by_id(second)
    for which, outcomes in (("first", a), ("second", b)):
        if twice := np.flatnonzero(outcomes.ids[1:] == outcomes.ids[:-1]).tolist():
            video = outcomes.ids[twice[0]]
            raise DataError(f"paired comparison: video '{video}' stands twice in the {which} head")
    if only := sorted(set(a.ids.tolist()) ^ set(b.ids.tolist())):
        which = "first" if only[0] in a.ids else "second"
        raise DataError(f"paired comparison: video '{only[0]}' is in the {which} head alone")
    if differ := np.flatnonzero(a.actual != b.actual).tolist():
        i = differ[0]
        raise DataError(
            f"paired comparison: video '{a.ids[i]}' is labelled {a.actual[i]} in one head "
            f"and {b.actual[i]} in the other"
        )
    return a, b


def by_id(outcomes: Outcomes) -> Outcomes:
    """The same outcomes in order of id."""
    return outcomes.only(np.argsort(outcomes.ids, kind="stable"))
