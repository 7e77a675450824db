from pathlib import Path

import pytest

from moclip.base.errors import DataError
from moclip.data.dataset import SPLITS, assign_parts
from moclip.data.hmdb51 import HMDB51_LISTS, HMDB51_VIDEOS, find_hmdb51, scene_of


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


def test_scene_is_the_stem_without_its_last_number():
    assert scene_of("April_09_brush_hair_u_nm_np1_ba_goo_12") == "April_09_brush_hair_u_nm_np1_ba_goo"
    with pytest.raises(DataError, match="video: not of the form <scene>_<number>"):
        scene_of("video")
