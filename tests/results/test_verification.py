"""Two runs of one setting: the same bytes, the same findings, or neither."""

import numpy as np
import pytest

from moclip.base.errors import DataError
from moclip.results.intervals import Level
from moclip.results.predictions import Outcomes
from moclip.results.verification import (
    DIFFERENT,
    IDENTICAL,
    SAME_PREDICTIONS,
    SAME_WITHIN,
    UNDECIDED,
    check_split,
    worst,
)

VIDEOS, GROUP = 2000, 4
LEVEL = Level(confidence_pct=95.0, fdr_pct=5.0)


def outcomes(wrong: int = 0, other: str = "B", first: int = 0) -> Outcomes:
    """All right, but for `wrong` videos, one in each group from the first on."""
    ids = np.array([f"v{i:04}" for i in range(VIDEOS)])
    groups = np.array([f"g{i // GROUP:03}" for i in range(VIDEOS)])
    predicted = np.full(VIDEOS, "A", dtype=object)
    predicted[first : first + wrong * GROUP : GROUP] = other
    return Outcomes(ids=ids, groups=groups, actual=np.full(VIDEOS, "A", dtype=object), predicted=predicted)


@pytest.mark.parametrize(
    ("then", "now", "same_bytes", "changed", "verdict"),
    [
        (outcomes(100), outcomes(100), True, 0, IDENTICAL),
        (outcomes(100), outcomes(100), False, 0, SAME_PREDICTIONS),
        (outcomes(100), outcomes(100, other="C"), False, 100, SAME_WITHIN),
        (outcomes(100), outcomes(102), False, 2, SAME_WITHIN),
        (outcomes(100), outcomes(100, first=1000), False, 200, UNDECIDED),
        (outcomes(100), outcomes(300), False, 200, DIFFERENT),
    ],
)
def test_verdict(then: Outcomes, now: Outcomes, same_bytes: bool, changed: int, verdict: str) -> None:
    check = check_split("fusion", 1, then, now, same_bytes, LEVEL)
    assert (check.changed, check.n_test, check.verdict) == (changed, VIDEOS, verdict)
    assert check.now_pct - check.then_pct == pytest.approx(
        100 * (int(now.correct.sum()) - int(then.correct.sum())) / VIDEOS
    )


def test_the_worst_split_speaks_for_a_head() -> None:
    checks = [
        check_split("fusion", 1, outcomes(), outcomes(), True, LEVEL),
        check_split("fusion", 2, outcomes(100), outcomes(300), False, LEVEL),
    ]
    assert worst(checks) == DIFFERENT


def test_other_videos_are_refused() -> None:
    fewer = outcomes()
    fewer = Outcomes(ids=fewer.ids[1:], groups=fewer.groups[1:], actual=fewer.actual[1:], predicted=fewer.predicted[1:])
    with pytest.raises(DataError):
        check_split("fusion", 1, outcomes(), fewer, False, LEVEL)
