from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import DataError
from moclip.data.dataset import SPLITS, Clip, Dataset, assign_parts, spread
from moclip.data.ucf101 import find_ucf101
from tests.support.datasets import add_line, make_ucf101


def test_parts_hold_out_whole_groups_of_the_train_list(layout):
    found = find_ucf101(layout, "ucf101")
    for split, members in assign_parts(found, 1, 0).items():
        assert [member.id for member in members] == sorted(found.clips)
        assert {member.id for member in members if member.part == "test"} == set(found.test[split])
        assert sorted(member.label for member in members if member.part == "val") == [0, 1, 2]
        assert {m.id: found.classes[m.label] for m in members} == {c.id: c.class_name for c in found.clips.values()}
    assert not [m for m in assign_parts(found, 0, 0)[1] if m.part == "val"]


def test_video_for_training_and_for_testing_is_refused(layout):
    add_line(layout, "trainlist01.txt", "YoYo/v_YoYo_g01_c01.avi 1")
    with pytest.raises(DataError, match="split 1: v_YoYo_g01_c01 is listed both for training and for testing"):
        assign_parts(find_ucf101(layout, "ucf101"), 1, 0)


def test_group_that_spans_train_and_test_lists_is_refused(layout):
    (layout / "UCF-101" / "YoYo" / "v_YoYo_g01_c02.avi").touch()
    for split, part in ((1, "train"), (2, "train"), (3, "train")):
        add_line(layout, f"{part}list0{split}.txt", "YoYo/v_YoYo_g01_c02.avi 1")
    with pytest.raises(DataError, match="split 1: group YoYo_g01 stands in both"):
        assign_parts(find_ucf101(layout, "ucf101"), 0, 0)


def test_class_without_training_videos_is_refused_in_a_complete_set(tmp_path):
    found = find_ucf101(make_ucf101(tmp_path, {"YoYo": 6, "Punch": 1}), "ucf101")
    with pytest.raises(DataError, match="split 1: class Punch has no training video left"):
        assign_parts(found, 0, 0)
    assign_parts(replace(found, complete=False), 0, 0)


group_layouts = st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=12), min_size=2, max_size=4)


@given(group_layouts, st.integers(0, 3), st.integers(0, 9), st.booleans())
def test_no_test_id_and_no_test_group_in_train_or_val(layout, val_groups, seed, shared):
    """Over any layout: each video is in one part, groups never part, and the test lists are left as they are."""
    clips = {
        f"{label}_{clip}": Clip(f"{label}_{clip}", f"C{label}", f"g{group}" if shared else f"C{label}_g{group}", Path())
        for label, groups in enumerate(layout)
        for clip, group in enumerate(groups)
    }
    fold = {group: number % 3 for number, group in enumerate(sorted({clip.group for clip in clips.values()}))}
    test = {k: [i for i, clip in clips.items() if fold[clip.group] == k - 1] for k in SPLITS}
    train = {k: [i for i in clips if i not in test[k]] for k in SPLITS}
    names = [f"C{label}" for label in range(len(layout))]
    for split, members in assign_parts(Dataset("d", False, names, clips, train, test), val_groups, seed).items():
        part_of = {member.id: member.part for member in members}
        assert len(members) == len(part_of) == len(clips)
        assert [i for i in clips if part_of[i] == "test"] == test[split]
        parts_of_group: dict[str, set[str]] = {}
        for i, clip in clips.items():
            parts_of_group.setdefault(clip.group, set()).add(part_of[i])
        assert all(len(parts) == 1 for parts in parts_of_group.values())


@given(st.dictionaries(st.text(min_size=1), st.sampled_from("abc")), st.integers(1, 5))
def test_spread_draws_so_many_of_each_class_and_grows(class_of, count):
    few, more = spread(class_of, count), spread(class_of, count + 1)
    assert few <= more <= set(class_of)
    for name in set(class_of.values()):
        of_class = {stem for stem, other in class_of.items() if other == name}
        assert len(few & of_class) == min(count, len(of_class))


def test_demo_data_gives_splits_that_train_every_class(demo_folder):
    splits = assign_parts(find_ucf101(demo_folder, "demo"), 1, 0)
    for members in splits.values():
        parts = [member.part for member in members]
        assert [parts.count(part) for part in ("train", "val", "test")] == [12, 12, 12]
