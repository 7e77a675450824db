"""What a head says of the test videos: logits, outcomes (actual, predicted), recall per class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.files import read_npz, write_npz
from moclip.base.tables import read_csv, read_rows, write_csv

OUTCOME_COLUMNS = ("id", "group", "actual", "predicted")
SCORE_COLUMNS = ("rank", "confidence", "nll_nats", "brier")
CLASS_COLUMNS = ("class", "n", "correct", "recall_pct")


@dataclass(frozen=True)
class Predictions:
    """Logits of one head for n videos of one split: those of its test part, or of its validation part.

    ids, groups: (n,) text; labels: (n,) int64 indexes into classes; logits: (n, c) float32;
    classes: (c,) text, in class-index order.
    """

    ids: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    classes: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Scores:
    """What the probabilities of n videos come to: with these no figure of a report needs the logits.

    rank: (n,) of the actual class, 1 for the best; confidence: (n,) largest probability, 0..1; nll_nats, brier: (n,)
    negative log-likelihood in nats and Brier score, 0..2.
    """

    rank: np.ndarray
    confidence: np.ndarray
    nll_nats: np.ndarray
    brier: np.ndarray


@dataclass(frozen=True)
class Outcomes:
    """What came of the n test videos of one split.

    ids, groups, actual, predicted: (n,) text; the last two are class names. `scores` are of the same videos, None where
    an older version wrote the file.
    """

    ids: np.ndarray
    groups: np.ndarray
    actual: np.ndarray
    predicted: np.ndarray
    scores: Scores | None = None

    def only(self, which: np.ndarray) -> "Outcomes":
        """Some of the videos, by a mask or by indexes in a wanted order."""
        scores = self.scores and Scores(*(getattr(self.scores, f.name)[which] for f in fields(Scores)))
        return Outcomes(self.ids[which], self.groups[which], self.actual[which], self.predicted[which], scores)

    @property
    def correct(self) -> np.ndarray:
        """(n,) bool: the predicted class is the actual one."""
        return self.actual == self.predicted


@dataclass(frozen=True)
class ClassRow:
    """Test videos of one class, and how many of them were recognised."""

    name: Annotated[str, "class"]
    n: int
    correct: int

    @property
    def recall_pct(self) -> float | None:
        """Share recognised; None where the class has no test video."""
        return 100.0 * self.correct / self.n if self.n else None


def write_predictions(path: Path, predictions: Predictions, *, may_be_empty: bool = False) -> None:
    """Write predictions as npz without pickle, atomically.

    Raises:
        StoreError: they break a rule of `check_predictions`; nothing is written.
    """
    check_predictions(path, predictions, may_be_empty=may_be_empty)
    write_npz(path, **{f.name: getattr(predictions, f.name) for f in fields(Predictions)})


def read_predictions(path: Path, *, may_be_empty: bool = False) -> Predictions:
    """Read and check predictions.

    Raises:
        StoreError: the file is damaged, lacks an array, or breaks a rule of `check_predictions`.
    """
    predictions = Predictions(**read_npz(path, *(f.name for f in fields(Predictions))))
    check_predictions(path, predictions, may_be_empty=may_be_empty)
    return predictions


def check_predictions(path: Path, p: Predictions, *, may_be_empty: bool = False) -> None:
    """Hold predictions against the rules: shapes, types, finite logits, distinct ids, label range.

    A test part has a video or more; nothing need be held out for validation (`may_be_empty`).

    Raises:
        StoreError: names the file, the rule, and the first video that breaks it.
    """
    _check_types(path, p)
    _check_shapes(path, p, may_be_empty)
    if repeated := _first_repeated(p.ids):
        raise StoreError(f"{path}: video '{repeated}' stands there twice; every id must be distinct")
    if repeated := _first_repeated(p.classes):
        raise StoreError(f"{path}: class '{repeated}' stands there twice; class names must be distinct")
    _refuse_first(path, p.ids, ~np.isfinite(p.logits).all(axis=1), "has a logit that is not finite")
    outside = (p.labels < 0) | (p.labels >= len(p.classes))
    _refuse_first(path, p.ids, outside, f"has a label outside 0..{len(p.classes) - 1}")


def _check_types(path: Path, p: Predictions) -> None:
    rules = {"ids": "U", "labels": "i", "logits": "f", "classes": "U", "groups": "U"}
    names = {"U": "text", "i": "signed integers", "f": "floating point"}
    for name, kind in rules.items():
        dtype = getattr(p, name).dtype
        if dtype.kind != kind:
            raise StoreError(f"{path}: '{name}' must be {names[kind]}, is {dtype}")


def _check_shapes(path: Path, p: Predictions, may_be_empty: bool) -> None:
    n, c = p.ids.size, p.classes.size
    if (n == 0 and not may_be_empty) or c < 2:
        raise StoreError(f"{path}: needs at least one video and two classes, has {n} and {c}")
    expected = {"ids": (n,), "labels": (n,), "logits": (n, c), "classes": (c,), "groups": (n,)}
    for name, shape in expected.items():
        actual = getattr(p, name).shape
        if actual != shape:
            raise StoreError(f"{path}: '{name}' must have shape {shape}, has {actual}")


def _first_repeated(names: np.ndarray) -> str | None:
    distinct, counts = np.unique(names, return_counts=True)
    return str(distinct[counts > 1][0]) if len(distinct) < len(names) else None


def _refuse_first(path: Path, ids: np.ndarray, broken: np.ndarray, what: str) -> None:
    if broken.any():
        first = ids[np.argmax(broken)]
        raise StoreError(f"{path}: video '{first}' {what} ({broken.sum()} of {len(ids)} do)")


def write_outcomes(path: Path, outcomes: Outcomes) -> None:
    """Write outcomes as CSV (id, group, actual, predicted, and the scores if any), one row a video, sorted by id."""
    ordered = outcomes.only(np.argsort(outcomes.ids, kind="stable"))
    columns = [part.tolist() for part in (ordered.ids, ordered.groups, ordered.actual, ordered.predicted)]
    names: tuple[str, ...] = OUTCOME_COLUMNS
    if scores := ordered.scores:
        figures = (scores.confidence, scores.nll_nats, scores.brier)
        columns += [scores.rank.tolist(), *([f"{value:.7g}" for value in part.tolist()] for part in figures)]
        names += SCORE_COLUMNS
    write_csv(path, names, zip(*columns, strict=True))


def read_outcomes(path: Path) -> Outcomes:
    """Read outcomes.

    Raises:
        StoreError: the file is missing, holds no video, or lacks a column.
    """
    rows = read_csv(path, OUTCOME_COLUMNS)
    ids, groups, actual, predicted = (np.array([row[name] for row in rows]) for name in OUTCOME_COLUMNS)
    return Outcomes(ids, groups, actual, predicted, _scores(path, rows))


def _scores(path: Path, rows: Sequence[Mapping[str, str]]) -> Scores | None:
    there = [name for name in SCORE_COLUMNS if name in rows[0]]
    if not there:
        return None
    if lacking := sorted(set(SCORE_COLUMNS) - set(there)):
        raise StoreError(f"{path}: has column '{there[0]}', but no column '{lacking[0]}'; run the stage evaluate again")
    try:
        rank = np.array([int(row["rank"]) for row in rows])
        return Scores(rank, *(np.array([float(row[name]) for row in rows]) for name in SCORE_COLUMNS[1:]))
    except ValueError as error:
        raise StoreError(f"{path}: a score is no number ({error}); run the stage evaluate again") from error


def write_class_rows(path: Path, rows: Sequence[ClassRow]) -> None:
    """Write recall per class as CSV; an untested class has an empty recall."""
    recalls = ["" if row.recall_pct is None else f"{row.recall_pct:.4f}" for row in rows]
    table = [(row.name, row.n, row.correct, recall) for row, recall in zip(rows, recalls, strict=True)]
    write_csv(path, CLASS_COLUMNS, table)


def read_class_rows(path: Path) -> list[ClassRow]:
    """Read recall per class, in the file's order.

    Raises:
        StoreError: as `moclip.base.tables.read_rows`.
    """
    return read_rows(path, ClassRow)
