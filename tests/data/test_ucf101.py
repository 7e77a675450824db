import shutil
from dataclasses import replace

import pytest

from moclip.base.errors import DataError
from moclip.data.dataset import SPLITS, Clip, Dataset, assign_parts
from moclip.data.lists import read_class_index, read_list
from moclip.data.ucf101 import (
    LISTS,
    UCF101_COUNTS,
    check_official,
    find_ucf101,
    group_of,
    listed_videos,
)
from tests.support.datasets import add_line, video


def test_whole_folder_in_index_order(layout):
    found = find_ucf101(layout, "ucf101")
    assert (found.name, found.complete) == ("ucf101", True)
    assert found.classes == ["YoYo", "Archery", "Punch"]
    assert len(found.clips) == 15
    assert found.test[1] == [
        *["v_YoYo_g01_c01", "v_YoYo_g04_c01"],
        *["v_Archery_g01_c01", "v_Archery_g04_c01"],
        *["v_Punch_g01_c01", "v_Punch_g04_c01"],
    ]
    clip = found.clips["v_Punch_g02_c01"]
    assert clip == Clip("v_Punch_g02_c01", "Punch", "Punch_g02", video(layout, "Punch", 2))


def test_incomplete_folder_is_refused_with_counts_and_the_first_name(layout):
    for class_name, group in (("YoYo", 2), ("Archery", 5), ("Archery", 3)):
        video(layout, class_name, group).unlink()
    with pytest.raises(DataError, match=r"3 of 15 listed videos are missing, first Archery/v_Archery_g03_c01\.avi;"):
        find_ucf101(layout, "ucf101")


def test_present_takes_the_part_that_is_there_and_says_so(layout):
    video(layout, "YoYo", 2).unlink()
    shutil.rmtree(layout / "UCF-101" / "Archery")
    found = find_ucf101(layout, "ucf101", present=True)
    assert (found.name, found.complete) == ("ucf101 (part)", False)
    assert found.classes == ["YoYo", "Archery", "Punch"], "labels must not shift"
    assert len(found.clips) == 9
    assert "v_YoYo_g02_c01" not in found.test[2]
    members = assign_parts(found, 1, 0)[2]
    assert {member.id for member in members} == set(found.clips)
    assert {member.label for member in members} == {0, 2}


def test_present_with_nothing_there_is_still_refused(layout):
    shutil.rmtree(layout / "UCF-101")
    with pytest.raises(DataError, match="15 of 15 listed videos are missing"):
        find_ucf101(layout, "ucf101", present=True)


def test_chosen_classes_keep_index_order_and_need_only_their_videos(layout):
    shutil.rmtree(layout / "UCF-101" / "Archery")
    found = find_ucf101(layout, "ucf101", classes=["Punch", "YoYo"])
    assert found.classes == ["YoYo", "Punch"]
    assert (found.name, found.complete, len(found.clips)) == ("ucf101 (part)", False, 10)
    with pytest.raises(DataError, match=r"data\.classes: Yoga is not among the 3 classes"):
        find_ucf101(layout, "ucf101", classes=["YoYo", "Yoga"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Yoga/v_Yoga_g01_c01.avi 4", "class Yoga of v_Yoga_g01_c01.avi is not in the class index"),
        ("YoYo/v_YoYo_g09_c01.avi 1", "1 of 16 listed videos are missing, first YoYo/v_YoYo_g09_c01.avi"),
        ("YoYo/v_YoYo_g02_c01.avi 1", "v_YoYo_g02_c01 is listed twice"),
        ("YoYo/v_YoYo_g09_c01.avi 2", "has number 2, but the class index gives YoYo the number 1"),
        ("Punch/v_YoYo_g01_c01.avi 3", "v_YoYo_g01_c01 is of class Punch in one list, of YoYo in another"),
    ],
)
def test_lists_that_disagree_with_index_or_folder(layout, line, message):
    add_line(layout, "trainlist01.txt", line)
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        find_ucf101(layout, "ucf101")


def test_file_in_the_folder_of_another_class_is_refused(layout):
    video(layout, "YoYo", 2).rename(layout / "UCF-101" / "Punch" / "v_YoYo_g02_c01.avi")
    with pytest.raises(DataError, match=r"Punch/v_YoYo_g02_c01\.avi: the lists give it the class YoYo"):
        find_ucf101(layout, "ucf101")


def test_extra_videos_are_refused_and_other_files_are_not(layout):
    (layout / "UCF-101" / "YoYo" / "notes.txt").touch()
    find_ucf101(layout, "ucf101")
    video(layout, "YoYo", 20).touch()
    with pytest.raises(DataError, match=r"1 videos are in no list, first .*v_YoYo_g20_c01\.avi; remove them"):
        find_ucf101(layout, "ucf101")


def test_two_files_with_one_stem_are_refused(layout):
    video(layout, "YoYo", 1).with_suffix(".mp4").touch()
    with pytest.raises(DataError, match="have the same stem; rename one"):
        find_ucf101(layout, "ucf101")


def test_folder_that_is_no_ucf101(tmp_path):
    with pytest.raises(DataError, match=r"classInd\.txt: cannot be read as a list"):
        find_ucf101(tmp_path, "ucf101")


def test_group_is_unique_over_classes():
    assert group_of("v_HandStandPushups_g08_c02", "HandstandPushups") == "HandstandPushups_g08"
    assert group_of("v_YoYo_g08_c02", "YoYo") == "YoYo_g08"
    with pytest.raises(DataError, match=r"clip7: not of the form v_<Class>_g<group>_c<clip>"):
        group_of("clip7", "YoYo")


def test_official_lists_of_ucf101(real_ucf101):
    folder = real_ucf101 / "ucfTrainTestlist"
    index = read_class_index(folder / "classInd.txt")
    assert (len(index), index[36]) == (101, "HandstandPushups")
    for split, counts in UCF101_COUNTS.items():
        listed = [read_list(folder / f"{part}list{split:02d}.txt", index) for part in ("train", "test")]
        assert tuple(map(len, listed)) == counts
        assert not listed[0].keys() & listed[1].keys()


def test_whole_data_set_is_held_against_the_official_numbers(real_ucf101, layout):
    with pytest.raises(DataError, match=r"source ucf101: the class index has 3 classes, UCF101 has 101"):
        check_official(find_ucf101(layout, "ucf101"))
    check_official(find_ucf101(layout, "ucf101", clips_per_class=1))
    index = read_class_index(real_ucf101 / LISTS / "classInd.txt")
    parts = {
        part: {k: list(read_list(real_ucf101 / LISTS / f"{part}list0{k}.txt", index)) for k in SPLITS}
        for part in ("train", "test")
    }
    whole = Dataset("ucf101", True, index, {}, parts["train"], parts["test"])
    check_official(whole)
    with pytest.raises(DataError, match=r"split 2 lists 9585 training and 3734 test videos, .* 9586 and 3734"):
        check_official(replace(whole, train=parts["train"] | {2: parts["train"][2][1:]}))
    assert len(listed_videos(real_ucf101)) == 13320
    part = listed_videos(real_ucf101, clips_per_class=20)
    assert len(part) == 2020
    groups = {stem.split("_")[2] for stem, name in part.items() if name == "YoYo"}
    assert len(groups) > 8, "over many groups, so that no split lacks a class"


def test_real_clips_as_a_whole_are_refused_and_as_a_part_are_found(real_ucf101):
    with pytest.raises(DataError, match=r"13192 of 13320 listed videos are missing, first ApplyEyeMakeup/"):
        find_ucf101(real_ucf101, "ucf101")
    found = find_ucf101(real_ucf101, "ucf101", present=True)
    assert (len(found.clips), len(found.classes), found.name) == (128, 101, "ucf101 (part)")
    for members in assign_parts(found, 1, 0).values():
        assert len(members) == 128
