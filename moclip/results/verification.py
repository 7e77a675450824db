"""Two runs of one setting, held against each other: the same bytes, or how far results and conclusions are the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moclip.results.contrast import DIFFERENT as HEADS_DIFFER
from moclip.results.contrast import Contrast
from moclip.results.estimate import Design
from moclip.results.intervals import Level, paired, paired_hits
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


def check_split(head: str, split: int, then: Outcomes, now: Outcomes, same_bytes: bool, level: Level) -> SplitCheck:
    """Hold one head's outcomes on one split against those of another run.

    `same within` needs both one-sided tests inside the bound, `different` the one rule of `moclip.results.contrast`.

    Args:
        head: Its name.
        split: The split's number.
        then: Outcomes of the run that is held against.
        now: Outcomes of this run, on the same videos.
        same_bytes: Whether all files of the head and split have the same bytes.
        level: Of intervals and words.

    Raises:
        DataError: the two differ in videos or labels.
    """
    own, other = paired(now, then)
    ordered, difference = paired_hits(now, then)
    changed = int((own.predicted != other.predicted).sum())
    contrast = level.contrast({split: difference}, Design.of({split: ordered}))
    return SplitCheck(
        head,
        split,
        changed,
        len(difference),
        100 * float(then.correct.mean()),
        100 * float(now.correct.mean()),
        contrast.interval,
        _verdict(same_bytes, changed, contrast),
    )


def _verdict(same_bytes: bool, changed: int, contrast: Contrast) -> str:
    if same_bytes:
        return IDENTICAL
    if not changed:
        return SAME_PREDICTIONS
    if contrast.equal_within(DELTA_POINTS):
        return SAME_WITHIN
    return DIFFERENT if contrast.word == HEADS_DIFFER else UNDECIDED


def worst(checks: Sequence[SplitCheck]) -> str:
    """The verdict over splits or heads: the worst of theirs."""
    return max((check.verdict for check in checks), key=VERDICTS.index)
