import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from moclip.base.errors import DataError
from moclip.data.dataset import SPLITS, assign_parts
from moclip.data.folder import find_folder
from moclip.data.ucf101 import LISTS, VIDEOS
from tests.support.datasets import video

PATTERN = r"_(g\d+)_"


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
        (
            {"run": ["run_g01_1", "take7"], "jump": stems("jump", 3)},
            r"take7: data\.group_pattern .* finds no group.*\(\.\*\) ",
        ),
        ({"run": stems("run", 2), "jump": stems("jump", 3)}, "class run: 2 groups; 3 splits need as many"),
        ({"run": stems("run", 3)}, r"one folder of videos per class, two at least; has \['run'\]"),
        ({}, r"has \[\]"),
        ({"run": [*stems("x", 3), "jump-x_g00_0"], "jump": stems("x", 3)}, "both have the id jump-x_g00_0; rename one"),
    ],
)
def test_folder_source_refusals(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        find_folder(make_folder(tmp_path / "data", content), classes=None, group_pattern=PATTERN, seed=0)


def test_equal_names_in_two_classes_are_two_videos_and_other_ids_stay(tmp_path: Path) -> None:
    names = {"One": ["1", "2", "3", "own"], "Two": ["1", "2", "3"]}
    base = make_folder(tmp_path / "data", names)
    found = find_folder(base, classes=None, group_pattern="(.*)", seed=0)
    assert sorted(found.clips) == ["One-1", "One-2", "One-3", "Two-1", "Two-2", "Two-3", "own"]
    assert {stem: clip.path.relative_to(base).as_posix() for stem, clip in found.clips.items()} == {
        stem: f"{stem.replace('-', '/') if '-' in stem else 'One/own'}.mp4" for stem in found.clips
    }
    assert {clip.class_name for stem, clip in found.clips.items() if stem.startswith("Two")} == {"Two"}
    assert found.clips["One-1"].group == found.clips["Two-1"].group == "1", "a recording in two classes never leaks"
    assert found == find_folder(base, classes=None, group_pattern="(.*)", seed=0)
    fewer = find_folder(base, classes=None, clips_per_class=3, group_pattern="(.*)", seed=0)
    assert fewer.clips.keys() < found.clips.keys()


def test_the_pattern_that_a_refusal_names_helps(tmp_path):
    base = make_folder(tmp_path / "data", {"run": ["run1", "take7", "x"], "jump": ["a", "b", "c"]})
    with pytest.raises(DataError, match=r"data\.group_pattern: (\S+) takes") as refused:
        find_folder(base, classes=None, group_pattern=PATTERN, seed=0)
    named = re.search(r"data\.group_pattern: (\S+) takes", str(refused.value))[1]
    found = find_folder(base, classes=None, group_pattern=named, seed=0)
    assert {stem: clip.group for stem, clip in found.clips.items()} == {stem: stem for stem in found.clips}


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


def test_two_real_classes_split_by_groups(real_ucf101):
    found = find_folder(real_ucf101 / "UCF-101", classes=["YoYo", "Punch"], group_pattern=PATTERN, seed=0)
    assert (len(found.clips), found.classes) == (69, ["Punch", "YoYo"])
    for members in assign_parts(found, 1, 0).values():
        assert {(m.label, m.part) for m in members} == {(k, part) for k in (0, 1) for part in ("train", "val", "test")}
