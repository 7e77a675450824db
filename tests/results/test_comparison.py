"""moclip.comparison: paired differences against a baseline, and what is refused or said to be missing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moclip.base.errors import DataError
from moclip.results.comparison import Variant, compare
from moclip.results.metrics import measure, outcomes_of
from tests.results.test_summary import LEVEL, predictions, result, results, summary_of


def variant(name: str, *heads: str, splits: Sequence[int] = (1, 2), **params: str) -> Variant:
    found = results(*heads, splits=tuple(splits))
    return Variant(
        name,
        params,
        {head: {k: r.metrics for k, r in by_split.items()} for head, by_split in found.items()},
        {head: {k: r.outcomes for k, r in by_split.items()} for head, by_split in found.items()},
    )


def posing(of: Variant, head: str, taken: str, name: str) -> Variant:
    """A variant whose `head` answers as `taken` does in `of`: two heads of equal videos make a real difference."""
    return Variant(name, of.params, {head: of.metrics[taken]}, {head: of.outcomes[taken]})


def test_difference_is_the_one_that_the_summary_gives_two_heads():
    """Same videos, same rule: `moclip compare` and the report cannot disagree."""
    every = variant("a", "fusion", "zero_shot")
    found = compare(posing(every, "fusion", "zero_shot", "base"), [posing(every, "fusion", "fusion", "new")], LEVEL)
    summary = summary_of(results("fusion", "zero_shot", splits=(1, 2)))
    expected = summary["differences"]["fusion_minus_zero_shot"]
    _, row = found.rows
    assert row.difference == expected["mean"]
    assert row.interval == expected["interval"]
    assert row.verdict == expected["word"] == "different"
    assert row.n_test == 120
    assert row.top1_pct == summary["heads"]["fusion"]["top1_pct"]["mean"]


@settings(max_examples=20)
@given(flips=st.lists(st.integers(0, 59), max_size=30))
def test_difference_counts_hits_lost(flips):
    """Against a second formula: points are hits lost over videos, and swapping the two turns the sign."""
    p = predictions("fusion", 1)
    worse = p.logits.copy()
    for i in flips:
        worse[i] = 0.0
        worse[i, (p.labels[i] + 1) % 3] = 9.0
    other = replace(p, logits=worse)
    one, two = (
        Variant(name, {}, {"fusion": {1: measure("fusion", 1, of, LEVEL)}}, {"fusion": {1: outcomes_of(of)}})
        for name, of in (("one", p), ("two", other))
    )
    hits = [int((of.logits.argmax(1) == of.labels).sum()) for of in (p, other)]
    forth, back = (compare(a, [b], LEVEL).rows[1] for a, b in ((one, two), (two, one)))
    assert forth.difference == pytest.approx(100 * (hits[1] - hits[0]) / 60, abs=1e-3)
    assert back.difference == -forth.difference
    if not flips:
        assert forth.verdict == "no video differs"


def test_parameters_that_differ_and_those_alone():
    one = variant("one", "fusion", **{"fusion.hidden": "64", "seed": "0"})
    two = variant("two", "fusion", **{"fusion.hidden": "64", "seed": "1", "more": "x"})
    assert compare(one, [two], LEVEL).params == {
        "more": {"one": "absent", "two": "x"},
        "seed": {"one": "0", "two": "1"},
    }


def test_other_data_is_refused_with_the_first_video():
    one, two = variant("one", "fusion", splits=[1]), variant("two", "fusion", splits=[1])
    outcomes = two.outcomes["fusion"][1]
    swapped = replace(outcomes, actual=np.roll(outcomes.actual, 20))
    relabelled = replace(two, outcomes={"fusion": {1: swapped}})
    with pytest.raises(DataError, match=r"two and one were not tested on the same data.*split 1.*is labelled"):
        compare(one, [relabelled], LEVEL)
    fewer = replace(two, outcomes={"fusion": {1: result("fusion", 1, groups=3).outcomes}})
    with pytest.raises(DataError, match=r"same data.*video 'v_\w+' is in the first head alone"):
        compare(one, [fewer], LEVEL)


def test_what_one_of_them_lacks_is_named_and_the_rest_compared():
    one = variant("one", "fusion", "zero_shot", splits=[1, 2])
    two = variant("two", "fusion", splits=[2, 3])
    found = compare(one, [two], LEVEL, notes=["three: queued, has no result yet"])
    assert found.notes == (
        "three: queued, has no result yet",
        "fusion: split 3 not run in one, left out of all",
        "fusion: split 1 not run in two, left out of all",
        "zero_shot: not run in two",
    )
    assert [(row.head, row.variant, row.splits) for row in found.rows] == [
        ("fusion", "one", (2,)),
        ("fusion", "two", (2,)),
        ("zero_shot", "one", (1, 2)),
    ]


def test_head_that_the_baseline_lacks_has_figures_but_no_difference():
    found = compare(variant("one", "zero_shot"), [variant("two", "zero_shot", "fusion")], LEVEL)
    row = found.rows[-1]
    assert (row.head, row.variant, row.difference, row.verdict) == ("fusion", "two", None, "")


def test_no_common_split_leaves_no_row():
    found = compare(variant("one", "fusion", splits=[1]), [variant("two", "fusion", splits=[2])], LEVEL)
    assert found.rows == ()
    assert "fusion: split 1 not run in two, left out of all" in found.notes


def test_one_group_tells_no_spread():
    p = replace(predictions("fusion", 1), groups=np.array(["g"] * 60))
    one = Variant("one", {}, {"fusion": {1: measure("fusion", 1, p, LEVEL)}}, {"fusion": {1: outcomes_of(p)}})
    row = compare(one, [replace(one, name="two")], LEVEL).rows[1]
    assert (row.interval, row.verdict) == (None, "no video differs")
