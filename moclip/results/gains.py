"""Gain in recall of one head over another: over all classes first, then class by class where that can be tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import scipy

from moclip.base.tables import plain_cell, read_rows, write_rows
from moclip.results.contrast import Contrast, contrast, fewest_that_stand_out, q_values, sign_test_p
from moclip.results.estimate import BySplit, Design
from moclip.results.intervals import Level, paired_hits
from moclip.results.predictions import Outcomes


@dataclass(frozen=True)
class ClassGain:
    """Hits of both heads on one class, splits pooled, and the difference in recall in percentage points.

    `p` is that of the sign flips of the class's groups, `q` that among all classes, None where no class can be told
    apart. The interval is at the level that fits the number of classes called `different`, so that it leaves out 0
    where the word is that; it is None where a single group stands for the class, or no video differs.
    """

    name: Annotated[str, "class"]
    n: int
    groups: int
    first_correct: int
    second_correct: int
    gain_points: float
    low_points: float | None
    high_points: float | None
    p: float | None
    q: float | None
    different: bool | None


def class_gains(first: Mapping[int, Outcomes], second: Mapping[int, Outcomes], level: Level) -> list[ClassGain]:
    """Gains of `first` over `second` by class, largest first; classes without a test video have no row.

    A class is `different` if its q is at most the rate of false discoveries: of the classes so called, at most that
    share is false in expectation, where classes are independent or positively dependent. None is where no number of
    recordings like these could single out one class alone (`fewest_that_stand_out`).

    Args:
        first: Outcomes by split.
        second: Outcomes of another head on the same videos.
        level: Of the words; its `fdr_pct` is the rate.

    Raises:
        DataError: the heads differ in videos or labels.

    Source: Benjamini and Yekutieli 2005, False Discovery Rate-Adjusted Multiple Confidence Intervals.
    """
    paired = {k: paired_hits(first[k], second[k]) for k in sorted(first)}
    names = np.unique(np.concatenate([own.actual for own, _ in paired.values()]))
    by_class = {str(name): _of_class(paired, str(name)) for name in names}
    rate = level.fdr_pct / 100.0
    found = {name: contrast(values, design, 100.0 - level.fdr_pct) for name, (values, design) in by_class.items()}
    testable = fewest_that_stand_out([one.groups for one in found.values()], rate) == 1
    q = q_values([one.p for one in found.values()]) if testable else [None] * len(found)
    called = sum(value is not None and value <= rate for value in q)
    adjusted = 100.0 * (1.0 - rate * max(called, 1) / len(found))
    rows = [_row(name, *by_class[name], value, adjusted, rate, paired) for name, value in zip(by_class, q, strict=True)]
    return sorted(rows, key=lambda row: (-row.gain_points, row.name))


def _of_class(paired: Mapping[int, tuple[Outcomes, np.ndarray]], name: str) -> tuple[BySplit, Design]:
    """Differences and design of one class; splits are pooled, so that each video counts alike."""
    whole = {k: own.actual == name for k, (own, _) in paired.items()}
    values = np.concatenate([difference[whole[k]] for k, (_, difference) in paired.items()])
    groups = np.concatenate([own.groups[whole[k]] for k, (own, _) in paired.items()])
    return {0: values}, Design({0: np.full(len(values), name)}, {0: groups})


def _row(
    name: str,
    values: BySplit,
    design: Design,
    q: float | None,
    confidence_pct: float,
    rate: float,
    paired: Mapping[int, tuple[Outcomes, np.ndarray]],
) -> ClassGain:
    own = contrast(values, design, confidence_pct)
    hits = sum(int(outcomes.correct[outcomes.actual == name].sum()) for outcomes, _ in paired.values())
    limits, different = _limits(own, q is not None and q <= rate), None
    if q is not None:
        different = bool(q <= rate and limits is not None and not limits["low"] <= 0.0 <= limits["high"])
        limits = limits if different else _limits(own, False)
    return ClassGain(
        name=name,
        n=len(values[0]),
        groups=own.groups,
        first_correct=hits,
        second_correct=hits - int(values[0].sum()),
        gain_points=own.points,
        low_points=limits["low"] if limits else None,
        high_points=limits["high"] if limits else None,
        p=None if own.p is None else round(own.p, 6),
        q=None if q is None else round(q, 6),
        different=different,
    )


def _limits(own: Contrast, called: bool) -> dict[str, float] | None:
    """Limits at the contrast's level; of a class that is not called they reach to 0."""
    limits = own.raw_interval
    if limits is None or called:
        return limits
    return {"low": min(limits["low"], 0.0), "high": max(limits["high"], 0.0)}


@dataclass(frozen=True)
class Omnibus:
    """All classes at once: how many gain and lose, and whether they gain unlike amounts.

    `sign_p` is that of the sign test over classes; `unlike_p` that of an F test of the classes' mean gains against
    those of their groups, None where no class has two groups. `fewest` classes must stand out together before any can
    be told apart, None where none ever can.
    """

    up: int
    down: int
    sign_p: float
    unlike_p: float | None
    fewest: int | None
    groups_of_class: int


def omnibus(first: Mapping[int, Outcomes], second: Mapping[int, Outcomes], level: Level) -> Omnibus:
    """The test over all classes that stands before any by class.

    Raises:
        DataError: as of `class_gains`.
    """
    paired = {k: paired_hits(first[k], second[k]) for k in sorted(first)}
    names = np.unique(np.concatenate([own.actual for own, _ in paired.values()]))
    of_groups = [_group_means(*_of_class(paired, str(name))) for name in names]
    means = [float(np.concatenate([d[o.actual == name] for o, d in paired.values()]).mean()) for name in names]
    sizes = [len(own) for own in of_groups]
    up, down = sum(mean > 0 for mean in means), sum(mean < 0 for mean in means)
    fewest = fewest_that_stand_out(sizes, level.fdr_pct / 100.0)
    return Omnibus(up, down, round(sign_test_p(up, down), 6), _unlike_p(of_groups), fewest, min(sizes))


def _group_means(values: BySplit, design: Design) -> np.ndarray:
    codes = np.unique(design.groups[0], return_inverse=True)[1]
    return np.bincount(codes, weights=values[0]) / np.bincount(codes)


def _unlike_p(of_groups: Sequence[np.ndarray]) -> float | None:
    """p of one-way analysis of variance; None without a spread inside classes or a second class."""
    every = np.concatenate(of_groups)
    between, within = len(of_groups) - 1, len(every) - len(of_groups)
    inside = float(sum(((own - own.mean()) ** 2).sum() for own in of_groups))
    if not between or not within or inside <= 0.0:
        return None
    across = float(sum(len(own) * (own.mean() - every.mean()) ** 2 for own in of_groups))
    return round(float(scipy.special.fdtrc(between, within, across / between / (inside / within))), 6)


def write_class_gains(path: Path, rows: Sequence[ClassGain]) -> None:
    """Write gains as CSV, in the given order; an unknown value is an empty cell."""
    write_rows(path, ClassGain, rows, _cell)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1 else f"{value:.4f}"
    return str(value).lower() if isinstance(value, bool) else plain_cell(value)


def read_class_gains(path: Path) -> list[ClassGain]:
    """Read gains, in the file's order; none where one of the two heads did not run.

    Raises:
        StoreError: as `moclip.base.tables.read_rows`.
    """
    return read_rows(path, ClassGain, may_be_empty=True)
