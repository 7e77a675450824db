"""What a head says of the test videos: logits, outcomes (actual, predicted), what Git keeps, recall per class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import scipy

from moclip.base.errors import StoreError
from moclip.base.files import read_npz, write_npz
from moclip.base.tables import read_csv, read_rows, write_csv

OUTCOME_COLUMNS = ("id", "group", "actual", "predicted")
SCORE_COLUMNS = ("rank", "confidence", "nll_nats", "brier")
CLASS_COLUMNS = ("class", "n", "correct", "recall_pct")
LEAST = np.finfo(np.float16).min


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
    an older version wrote the file. All these are of the head's first training; `repeats` (r, n) are the predicted
    classes of the others, None where there are none or nobody asks.
    """

    ids: np.ndarray
    groups: np.ndarray
    actual: np.ndarray
    predicted: np.ndarray
    scores: Scores | None = None
    repeats: np.ndarray | None = None

    def only(self, which: np.ndarray) -> "Outcomes":
        """Some of the videos, by a mask or by indexes in a wanted order."""
        scores = self.scores and Scores(*(getattr(self.scores, f.name)[which] for f in fields(Scores)))
        repeats = None if self.repeats is None else self.repeats[:, which]
        return Outcomes(self.ids[which], self.groups[which], self.actual[which], self.predicted[which], scores, repeats)

    @property
    def correct(self) -> np.ndarray:
        """(n,) bool: the predicted class is the actual one."""
        return self.actual == self.predicted

    @property
    def first(self) -> "Outcomes":
        """The same of the first training alone, which is the one that predicts."""
        return replace(self, repeats=None)

    @property
    def hits_by_training(self) -> np.ndarray:
        """(t, n) of 0 and 1: hits of each training, the first one's before the others'."""
        predicted = self.predicted[None] if self.repeats is None else np.vstack([self.predicted, self.repeats])
        return (predicted == self.actual).astype(np.float64)

    @property
    def hits(self) -> np.ndarray:
        """(n,) from 0 to 1: the share of trainings that are right."""
        return self.hits_by_training.mean(axis=0)


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


@dataclass(frozen=True)
class Kept:
    """Answers of one head on one split, compact, for Git: of n test videos in order of id, k classes, r repeats.

    classes: (k,) names in index order; log_probabilities: (n, k) float16 of the first training; repeats: (r, n) uint16
    indexes of the class that each repeat of the training says.
    """

    classes: np.ndarray
    log_probabilities: np.ndarray
    repeats: np.ndarray


def as_kept(predictions: Predictions) -> Predictions:
    """The same predictions in order of id, with log-probabilities in half precision for logits.

    What they say first stays: where rounding puts another class level with it, or before, it moves up by one digit.
    Figures are counted from these, so that what Git holds gives each of them to its last digit.
    """
    order = np.argsort(predictions.ids, kind="stable")
    exact = scipy.special.log_softmax(predictions.logits[order].astype(np.float64), axis=1)
    half = np.maximum(exact, LEAST).astype(np.float16)
    rows, said = np.arange(len(order)), predictions.logits[order].argmax(axis=1)
    moved = half.argmax(axis=1) != said
    top = half[rows, half.argmax(axis=1)]
    half[rows[moved], said[moved]] = np.nextafter(top[moved], np.float16(np.inf))
    return replace(
        predictions,
        ids=predictions.ids[order],
        labels=predictions.labels[order],
        groups=predictions.groups[order],
        logits=half.astype(np.float32),
    )


def keep(first: Predictions, repeats: list[Predictions]) -> Kept:
    """What is kept of predictions that `as_kept` gave, and of the same videos by repeats of the training.

    Raises:
        StoreError: a repeat has other videos, labels or classes.
    """
    said = []
    for number, own in enumerate(repeats, 1):
        order = np.argsort(own.ids, kind="stable")
        same = own.ids[order].tolist() == first.ids.tolist() and own.labels[order].tolist() == first.labels.tolist()
        if not same or own.classes.tolist() != first.classes.tolist():
            raise StoreError(f"repeat {number} of the training has other videos or classes; run its stage again")
        said.append(own.logits[order].argmax(axis=1))
    table = np.array(said, dtype=np.uint16).reshape(len(said), len(first.ids))
    return Kept(first.classes, first.logits.astype(np.float16), table)


def write_kept(path: Path, kept: Kept) -> None:
    """Write it as npz without pickle, atomically; equal answers give equal bytes."""
    write_npz(path, classes=kept.classes, log_probabilities=kept.log_probabilities, repeats=kept.repeats)


def read_kept(path: Path) -> Kept:
    """Read what `write_kept` wrote.

    Raises:
        StoreError: the file is missing or damaged, or its arrays do not fit each other.
    """
    kept = Kept(**read_npz(path, "classes", "log_probabilities", "repeats"))
    shape, of_repeats = kept.log_probabilities.shape, kept.repeats.shape
    fits = len(shape) == 2 and len(of_repeats) == 2 and shape == (of_repeats[1], len(kept.classes))
    if not fits or kept.repeats.dtype.kind != "u" or (kept.repeats.size and kept.repeats.max() >= len(kept.classes)):
        raise StoreError(f"{path}: arrays do not fit each other; run the stage evaluate again")
    return kept


def with_repeats(outcomes: Outcomes, kept: Kept, path: Path) -> Outcomes:
    """Outcomes with what repeats of the training say.

    Raises:
        StoreError: the two are of unlike many videos, or differ in what the first training says.
    """
    said = kept.classes[kept.log_probabilities.argmax(axis=1)]
    if said.tolist() != outcomes.predicted.tolist():
        raise StoreError(f"{path}: says other than the outcomes beside it; run the stage evaluate again")
    return replace(outcomes, repeats=kept.classes[kept.repeats]) if len(kept.repeats) else outcomes
