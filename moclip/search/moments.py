"""A curve of scores over time to the moments of a video that match best. NumPy alone.

A curve has one score for each step of a video, and step i stands for the times [i, i + 1) of the step's length. A
span is half-open, (start, end) in steps. Of equal scores the earlier step comes first.

Axes: t step, k centre, n span, d feature.

Source: OneClip-RAG (arXiv 2512.08410) cuts a video into clips by the curve of its likeness to a query: peaks are
centres of clips, the valleys between are their boundaries, and the maximum in a clip is its score. Its code takes a
softmax over time first and lets neighbours on one slope be centres; here the softmax is the rule `published` alone.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from moclip.base.errors import ParamsError

Rule = Literal["query", "maxima", "threshold", "shots", "uniform", "published"]
"""How a video is cut: `query` by the deepest peaks of the curve, `maxima` by its highest distinct maxima, `threshold`
where it passes Otsu's threshold, `shots` where neighbouring pictures differ, `uniform` evenly, `published` as `query`
on the softmax of the curve."""

RULES: tuple[Rule, ...] = get_args(Rule)
QUERY_RULES: tuple[Rule, ...] = ("query", "maxima", "threshold")
"""Those that cut by the query."""

TEMPERATURE = 100.0  # of the published softmax over time
_LEVELS = 256  # thresholds that Otsu's rule tries


def peaks(curve: np.ndarray) -> np.ndarray:
    """How far each step stands out of the valleys on both sides, float64 (t,): 2 s_i - left_i - right_i.

    `left_i` is the value where one comes to who walks left from i while values do not rise: the start of the run of
    non-decreasing values that ends at i. `right_i` likewise. All steps of a plateau have the same height.

    >>> peaks(np.array([1.0, 3.0, 2.0, 2.0, 5.0])).tolist()
    [0.0, 3.0, 0.0, 0.0, 3.0]
    """
    values = np.asarray(curve, dtype=np.float64)
    left = values[_run_starts(values)]
    right = values[::-1][_run_starts(values[::-1])][::-1]
    found: np.ndarray = 2 * values - left - right
    return found


def _run_starts(values: np.ndarray) -> np.ndarray:
    """For each step the first step of the non-decreasing run that it lies in, int64 (t,)."""
    falls = np.flatnonzero(np.diff(values) < 0) + 1
    starts = np.zeros(len(values), dtype=np.int64)
    starts[falls] = falls
    found: np.ndarray = np.maximum.accumulate(starts)
    return found


def centres(curve: np.ndarray, count: int) -> np.ndarray:
    """The `count` steps of the highest `peaks`, ascending; all steps where there are fewer."""
    return np.sort(np.argsort(-peaks(curve), kind="stable")[:count])


def maxima(curve: np.ndarray, count: int) -> np.ndarray:
    """The `count` highest of the distinct local maxima, ascending: of a plateau its first step alone.

    >>> maxima(np.array([1.0, 3.0, 3.0, 2.0, 5.0]), 3).tolist()
    [1, 4]
    """
    values = np.asarray(curve, dtype=np.float64)
    first = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)  # of each plateau
    padded = np.concatenate([[-np.inf], values[first], [-np.inf]])
    found = first[(padded[1:-1] > padded[:-2]) & (padded[1:-1] > padded[2:])]
    return np.sort(found[np.argsort(-peaks(values)[found], kind="stable")[:count]])


def boundaries(curve: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The last step of the left clip for each two neighbouring centres, int64 (k - 1,).

    The boundary of a < b is the step j that maximises the drops from a down to j and from b down to j. Their sums
    telescope to s_a + s_b - 2 s_j, so it is the lowest step behind a, b included; a itself where b is the next step.
    """
    values = np.asarray(curve, dtype=np.float64)
    lowest = [a if b == a + 1 else a + 1 + int(np.argmin(values[a + 1 : b + 1])) for a, b in pairwise(at)]
    return np.array(lowest, dtype=np.int64)


def otsu(values: np.ndarray) -> float | None:
    """The threshold that parts values into two classes of greatest variance between them; None where all are equal.

    Source: Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9 (1979), over 256 levels.
    """
    low, high = float(np.min(values)), float(np.max(values))
    if not high > low:
        return None
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    levels = low + (high - low) * np.arange(_LEVELS) / _LEVELS
    below = np.searchsorted(ordered, levels, side="right")
    sums = np.cumsum(ordered)
    mean_low = sums[below - 1] / below
    mean_high = (sums[-1] - sums[below - 1]) / (len(ordered) - below)
    between = below * (len(ordered) - below) * (mean_high - mean_low) ** 2
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(levels[best].mean())  # the middle of the gap that all of them lie in


def neighbour_likeness(features: np.ndarray) -> np.ndarray:
    """Cosine of each step's feature (t, d) with the next one's, float64 (t - 1,)."""
    values = np.asarray(features, dtype=np.float64)
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    found: np.ndarray = (unit[:-1] * unit[1:]).sum(axis=1)
    return found


def chunks(curve: np.ndarray, count: int, rule: Rule = "query", features: np.ndarray | None = None) -> np.ndarray:
    """Cut a video into spans that cover it, int64 (n, 2), ascending.

    Args:
        curve: Scores (t,).
        count: Spans that `query`, `maxima`, `uniform` and `published` make, at most; the others find their own number.
        rule: One of `RULES`.
        features: Of the steps (t, d), which `shots` cuts by.

    Raises:
        ParamsError: the curve is empty or not finite, `count` is below 1, the rule is unknown, or `shots` has no
            features.

    >>> chunks(np.array([0.1, 0.9, 0.1, 0.1, 0.8, 0.2]), 2).tolist()
    [[0, 3], [3, 6]]
    """
    t = len(curve)
    if not t or not np.isfinite(curve).all():
        raise ParamsError("a curve needs one finite score or more")
    if count < 1:
        raise ParamsError(f"count: {count} chunks; ask for 1 or more")
    if rule not in RULES:
        raise ParamsError(f"chunks: '{rule}' is none of {', '.join(RULES)}")
    if rule == "shots" and (features is None or len(features) != t):
        raise ParamsError("chunks: shots needs the feature of every step")
    starts = np.unique(np.concatenate([[0], _starts(np.asarray(curve, np.float64), count, rule, features)]))
    starts = starts[starts < t].astype(np.int64)
    return np.stack([starts, np.append(starts[1:], t)], axis=1)


def _starts(curve: np.ndarray, count: int, rule: Rule, features: np.ndarray | None) -> np.ndarray:
    """Where spans start, beside 0; a start behind the end is none."""
    if rule == "uniform":
        return np.arange(count) * len(curve) // count
    if rule == "threshold":
        level = otsu(curve)
        return np.empty(0) if level is None else np.flatnonzero(np.diff(curve > level)) + 1
    if rule == "shots":
        assert features is not None, "checked by `chunks`"
        return _cuts(neighbour_likeness(features)) + 1
    values = softmax_over_time(curve) if rule == "published" else curve
    found = maxima(values, count) if rule == "maxima" else centres(values, count)
    return boundaries(values, found) + 1


def _cuts(likeness: np.ndarray) -> np.ndarray:
    """Steps after which the picture changes more than Otsu's threshold of all changes allows."""
    level = otsu(likeness) if len(likeness) else None
    return np.empty(0) if level is None else np.flatnonzero(likeness <= level)


def softmax_over_time(curve: np.ndarray) -> np.ndarray:
    """Softmax of 100 x the curve, over time: what the published code cuts, float64 (t,).

    It leaves one narrow peak, and flat zeros everywhere else.
    """
    weights = np.exp(TEMPERATURE * (np.asarray(curve, dtype=np.float64) - np.max(curve)))
    found: np.ndarray = weights / weights.sum()
    return found


def chunk_scores(curve: np.ndarray, spans: np.ndarray, rule: Rule) -> np.ndarray:
    """One score a span, float64 (n,): the best step where the query cut, the mean where something else did."""
    take = np.mean if rule in ("uniform", "shots") else np.max
    return np.array([take(np.asarray(curve, np.float64)[start:end]) for start, end in spans])


def retrieve(spans: np.ndarray, scores: np.ndarray, merge: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Spans with the best first, (n, 2), and their scores (n,).

    Args:
        spans: Half-open, ascending, none over another.
        scores: One a span.
        merge: Of so many of the best, those that touch become one, with the score of the best of them; it stays ahead
            of all others.

    Raises:
        ParamsError: `merge` is below 1, or there is not one score a span.

    >>> spans, scores = retrieve(np.array([[0, 2], [2, 4], [4, 9]]), np.array([0.5, 0.7, 0.1]), merge=2)
    >>> spans.tolist(), scores.tolist()
    ([[0, 4], [4, 9]], [0.7, 0.1])
    """
    if merge < 1 or len(spans) != len(scores):
        raise ParamsError(f"merge: {merge} of {len(spans)} spans with {len(scores)} scores; merge 1 or more")
    order = np.argsort(-scores, kind="stable")
    runs: list[tuple[int, int, float]] = []
    for place in np.sort(order[:merge]):
        start, end, score = int(spans[place, 0]), int(spans[place, 1]), float(scores[place])
        if runs and runs[-1][1] == start:
            first, _, best = runs.pop()
            start, score = first, max(best, score)
        runs.append((start, end, score))
    runs.sort(key=lambda run: -run[2])
    merged = np.array([run[:2] for run in runs], dtype=np.int64)
    values = np.array([run[2] for run in runs])
    return np.concatenate([merged, spans[order[merge:]]]), np.concatenate([values, scores[order[merge:]]])


def iou(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Length that two half-open spans share, by the length that they cover together; 0 where both are empty.

    >>> iou((0, 4), (2, 6))
    0.3333333333333333
    """
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    covered = (one[1] - one[0]) + (other[1] - other[0]) - shared
    return float(shared / covered) if covered > 0 else 0.0


def sliding_mean(features: np.ndarray, width: int) -> np.ndarray:
    """Means of features (t, d) over `width` steps around each, fewer at both ends; float64 (t, d)."""
    t, width = len(features), min(max(1, width), len(features))
    sums = np.concatenate([np.zeros((1, features.shape[1])), np.cumsum(features, axis=0, dtype=np.float64)])
    start = np.maximum(np.arange(t) - (width - 1) // 2, 0)
    end = np.minimum(np.arange(t) + width // 2 + 1, t)
    found: np.ndarray = (sums[end] - sums[start]) / (end - start)[:, None]
    return found


def cosine(features: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Cosine of each feature (t, d) with one (d,), float64 (t,); 0 where a feature is zero."""
    values, asked = np.asarray(features, np.float64), np.asarray(query, np.float64)
    lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(asked)
    found: np.ndarray = np.divide(values @ asked, lengths, out=np.zeros(len(values)), where=lengths > 0)
    return found
