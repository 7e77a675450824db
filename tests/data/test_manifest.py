import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))
counts = st.integers(0, 2**40)
rows = st.lists(
    st.builds(
        Video,
        *(texts, texts, texts, texts, counts, st.from_regex("[0-9a-f]{64}", fullmatch=True), texts),
        *(st.floats(0, 1e6), counts, counts, counts, texts, texts),
    ),
    unique_by=lambda video: video.id,
)


@given(rows)
def test_videos_come_back_as_they_were_and_are_found_by_their_ids(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Video]
) -> None:
    path = tmp_path_factory.mktemp("manifests") / "m.csv"
    write_manifest(path, rows)
    read, videos = read_manifest(path), sorted(rows, key=lambda video: video.id)
    assert list(read.videos) == list(read.values()) == videos
    assert list(read.items()) == [(video.id, video) for video in videos]
    assert [read[video.id] for video in rows] == rows
    assert "\x07" not in read  # no id has such a letter
    again = path.with_name("again.csv")
    write_manifest(again, read.videos)
    assert again.read_bytes() == path.read_bytes()


def many(path: Path, count: int) -> list[str]:
    """Lines of a manifest whose rows have 165 bytes."""
    lines = []
    for number in range(count):
        group = f"v_{number % 400:03d}_Doing_g{number // 4:05d}"
        name = f"{group}_c{number % 4:02d}"
        digest = sha256(name.encode()).hexdigest()
        lines.append(
            f"{name},Doing{number % 400:03d},{group},videos/Doing{number % 400:03d}/{name}.avi,{500_000 + number},"
            f"{digest},mpeg4,{29.97 + number % 5:.2f},320,240,{100 + number % 300}"
        )
    path.write_text("\n".join([HEADER, *sorted(lines)]) + "\n")
    return sorted(lines)


def test_a_row_takes_a_tenth_of_the_memory_of_a_dataclass(tmp_path: Path) -> None:
    """Which took 1,650 bytes; reading takes no more than having."""
    count = 50_000
    lines = many(tmp_path / "m.csv", count)
    tracemalloc.start()
    try:
        videos = read_manifest(tmp_path / "m.csv")
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / count < 165
    assert peak / count < 330  # with a piece of texts, which does not grow with the file
    assert videos.videos[count // 2].sha256 == lines[count // 2].split(",")[5]


def test_a_manifest_in_another_order_keeps_it_and_finds_each_video(tmp_path: Path) -> None:
    lines = many(tmp_path / "m.csv", 3_000)
    random.Random(0).shuffle(lines)
    (tmp_path / "m.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    videos, ids = read_manifest(tmp_path / "m.csv"), [line.split(",")[0] for line in lines]
    assert list(videos) == ids
    assert [videos[one].id for one in ids] == ids
    (tmp_path / "m.csv").write_text("\n".join([HEADER, *lines, lines[1_500]]) + "\n")
    with pytest.raises(StoreError, match=f"id {ids[1_500]} stands twice"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("line", [2, 1_025, 1_026, 3_001])
@pytest.mark.parametrize(
    ("torn", "message"),
    [
        (lambda row: row.rsplit(",", 1)[0], "no value for column 'frames'"),
        (lambda row: f"{row},{row}", "22 values for 11 columns"),
        (lambda row: row.replace(",mpeg4,", ",mpeg4,x"), "column 'fps' must be a number, is 'x"),
    ],
)
def test_a_torn_row_is_named_wherever_it_stands(
    tmp_path: Path, line: int, torn: Callable[[str], str], message: str
) -> None:
    lines = [HEADER, *many(tmp_path / "m.csv", 3_000)]
    lines[line - 1] = torn(lines[line - 1])
    (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(StoreError, match=rf"m\.csv, line {line}: {message}"):
        read_manifest(tmp_path / "m.csv")


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
        (read_manifest, f"{HEADER}\n{ROW.replace(',1,e', f',{2**63},e')}", "a whole number has more than 64 bits"),
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
