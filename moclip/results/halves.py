"""A head that was fitted on some of the classes: how it tells apart those that it saw, and those that it did not.

Each test video is judged among the classes of its own half, as base-to-novel protocols have it. Beside the head stand
the models that it is read beside, on the same videos. Axes: n video, k class, m model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import DataError, StoreError
from moclip.base.files import read_npz, write_npz
from moclip.base.tables import read_rows, write_rows
from moclip.results.estimate import BySplit, Design
from moclip.results.intervals import Level
from moclip.results.predictions import Predictions

SEEN, UNSEEN, HARMONIC_MEAN = "seen", "unseen", "harmonic_mean"
HALVES = (SEEN, UNSEEN)
Json = dict[str, Any]


@dataclass(frozen=True)
class Halves:
    """Logits (n, k) by model of the test videos of a split, and the names of the classes that were seen."""

    seen: Sequence[str]
    logits: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class HalfRow:
    """One video by one model: its actual class, and the one predicted among the classes of its half."""

    model: str
    id: str
    group: str
    half: str
    actual: str
    predicted: str


def write_halves(path: Path, halves: Halves) -> None:
    """Write logits by model as npz without pickle, atomically."""
    write_npz(
        path,
        seen=np.array(halves.seen, dtype=np.str_),
        models=np.array(list(halves.logits), dtype=np.str_),
        logits=np.stack(list(halves.logits.values())).astype(np.float32),
    )


def read_halves(path: Path) -> Halves:
    """Read what `write_halves` wrote.

    Raises:
        StoreError: the file is missing or damaged.
    """
    found = read_npz(path, "seen", "models", "logits")
    return Halves(found["seen"].tolist(), dict(zip(found["models"].tolist(), found["logits"], strict=True)))


def half_rows(p: Predictions, halves: Halves) -> list[HalfRow]:
    """Rows of all models, in their order; of equal logits, the class with the lower index is predicted.

    Raises:
        StoreError: logits are of other videos or classes than the predictions, or are not finite.
        DataError: a half has no class, or no test video.
    """
    is_seen = np.isin(p.classes, halves.seen)
    if is_seen.sum() != len(halves.seen):
        raise StoreError(
            "halves: a class that was seen is none of the predictions' classes; run the head's stage again"
        )
    of_video = is_seen[p.labels]
    for half, videos in ((SEEN, of_video), (UNSEEN, ~of_video)):
        if not videos.any():
            raise DataError(f"no test video is of a class that was {half}; choose other base classes, or other videos")
    rows = []
    for model, logits in halves.logits.items():
        if logits.shape != (len(p.ids), len(p.classes)) or not np.isfinite(logits).all():
            raise StoreError(f"halves: logits of {model} are {logits.shape}, of other videos or classes, or not finite")
        allowed = np.where(of_video[:, None] == is_seen, logits, -np.inf)
        predicted = p.classes[allowed.argmax(axis=1)]
        cells = zip(p.ids, p.groups, of_video, p.classes[p.labels], predicted, strict=True)
        rows += [
            HalfRow(model, str(id_), str(group), SEEN if known else UNSEEN, str(actual), str(found))
            for id_, group, known, actual, found in cells
        ]
    return rows


def write_half_rows(path: Path, rows: Sequence[HalfRow]) -> None:
    """Write rows as CSV, by model in their order, then by id."""
    models = list(dict.fromkeys(row.model for row in rows))
    write_rows(path, HalfRow, sorted(rows, key=lambda row: (models.index(row.model), row.id)))


def read_half_rows(path: Path) -> list[HalfRow]:
    """Read rows.

    Raises:
        StoreError: as `moclip.base.tables.read_rows`.
    """
    return read_rows(path, HalfRow)


def half_table(by_split: Mapping[int, Sequence[HalfRow]], level: Level) -> list[Json]:
    """A row for each model: top-1 of either half in percent, and their harmonic mean, with intervals over groups.

    The first model is what the others are held against: `minus_first` has paired differences in points by half. The
    harmonic mean is taken in each split, then averaged over splits, as the others are.

    Raises:
        StoreError: splits have other models.
    """
    models = [list(dict.fromkeys(row.model for row in rows)) for rows in by_split.values()]
    if any(own != models[0] for own in models):
        raise StoreError(f"halves: splits have other models ({models}); run the head's stage again")
    hits = {model: {half: _hits(by_split, model, half) for half in HALVES} for model in models[0]}
    designs = {half: _design(by_split, models[0][0], half) for half in HALVES}
    first = hits[models[0][0]]
    return [{"model": model, **_figures(own, designs, level), **_minus(own, first, designs, level)}
            for model, own in hits.items()]  # fmt: skip


def _hits(by_split: Mapping[int, Sequence[HalfRow]], model: str, half: str) -> BySplit:
    return {
        split: np.array([row.actual == row.predicted for row in rows if (row.model, row.half) == (model, half)], float)
        for split, rows in by_split.items()
    }


def _design(by_split: Mapping[int, Sequence[HalfRow]], model: str, half: str) -> Design:
    own = {k: [row for row in rows if (row.model, row.half) == (model, half)] for k, rows in by_split.items()}
    return Design(
        {k: np.array([row.actual for row in rows]) for k, rows in own.items()},
        {k: np.array([row.group for row in rows]) for k, rows in own.items()},
    )


def _figures(hits: Mapping[str, BySplit], designs: Mapping[str, Design], level: Level) -> Json:
    of_half = {half: {split: 100.0 * float(own.mean()) for split, own in hits[half].items()} for half in HALVES}
    of_both = {split: harmonic_mean(of_half[SEEN][split], of_half[UNSEEN][split]) for split in of_half[SEEN]}
    intervals = {half: level.accuracy_interval(hits[half], designs[half]) for half in HALVES}
    intervals[HARMONIC_MEAN] = level.harmonic_interval([(hits[half], designs[half]) for half in HALVES])
    return {
        key: {
            "mean": round(float(np.mean(list(values.values()))), 4),
            "per_split": {str(split): round(value, 4) for split, value in sorted(values.items())},
            "n_test": None if key == HARMONIC_MEAN else sum(map(len, hits[key].values())),
            "interval": intervals[key],
        }
        for key, values in {**of_half, HARMONIC_MEAN: of_both}.items()
    }


def _minus(
    own: Mapping[str, BySplit], first: Mapping[str, BySplit], designs: Mapping[str, Design], level: Level
) -> Json:
    if own is first:
        return {"minus_first": None}
    found = {}
    for half in HALVES:
        values = {split: own[half][split] - first[half][split] for split in own[half]}
        contrast = level.contrast(values, designs[half])
        found[half] = {"mean": contrast.points, **contrast.values()}
    return {"minus_first": found}


def harmonic_mean(first: float, second: float) -> float:
    """2 / (1 / first + 1 / second), 0 where either is.

    >>> harmonic_mean(94.8, 77.5).__round__(1), harmonic_mean(50.0, 0.0)
    (85.3, 0.0)
    """
    return 2 * first * second / (first + second) if first and second else 0.0
