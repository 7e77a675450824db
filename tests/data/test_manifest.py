from dataclasses import replace
from pathlib import Path

import pytest

from moclip.base.errors import DataError, StoreError
from moclip.base.files import sha256_file
from moclip.data.manifest import Video, checked_path, read_classes, read_manifest, write_classes, write_manifest
from moclip.data.splits import Member, read_members, write_split

VIDEO = Video("v_YoYo_g01_c01", "YoYo", "YoYo_g01", "UCF-101/YoYo/a.avi", 9, "0" * 64, "mpeg4", 29.97, 320, 240, 120)
HEADER = "id,class,group,path,bytes,sha256,codec,fps,width,height,frames"
ROW = "a,b,c,d,1,e,f,25.0,1,1,1\n"


def test_round_trip_is_sorted_by_id_and_keeps_every_field(tmp_path):
    other = replace(VIDEO, id="a", fps=25.0, class_name="NA")
    write_manifest(tmp_path / "m.csv", [VIDEO, other])
    assert read_manifest(tmp_path / "m.csv") == {"a": other, VIDEO.id: VIDEO}
    lines = (tmp_path / "m.csv").read_text().splitlines()
    assert lines[0] == HEADER
    assert lines[2] == f"v_YoYo_g01_c01,YoYo,YoYo_g01,UCF-101/YoYo/a.avi,9,{'0' * 64},mpeg4,29.97,320,240,120"


def test_names_that_look_like_numbers_or_gaps_stay_text(tmp_path):
    odd = replace(VIDEO, id="007", class_name="1e3", group="01", path="null", sha256="1" * 64)
    write_manifest(tmp_path / "m.csv", [odd])
    assert read_manifest(tmp_path / "m.csv") == {"007": odd}
    write_split(tmp_path / "s.csv", [Member("007", 0, "train", "01"), Member("NA", 1, "test", "null")])
    assert read_members(tmp_path / "s.csv") == [Member("007", 0, "train", "01"), Member("NA", 1, "test", "null")]
    write_classes(tmp_path / "c.csv", ["02", "NA", "True"])
    assert read_classes(tmp_path / "c.csv") == ["02", "NA", "True"]


def test_class_order_is_kept_and_split_order_is_by_id(tmp_path):
    write_classes(tmp_path / "c.csv", ["YoYo", "Archery"])
    assert (tmp_path / "c.csv").read_text() == "index,name\n0,YoYo\n1,Archery\n"
    assert read_classes(tmp_path / "c.csv") == ["YoYo", "Archery"]
    write_split(tmp_path / "s.csv", [Member("b", 1, "val", "h"), Member("a", 0, "test", "g")])
    assert (tmp_path / "s.csv").read_text() == "id,label,part,group\na,0,test,g\nb,1,val,h\n"


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_manifest, "id,class\na,b\n", r"columns must be \['id', 'class', 'group'.*are \['id', 'class'\]"),
        (read_manifest, f"{HEADER}\n{ROW}{ROW}", "id a stands twice"),
        (read_members, "id,label,part,group\na,0,dev,g\n", r"part 'dev' is none of \('train', 'val', 'test'\)"),
        (read_members, "id,part\na,train\n", r"columns must be \['id', 'label', 'part', 'group'\]"),
        (read_manifest, f"{HEADER}\n{ROW.replace('25.0', 'fast')}", "line 2: column 'fps' must be a number, is 'fast'"),
        (read_manifest, f"{HEADER}\na,b\n", "line 2: no value for column 'group'"),
        (read_members, "id,label,part,group\na,x,test,g\n", "line 2: column 'label' must be a whole number, is 'x'"),
        (read_classes, "", r"columns must be .*, are \[\]"),
        (read_classes, None, "there is no such file"),
    ],
)
def test_foreign_tables_are_refused(tmp_path, read, text, message):
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StoreError, match=rf"t\.csv.*{message}"):
        read(path)


@pytest.fixture
def stored(tmp_path: Path) -> Video:
    path = tmp_path / VIDEO.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the video")
    return replace(VIDEO, sha256=sha256_file(path))


def test_file_is_checked_before_it_is_opened(tmp_path, stored):
    assert checked_path(tmp_path, stored).read_bytes() == b"the video"


def test_manifest_that_no_longer_matches_its_file(tmp_path, stored):
    (tmp_path / stored.path).write_bytes(b"The video")  # same size
    with pytest.raises(DataError, match=r"video v_YoYo_g01_c01: .*a\.avi has changed since the manifest.*dvc repro -f"):
        checked_path(tmp_path, stored)


def test_missing_file_is_named_with_a_remedy(tmp_path, stored):
    (tmp_path / stored.path).unlink()
    with pytest.raises(DataError, match=r"video v_YoYo_g01_c01: .*a\.avi is missing; bring it back"):
        checked_path(tmp_path, stored)
