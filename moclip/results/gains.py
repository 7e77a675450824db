"""Gain in recall of one head over another, class by class, with what chance would make of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from scipy.stats import false_discovery_control, permutation_test

from moclip.base.tables import plain_cell, read_rows, write_rows
from moclip.results.intervals import Bootstrap, group_sums, paired_hits
from moclip.results.predictions import Outcomes

FLIPS = 9999  # random sign flips, where the groups of a class allow more than that


@dataclass(frozen=True)
class ClassGain:
    """Hits of both heads on one class, splits pooled, and the difference in recall in percentage points.

    The interval is over groups, for this class alone; `significant` is a test over all classes at once.
    Both are None where a single group stands for the class.
    """

    name: Annotated[str, "class"]
    n: int
    groups: int
    first_correct: int
    second_correct: int
    gain_points: float
    low_points: float | None
    high_points: float | None
    significant: bool | None


def class_gains(first: Mapping[int, Outcomes], second: Mapping[int, Outcomes], bootstrap: Bootstrap) -> list[ClassGain]:
    """Gains of `first` over `second` by class, largest first; classes without a test video have no row.

    The test of a class flips the signs of its groups' differences (the heads change places), all ways or
    `FLIPS` of them. With a hundred classes some p-values are small by chance, so they are held to a false
    discovery rate of 100 - confidence percent: of the classes called significant, that share is false.

    Args:
        first: Outcomes by split.
        second: Outcomes of another head on the same videos.
        bootstrap: Of the intervals; its confidence level and seed also shape the test.

    Raises:
        DataError: the heads differ in videos or labels.

    Source: Benjamini and Hochberg 1995, Controlling the False Discovery Rate.
    """
    paired = {k: paired_hits(first[k], second[k]) for k in sorted(first)}
    actual = np.concatenate([outcomes.actual for outcomes, _ in paired.values()])
    hits = np.concatenate([outcomes.correct for outcomes, _ in paired.values()]).astype(np.int64)
    gains = np.concatenate([difference for _, difference in paired.values()])
    # A group that tests in two splits is two draws of a training, but one recording: it stays one group.
    groups = np.concatenate([outcomes.groups for outcomes, _ in paired.values()])
    names = np.unique(actual)
    of_class = [actual == name for name in names]
    p_values = [_p_value(*group_sums(gains[own], groups[own]), bootstrap.seed) for own in of_class]
    accepted = _accepted(p_values, 1.0 - bootstrap.confidence_pct / 100.0)
    rows = []
    for name, own, significant in zip(names, of_class, accepted, strict=True):
        interval = bootstrap.interval({0: gains[own]}, {0: groups[own]})
        rows.append(
            ClassGain(
                name=str(name),
                n=int(own.sum()),
                groups=len(np.unique(groups[own])),
                first_correct=int(hits[own].sum()),
                second_correct=int((hits[own] - gains[own]).sum()),
                gain_points=round(100.0 * float(gains[own].mean()), 4),
                low_points=interval["low"] if interval else None,
                high_points=interval["high"] if interval else None,
                significant=significant,
            )
        )
    return sorted(rows, key=lambda row: (-row.gain_points, row.name))


def _p_value(sums: np.ndarray, sizes: np.ndarray, seed: int) -> float | None:
    """Two-sided p of the hypothesis that the heads could change places; None for a single group."""
    if len(sizes) < 2:
        return None
    moved = sums[sums != 0]  # groups in which both heads are right alike say nothing
    if len(moved) < 2:
        return 1.0
    tested = permutation_test(
        (moved, np.zeros_like(moved)),
        lambda x, y, axis: (x - y).sum(axis=axis),
        permutation_type="samples",
        n_resamples=FLIPS,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(min(tested.pvalue, 1.0))


def _accepted(p_values: Sequence[float | None], rate: float) -> list[bool | None]:
    known = [p for p in p_values if p is not None]
    adjusted = iter(false_discovery_control(known) if known else [])
    return [None if p is None else bool(next(adjusted) <= rate) for p in p_values]


def write_class_gains(path: Path, rows: Sequence[ClassGain]) -> None:
    """Write gains as CSV, in the given order; an unknown value is an empty cell."""
    write_rows(path, ClassGain, rows, _cell)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value).lower() if isinstance(value, bool) else plain_cell(value)


def read_class_gains(path: Path) -> list[ClassGain]:
    """Read gains, in the file's order; none where one of the two heads did not run.

    Raises:
        StoreError: as `moclip.base.tables.read_rows`.
    """
    return read_rows(path, ClassGain, may_be_empty=True)
