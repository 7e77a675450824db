"""Two runs of one setting, held against each other: the same bytes, or how far results and conclusions are the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from moclip.results.intervals import Bootstrap, is_significant, paired_hits
from moclip.results.predictions import Outcomes

IDENTICAL, SAME_PREDICTIONS, SAME_WITHIN, UNDECIDED, DIFFERENT = VERDICTS = (
    "identical",
    "same predictions",
    "same within \N{GREEK SMALL LETTER DELTA}",
    "undecided",
    "different",
)
"""From the best to the worst."""

DELTA_POINTS = 1.0
"""A difference of top-1 that is smaller is called none."""


@dataclass(frozen=True)
class SplitCheck:
    """One head on one split: `changed` of `n_test` predictions are others; top-1 in percent, differences in points."""

    head: str
    split: int
    changed: int
    n_test: int
    then_pct: float
    now_pct: float
    interval: Mapping[str, float] | None
    verdict: str


def check_split(
    head: str, split: int, then: Outcomes, now: Outcomes, same_bytes: bool, bootstrap: Bootstrap
) -> SplitCheck:
    """Hold one head's outcomes on one split against those of another run.

    `same within` needs the interval of both one-sided tests inside the bound; an interval with zero is no sameness.

    Args:
        head: Its name.
        split: The split's number.
        then: Outcomes of the run that is held against.
        now: Outcomes of this run, on the same videos.
        same_bytes: Whether all files of the head and split have the same bytes.
        bootstrap: How intervals are made.

    Raises:
        DataError: the two differ in videos or labels.
    """
    ordered, difference = paired_hits(now, then)
    _, predicted_then = _by_id(then)
    _, predicted_now = _by_id(now)
    changed = int((predicted_then != predicted_now).sum())
    interval = bootstrap.interval({split: difference}, {split: ordered.groups})
    return SplitCheck(
        head,
        split,
        changed,
        len(difference),
        100 * float(then.correct.mean()),
        100 * float(now.correct.mean()),
        interval,
        _verdict(same_bytes, changed, difference, ordered.groups, interval, bootstrap, split),
    )


def _verdict(
    same_bytes: bool,
    changed: int,
    difference: np.ndarray,
    groups: np.ndarray,
    interval: Mapping[str, float] | None,
    bootstrap: Bootstrap,
    split: int,
) -> str:
    if same_bytes:
        return IDENTICAL
    if not changed:
        return SAME_PREDICTIONS
    both_tests = replace(bootstrap, confidence_pct=2 * bootstrap.confidence_pct - 100)
    inner = both_tests.interval({split: difference}, {split: groups})
    if inner is not None and inner["low"] > -DELTA_POINTS and inner["high"] < DELTA_POINTS:
        return SAME_WITHIN
    return DIFFERENT if is_significant(interval) else UNDECIDED


def worst(checks: Sequence[SplitCheck]) -> str:
    """The verdict over splits or heads: the worst of theirs."""
    return max((check.verdict for check in checks), key=VERDICTS.index)


def _by_id(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(outcomes.ids, kind="stable")
    return outcomes.ids[order], outcomes.predicted[order]
