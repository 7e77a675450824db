import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import DataError
from moclip.data.splits import Member, check_disjoint, hold_out

layouts = st.dictionaries(
    st.integers(0, 10_000).map("video{}".format),
    st.tuples(st.integers(0, 4), st.integers(0, 6)),
    max_size=60,
)


def per_class(train: dict[str, tuple[int, str]]) -> dict[int, set[str]]:
    groups: dict[int, set[str]] = {}
    for label, group in train.values():
        groups.setdefault(label, set()).add(group)
    return groups


@given(layouts, st.integers(0, 4), st.integers(0, 5))
def test_held_out_groups_are_whole_and_counted_by_class(layout, count, seed):
    train = {video: (label, f"{label}_g{group}") for video, (label, group) in layout.items()}
    held = hold_out(train, count, (seed, 1))
    held_groups = {train[video][1] for video in held}
    assert held == {video for video, (_, group) in train.items() if group in held_groups}
    for groups in per_class(train).values():
        assert len(groups & held_groups) == min(count, len(groups) - 1)
    assert held == hold_out(dict(reversed(train.items())), count, (seed, 1))


@given(layouts, st.integers(0, 4), st.integers(0, 5))
def test_groups_that_span_classes_never_take_all_of_one(layout, count, seed):
    train = {video: (label, f"g{group}") for video, (label, group) in layout.items()}
    held = hold_out(train, count, (seed,))
    held_groups = {train[video][1] for video in held}
    assert held == {video for video, (_, group) in train.items() if group in held_groups}
    assert all(groups - held_groups for groups in per_class(train).values())


def test_draw_depends_on_seed_split_and_class():
    train = {f"{label}_{group}": (label, f"{label}_g{group}") for label in range(5) for group in range(18)}
    draws = [hold_out(train, 1, seed) for seed in ((0, 1), (0, 2), (1, 1))]
    assert len({frozenset(draw) for draw in draws}) == 3
    assert len({video.split("_")[1] for video in draws[0]}) > 1


def test_group_in_two_parts_is_refused():
    members = [Member("a", 0, "train", "g1"), Member("b", 0, "val", "g2"), Member("c", 0, "test", "g3")]
    check_disjoint("split 2", members)
    with pytest.raises(DataError, match="split 2: group g1 stands in both train and test"):
        check_disjoint("split 2", [*members, Member("d", 0, "test", "g1")])
