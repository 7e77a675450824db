import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import DataError
from moclip.base.files import sha256_file
from moclip.data.dataset import (
    HMDB51_LISTS,
    HMDB51_VIDEOS,
    LISTS,
    SPLITS,
    VIDEOS,
    Clip,
    Dataset,
    assign_parts,
    check_official,
    find_folder,
    find_hmdb51,
    find_ucf101,
    listed_videos,
    measure,
    spread,
)
from moclip.data.splits import read_class_index, read_list
from moclip.demo.spec import classes

PATTERN = r"_(g\d+)_"


def make_ucf101(base: Path, groups: Mapping[str, int], end: str = "\r\n") -> Path:
    """UCF101's layout with empty files: one clip per group; split k tests on groups k, k + 3, ..."""
    lists = base / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_bytes("".join(f"{i} {name}{end}" for i, name in enumerate(groups, 1)).encode())
    for split in SPLITS:
        train, test = "", ""
        for number, (name, count) in enumerate(groups.items(), 1):
            for group in range(1, count + 1):
                path = f"{name}/v_{name}_g{group:02d}_c01.avi"
                if (group - split) % 3 == 0:
                    test += path + end
                else:
                    train += f"{path} {number}{end}"
                (base / "UCF-101" / name).mkdir(parents=True, exist_ok=True)
                (base / "UCF-101" / path).touch()
        (lists / f"trainlist{split:02d}.txt").write_bytes(train.encode())
        (lists / f"testlist{split:02d}.txt").write_bytes(test.encode())
    return base


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return make_ucf101(tmp_path / "ucf", {"YoYo": 6, "Archery": 5, "Punch": 4})


def video(base: Path, class_name: str, group: int) -> Path:
    return base / "UCF-101" / class_name / f"v_{class_name}_g{group:02d}_c01.avi"


def add_line(base: Path, name: str, line: str) -> None:
    with (base / "ucfTrainTestlist" / name).open("a") as handle:
        handle.write(line + "\n")


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


def make_folder(base: Path, stems: Mapping[str, list[str]]) -> Path:
    for name, of_class in stems.items():
        (base / name).mkdir(parents=True)
        for stem in of_class:
            (base / name / f"{stem}.mp4").touch()
    return base


def stems(prefix: str, groups: int, clips: int = 2) -> list[str]:
    return [f"{prefix}_g{group:02d}_{clip}" for group in range(groups) for clip in range(clips)]


def test_folder_source_tests_each_video_once_and_keeps_groups_whole(tmp_path):
    base = make_folder(tmp_path / "sports", {"run": stems("run", 6), "jump": stems("jump", 4)})
    found = find_folder(base, classes=None, group_pattern=PATTERN, seed=0)
    assert (found.name, found.complete, found.classes) == ("folder sports", True, ["jump", "run"])
    assert sorted(i for split in SPLITS for i in found.test[split]) == sorted(found.clips)
    for split, members in assign_parts(found, 1, 0).items():
        assert sorted([*found.train[split], *found.test[split]]) == sorted(found.clips)
        assert {m.label for m in members if m.part == "train"} == {0, 1}
    other = find_folder(base, classes=None, group_pattern=PATTERN, seed=1)
    assert other.test != found.test
    assert found == find_folder(base, classes=None, group_pattern=PATTERN, seed=0)


def test_folder_source_takes_chosen_classes_alone(tmp_path):
    base = make_folder(tmp_path, {name: stems(name, 3) for name in ("a", "b", "c")})
    found = find_folder(base, classes=["c", "a"], group_pattern=PATTERN, seed=0)
    assert found.classes == ["a", "c"]
    assert {clip.class_name for clip in found.clips.values()} == {"a", "c"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"run": ["run_g01_1", "take7"], "jump": stems("jump", 3)}, r"take7: data\.group_pattern .* finds no group"),
        ({"run": stems("run", 2), "jump": stems("jump", 3)}, "class run: 2 groups; 3 splits need as many"),
        ({"run": stems("run", 3)}, r"one folder of videos per class, two at least; has \['run'\]"),
        ({}, r"has \[\]"),
        ({"run": stems("x", 3), "jump": stems("x", 3)}, "have the same stem; rename one"),
    ],
)
def test_folder_source_refusals(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        find_folder(make_folder(tmp_path / "data", content), classes=None, group_pattern=PATTERN, seed=0)


def test_folder_with_lists_follows_them(layout):
    base = layout / VIDEOS
    shutil.move(layout / LISTS, base / LISTS)
    found = find_folder(base, classes=None, group_pattern=r"^v_(.+_g\d+)_", seed=0)
    assert (found.name, found.complete) == ("folder UCF-101", True)
    assert found.classes == ["YoYo", "Archery", "Punch"], "the class index gives the order"
    assert found.test[3] == ["v_YoYo_g03_c01", "v_YoYo_g06_c01", "v_Archery_g03_c01", "v_Punch_g03_c01"]
    assert found.clips["v_Punch_g02_c01"].group == "Punch_g02"
    video(layout, "YoYo", 2).unlink()
    with pytest.raises(DataError, match="1 of 15 listed videos are missing"):
        find_folder(base, classes=None, group_pattern=PATTERN, seed=0)
    part = find_folder(base, classes=None, group_pattern=PATTERN, seed=0, present=True)
    assert (part.name, part.complete) == ("folder UCF-101 (part)", False)


def test_folder_source_takes_so_many_clips_of_each_class(tmp_path):
    base = make_folder(tmp_path, {"run": stems("run", 9, 1), "jump": stems("jump", 12, 1)})
    found = find_folder(base, classes=None, clips_per_class=6, group_pattern=PATTERN, seed=0)
    assert sorted(clip.class_name for clip in found.clips.values()) == ["jump"] * 6 + ["run"] * 6


@given(st.dictionaries(st.text(min_size=1), st.sampled_from("abc")), st.integers(1, 5))
def test_spread_draws_so_many_of_each_class_and_grows(class_of, count):
    few, more = spread(class_of, count), spread(class_of, count + 1)
    assert few <= more <= set(class_of)
    for name in set(class_of.values()):
        of_class = {stem for stem, other in class_of.items() if other == name}
        assert len(few & of_class) == min(count, len(of_class))


def make_hmdb51(base: Path, classes: tuple[str, ...] = ("kick", "brush_hair")) -> Path:
    """Each class has five scenes of two clips; the last is unused, the first trains, the others test."""
    (base / HMDB51_LISTS).mkdir(parents=True)
    for name in classes:
        (base / HMDB51_VIDEOS / name).mkdir(parents=True)
        for split in SPLITS:
            lines = ""
            for scene in range(5):
                flag = 0 if scene == 4 else 2 if scene == split else 1
                for clip in range(2):
                    stem = f"Film_#{scene}_{name}_u_nm_np1_fr_goo_{clip}"
                    lines += f"{stem}.avi {flag} \r\n"
                    (base / HMDB51_VIDEOS / name / f"{stem}.avi").touch()
            (base / HMDB51_LISTS / f"{name}_test_split{split}.txt").write_text(lines)
    return base


def test_hmdb51_by_its_flags(tmp_path):
    found = find_hmdb51(make_hmdb51(tmp_path))
    assert (found.name, found.complete, found.classes) == ("hmdb51", True, ["brush_hair", "kick"])
    assert len(found.clips) == 20
    splits = assign_parts(found, 1, 0)
    for split, members in splits.items():
        assert [member.part for member in members].count("test") == 4
        assert {found.clips[m.id].group for m in members if m.part == "test"} == {
            f"Film_#{split}_{name}_u_nm_np1_fr_goo" for name in found.classes
        }
        assert not [member for member in members if "#4" in member.id], "flag 0 is in no part"


def test_part_of_hmdb51_is_called_so(tmp_path):
    base = make_hmdb51(tmp_path, ("kick", "run", "wave"))
    found = find_hmdb51(base, classes=["wave", "kick"])
    assert (found.name, found.classes, len(found.clips)) == ("hmdb51 (part)", ["kick", "wave"], 20)
    assert find_hmdb51(base, clips_per_class=3).name == "hmdb51 (part)"
    assert len(find_hmdb51(base, clips_per_class=3).clips) == 9
    next((base / HMDB51_VIDEOS / "run").glob("*.avi")).unlink()
    assert len(find_hmdb51(base, present=True).clips) == 29
    with pytest.raises(DataError, match=r"1 of 30 listed videos are missing, first run/Film_#"):
        find_hmdb51(base)


def test_hmdb51_refusals(tmp_path):
    base = make_hmdb51(tmp_path)
    (base / HMDB51_VIDEOS / "kick" / "other_0.avi").touch()
    with pytest.raises(DataError, match=r"1 videos are in no list, first .*other_0\.avi"):
        find_hmdb51(base)
    (base / HMDB51_LISTS / "kick_test_split2.txt").unlink()
    with pytest.raises(DataError, match=r"1 lists are missing, first kick_test_split2\.txt"):
        find_hmdb51(base)
    with pytest.raises(DataError, match="for two classes at least"):
        find_hmdb51(tmp_path / "absent")


def test_measure_describes_each_file(demo_folder):
    found = find_ucf101(demo_folder, "demo")
    assert found.classes == classes()
    chosen = [found.clips[i] for i in sorted(found.clips)[:3]]
    videos = measure(reversed(chosen), demo_folder, jobs=1)
    assert [video.id for video in videos] == [clip.id for clip in chosen]
    first = videos[0]
    assert (first.codec, first.fps, first.width, first.height, first.frames) == ("mpeg4", 25.0, 64, 64, 12)
    assert first.path == f"UCF-101/{first.class_name}/{first.id}.avi"
    assert first.sha256 == sha256_file(demo_folder / first.path)
    assert first.bytes == (demo_folder / first.path).stat().st_size


def test_unreadable_videos_are_all_listed_by_name(demo_folder, tmp_path):
    good = next(iter(find_ucf101(demo_folder, "demo").clips.values()))
    (tmp_path / "noise.avi").write_bytes(b"no video" * 100)
    (tmp_path / "empty.avi").touch()
    shutil.copy(good.path, tmp_path / "good.avi")
    clips = [Clip(name, "A", "g", tmp_path / f"{name}.avi") for name in ("noise", "good", "empty", "gone")]
    with pytest.raises(DataError, match="3 of 4 videos cannot be used") as caught:
        measure(clips, tmp_path, jobs=1)
    for name in ("noise.avi", "empty.avi", "gone.avi"):
        assert str(tmp_path / name) in str(caught.value)
    assert "good.avi" not in str(caught.value)


def test_demo_data_gives_splits_that_train_every_class(demo_folder):
    splits = assign_parts(find_ucf101(demo_folder, "demo"), 1, 0)
    for members in splits.values():
        parts = [member.part for member in members]
        assert [parts.count(part) for part in ("train", "val", "test")] == [12, 12, 12]


OFFICIAL = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}


def test_official_lists_of_ucf101(real_ucf101):
    folder = real_ucf101 / "ucfTrainTestlist"
    index = read_class_index(folder / "classInd.txt")
    assert (len(index), index[36]) == (101, "HandstandPushups")
    for split, counts in OFFICIAL.items():
        listed = [read_list(folder / f"{part}list{split:02d}.txt", index) for part in ("train", "test")]
        assert tuple(map(len, listed)) == counts
        assert not {video.id for video in listed[0]} & {video.id for video in listed[1]}


def test_whole_data_set_is_held_against_the_official_numbers(real_ucf101, layout):
    with pytest.raises(DataError, match=r"source ucf101: the class index has 3 classes, UCF101 has 101"):
        check_official(find_ucf101(layout, "ucf101"))
    check_official(find_ucf101(layout, "ucf101", clips_per_class=1))
    index = read_class_index(real_ucf101 / LISTS / "classInd.txt")
    parts = {
        part: {k: [v.id for v in read_list(real_ucf101 / LISTS / f"{part}list0{k}.txt", index)] for k in SPLITS}
        for part in ("train", "test")
    }
    whole = Dataset("ucf101", True, index, {}, parts["train"], parts["test"])
    check_official(whole)
    with pytest.raises(DataError, match=r"split 2 lists 9585 training and 3734 test videos, .* 9586 and 3734"):
        check_official(replace(whole, train=parts["train"] | {2: parts["train"][2][1:]}))
    assert len(listed_videos(real_ucf101)) == 13320
    part = listed_videos(real_ucf101, clips_per_class=20)
    assert len(part) == 2020
    groups = {stem.split("_")[2] for stem, video in part.items() if video.class_name == "YoYo"}
    assert len(groups) > 8, "over many groups, so that no split lacks a class"


def test_real_clips_as_a_whole_are_refused_and_as_a_part_are_found(real_ucf101):
    with pytest.raises(DataError, match=r"13192 of 13320 listed videos are missing, first ApplyEyeMakeup/"):
        find_ucf101(real_ucf101, "ucf101")
    found = find_ucf101(real_ucf101, "ucf101", present=True)
    assert (len(found.clips), len(found.classes), found.name) == (128, 101, "ucf101 (part)")
    for members in assign_parts(found, 1, 0).values():
        assert len(members) == 128


def test_two_real_classes_split_by_groups(real_ucf101):
    found = find_folder(real_ucf101 / "UCF-101", classes=["YoYo", "Punch"], group_pattern=PATTERN, seed=0)
    assert (len(found.clips), found.classes) == (69, ["Punch", "YoYo"])
    for members in assign_parts(found, 1, 0).values():
        assert {(m.label, m.part) for m in members} == {(k, part) for k in (0, 1) for part in ("train", "val", "test")}
