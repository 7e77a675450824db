"""Folders and lists as people have them: parts as folders, litter, nesting, encodings, copies, what came later."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from moclip.base.errors import DataError
from moclip.data.added import added_videos
from moclip.data.dataset import assign_parts
from moclip.data.duplicates import conflicts, described, twins
from moclip.data.folder import find_folder
from moclip.data.lists import read_class_index, read_list
from moclip.data.manifest import Video, read_manifest, write_manifest
from moclip.data.splits import Member
from moclip.data.walk import walk

PATTERN = r"_(g\d+)_"


def touch(base: Path, *names: str) -> Path:
    for name in names:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()
    return base


def find(base: Path, **options: object) -> object:
    return find_folder(base, **{"classes": None, "group_pattern": PATTERN, "seed": 0, **options})  # type: ignore[arg-type]


def plain(base: Path) -> Path:
    return touch(base, *(f"{name}/{name}_g{g}_1.mp4" for name in ("run", "jump") for g in range(3)))


@pytest.mark.parametrize(("train", "held"), [("train", "val"), ("Training", "validation"), ("train", "test")])
def test_folders_of_parts_are_the_split_that_they_are(tmp_path: Path, train: str, held: str) -> None:
    names = [f"{train}/{c}/{i}.mp4" for c in ("run", "jump") for i in range(4)]
    touch(tmp_path, *names, *(f"{held}/{c}/{i}.mp4" for c in ("run", "jump") for i in range(2)))
    found = find_folder(tmp_path, classes=None, group_pattern=PATTERN, seed=0)
    assert (list(found.train), found.val, found.classes) == ([1], None, ["jump", "run"])
    assert {found.clips[one].path.relative_to(tmp_path).parts[0] for one in found.test[1]} == {held}
    (members,) = assign_parts(found, 1, 0).values()
    parts = [member.part for member in members]
    assert (parts.count("train"), parts.count("val"), parts.count("test")) == (6, 2, 4)
    validated = {member.id for member in members if member.part == "val"}
    assert {found.clips[one].path.relative_to(tmp_path).parts[0] for one in validated} == {train}


def test_of_three_parts_the_validation_part_is_the_one_that_is_given(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{p}/{c}/{p}{c}{i}.mp4" for p in ("train", "val", "test") for c in "ab" for i in range(2)))
    found = find_folder(tmp_path, classes=None, group_pattern=PATTERN, seed=0)
    (members,) = assign_parts(found, 0, 0).values()
    assert {m.id for m in members if m.part == "val"} == {"vala0", "vala1", "valb0", "valb1"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/a/1.mp4", "train/b/2.mp4"], "has train alone, and a split needs train with val or test"),
        (["train/a/1.mp4", "train/b/2.mp4", "val/c/3.mp4"], r"val/c: a class that is not in .*train"),
        (["train/a/1.mp4", "train/b/2.mp4", "val/a/3.mp4", "more/x.mp4"], "more lies beside train, val"),
        (["train/a/1.mp4", "training/b/2.mp4", "val/a/3.mp4"], "both stand for the part train"),
    ],
)
def test_parts_that_are_no_split_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find(touch(tmp_path, *names))


def test_a_class_called_train_is_one(tmp_path: Path) -> None:
    base = touch(tmp_path, *(f"{name}/{name}_g{g}_1.mp4" for name in ("train", "bus") for g in range(3)))
    assert find_folder(base, classes=None, group_pattern=PATTERN, seed=0).classes == ["bus", "train"]


def test_litter_is_ignored_and_said_by_its_cause(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base = touch(
        plain(tmp_path),
        *(
            ".ipynb_checkpoints/x.mp4",
            "__MACOSX/run/._a.mp4",
            "run/._a.mp4",
            ".DS_Store",
            "readme.txt",
            "run/notes.txt",
        ),
    )
    found = find_folder(base, classes=None, group_pattern=PATTERN, seed=0)
    assert (found.classes, len(found.clips)) == (["jump", "run"], 6)
    assert "4 files, first" in caplog.text
    assert "left out: hidden" in caplog.text
    assert "beside the folders of classes, so of no class" in caplog.text
    assert "run/notes.txt, left out: no video by its ending" in caplog.text


def test_a_class_without_videos_is_refused_by_name(tmp_path: Path) -> None:
    (plain(tmp_path) / "empty").mkdir()
    with pytest.raises(DataError, match=r"class empty: .*empty holds no video; fill it or remove it"):
        find(tmp_path)


def test_nested_and_linked_folders_are_read_and_loops_are_not(tmp_path: Path) -> None:
    base = touch(plain(tmp_path / "data"), "run/more/run_g9_1.MTS")
    touch(tmp_path / "elsewhere", "run_g8_1.m2ts")
    (base / "run" / "link").symlink_to(tmp_path / "elsewhere")
    (base / "run" / "loop").symlink_to(base / "run")
    found = find_folder(base, classes=None, group_pattern=PATTERN, seed=0)
    assert {"run_g9_1", "run_g8_1"} <= set(found.clips)
    assert found.clips["run_g9_1"].class_name == "run"
    assert [path.name for path in walk(base).left_out["a link to a folder that it lies in"]] == ["loop"]


def test_a_name_that_is_not_utf8_is_refused_by_name(tmp_path: Path) -> None:
    plain(tmp_path)
    os.close(os.open(os.fsencode(tmp_path) + b"/run/caf\xe9_g1_1.mp4", os.O_CREAT))
    with pytest.raises(DataError, match=r"1 names are not UTF-8, first .*caf\\xe9_g1_1\.mp4; rename them"):
        find(tmp_path)


def test_a_wrong_root_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data/none: is not there \(of its path, .* is\).*data\.root"):
        find(tmp_path / "data" / "none")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_lists_are_read_in_the_encodings_that_people_have(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "c.txt").write_bytes("1 Größe\r\n2 Horse Riding\r\n".encode(encoding))
    (tmp_path / "l.txt").write_bytes("Größe/a é.avi 1\nHorse Riding/b c.MP4 2\n".encode(encoding))
    index = read_class_index(tmp_path / "c.txt")
    assert index == ["Größe", "Horse Riding"]
    assert read_list(tmp_path / "l.txt", index) == {"a é": "Größe", "b c": "Horse Riding"}


def test_bytes_of_several_meanings_are_refused_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"A/a.avi 1\nA/\x93b\x94.avi 1\n")
    with pytest.raises(DataError, match=r"line 2 is neither UTF-8 nor Latin-1.*save it as UTF-8"):
        read_list(tmp_path / "l.txt", ["A"])


def test_numbers_from_zero_are_read_where_a_zero_says_so(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("0 A\n1 B\n")
    assert read_class_index(tmp_path / "c.txt") == ["A", "B"]
    (tmp_path / "l.txt").write_text("A/a.avi 0\nB/b.avi 1\n")
    assert read_list(tmp_path / "l.txt", ["A", "B"]) == {"a": "A", "b": "B"}
    (tmp_path / "l.txt").write_text("A/a.avi 0\nB/b.avi 2\n")
    with pytest.raises(DataError, match=r"b\.avi has number 2, but the class index gives B the number 1 \(line 2\)"):
        read_list(tmp_path / "l.txt", ["A", "B"])


def video(stem: str, class_name: str, sha256: str) -> Video:
    return Video(stem, class_name, stem, f"{class_name}/{stem}.avi", 9, sha256, "mpeg4", 25.0, 64, 64, 9)


def test_the_same_bytes_in_two_parts_or_classes_are_found_and_within_one_only_counted() -> None:
    videos = [
        video("a", "A", "1"),
        video("b", "A", "1"),
        video("c", "B", "2"),
        video("d", "A", "2"),
        video("e", "A", "1"),
    ]
    splits = {1: [Member(one.id, 0, "test" if one.id == "e" else "train", one.id) for one in videos]}
    same = twins(videos)
    found = conflicts(same, splits)
    assert [str(pair) for pair in found] == [
        "a and e are the same file byte by byte, in train and test of split 1",
        "c and d are the same file byte by byte, of the classes B and A",
    ]
    assert described(same, found)["duplicates"]["across_parts_or_classes"] == 2
    alone = twins(videos[:2])
    assert conflicts(alone, splits) == []
    assert described(alone, [])["duplicates"]["videos"] == 2
    assert described([], []) == {}


def test_what_was_added_later_is_found_and_chosen_parts_are_no_addition(tmp_path: Path) -> None:
    base = plain(tmp_path)
    rows = [(f"{n}/{n}_g{g}_1.mp4", n) for n in ("run", "jump") for g in range(3)]
    assert added_videos(base, rows, {}) == []
    touch(base, "run/deep/new.mp4", "fly/other.MTS", "root.mp4")
    assert added_videos(base, rows, {}) == ["fly/other.MTS", "run/deep/new.mp4"]
    assert added_videos(base, rows, {"classes": ["run", "jump"]}) == ["run/deep/new.mp4"]
    assert added_videos(base, rows, {"clips_per_class": 3}) == []


def test_damage_and_notes_have_columns_where_there_are_any(tmp_path: Path) -> None:
    one = video("a", "A", "1")
    write_manifest(tmp_path / "m.csv", [one])
    assert "damage" not in (tmp_path / "m.csv").read_text()
    bad = replace(one, damage="cut off", note="states no length")
    write_manifest(tmp_path / "m.csv", [bad, replace(one, id="b")])
    assert read_manifest(tmp_path / "m.csv") == {"a": bad, "b": replace(one, id="b")}
