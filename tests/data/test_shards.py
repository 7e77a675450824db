"""Videos in tars are the data set that they are in folders: the same ids, splits, motion, and pictures for CLIP."""

import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moclip.base.errors import DataError, VideoError
from moclip.cli.data import verify
from moclip.clip.cache import pictures_of
from moclip.data.added import added_videos
from moclip.data.dataset import Dataset, assign_parts
from moclip.data.folder import find_folder
from moclip.data.manifest import Video, checked_path, read_manifest, write_manifest
from moclip.data.measure import measure
from moclip.motion.extract import MotionOptions, VideoFile, extract
from moclip.video.container import read_containers
from tests.support.clips import encode, scrolling
from tests.support.trees import content

PATTERN = r"_(g\d+)_"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("data") / "folder"
    for number, name in enumerate(("jump", "run")):
        (base / name).mkdir(parents=True)
        for group in range(4):
            stem = f"v_g{group}_{number}"
            ending, codec = (("avi", "mpeg4"), ("mp4", "libx264"))[group % 2]
            encode(base / name / f"{stem}.{ending}", scrolling(5 + group, 1 + number, group, 64, 64), codec)
    return base


def packed(folder: Path, base: Path, *, count: int = 2, into: str = "") -> Path:
    """The same files in tars, dealt out in turn, with what webdataset puts beside each."""
    (base / into).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        with tarfile.open(base / into / f"shard-{number:06d}.tar", "w") as archive:
            for path in sorted(folder.rglob("*.*"))[number::count]:
                archive.add(path, path.relative_to(folder).as_posix())
    return base


def found(base: Path) -> Dataset:
    return find_folder(base, classes=None, group_pattern=PATTERN, seed=0)


def rows(base: Path) -> list[Video]:
    return measure(found(base).clips.values(), base, jobs=1)


def made(base: Path, videos: list[Video], work: Path) -> Mapping[str, bytes]:
    files = [VideoFile(video.id, base / video.path, video.sha256) for video in videos]
    extract(files, work / "store", work / "work", MotionOptions(), jobs=2)
    return content(work / "store")


def test_tars_give_what_a_folder_gives(folder: Path, tmp_path: Path) -> None:
    tars = packed(folder, tmp_path / "tars")
    one, other = found(folder), found(tars)
    assert assign_parts(one, 1, 0) == assign_parts(other, 1, 0)
    plain, members = rows(folder), rows(tars)
    assert members[1].path == "shard-000000.tar/run/v_g0_1.avi"
    assert [replace(video, path="") for video in members] == [replace(video, path="") for video in plain]
    write_manifest(tmp_path / "m.csv", members)
    assert list(read_manifest(tmp_path / "m.csv").videos) == members
    verify(read_manifest(tmp_path / "m.csv"), tars)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    assert made(folder, plain, tmp_path / "a") == made(tars, members, tmp_path / "b")
    frames = {video.id: np.array([0, 3]) for video in plain}
    seen = [pictures_of(plain, frames, folder), pictures_of(members, frames, tars)]
    np.testing.assert_array_equal(*map(np.array, seen))
    traits = [
        read_containers({video.id: checked_path(base, video) for video in videos}, jobs=1)
        for base, videos in ((folder, plain), (tars, members))
    ]
    assert traits[0] == traits[1]


def test_a_changed_byte_of_a_member_is_named(folder: Path, tmp_path: Path) -> None:
    tars = packed(folder, tmp_path / "tars")
    videos = rows(tars)
    tar = tars / "shard-000000.tar"
    with tarfile.open(tar) as archive:
        at = archive.getmember("run/v_g0_1.avi").offset_data
    with tar.open("r+b") as file:
        file.seek(at + 300)
        byte = file.read(1)
        file.seek(at + 300)
        file.write(bytes([byte[0] ^ 1]))
    changed = next(video for video in videos if video.id == "v_g0_1")
    with pytest.raises(DataError, match=r"v_g0_1: .*shard-000000\.tar/run/v_g0_1\.avi has changed since the manifest"):
        checked_path(tars, changed)
    with pytest.raises(VideoError, match=r"1 of 8 videos(?s:.*)tar/run/v_g0_1\.avi: its bytes are not those"):
        made(tars, videos, tmp_path)
    with pytest.raises(DataError, match=r"1 of 8 videos(?s:.*)v_g0_1: .*has other contents"):
        verify({video.id: video for video in videos}, tars)
    tar.write_bytes(tar.read_bytes()[:5_000])
    with pytest.raises(DataError, match=r"4 of 8 videos(?s:.*)shard-000000\.tar: is no tar, or a torn one"):
        verify({video.id: video for video in videos}, tars)


def test_folders_of_parts_hold_tars_too(folder: Path, tmp_path: Path) -> None:
    plain, tars = tmp_path / "plain", tmp_path / "tars"
    for part, groups in (("train", "012"), ("test", "3")):
        for path in sorted(folder.rglob("*.*")):
            if path.stem[3] in groups:
                place = plain / part / path.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())
        packed(plain / part, tars, into=part)
    assert assign_parts(found(tars), 1, 0) == assign_parts(found(plain), 1, 0)
    with tarfile.open(tmp_path / "tars" / "whole.tar", "w") as archive:
        archive.add(plain, ".")
    (tmp_path / "one").mkdir()
    (tmp_path / "tars" / "whole.tar").rename(tmp_path / "one" / "whole.tar")
    with pytest.raises(DataError, match=r"whole\.tar: has parts of a split in it; put tars .* into te?[sr]"):
        found(tmp_path / "one")


def test_ids_name_the_class_and_not_the_tar(tmp_path: Path) -> None:
    names = {"One": ["1_g1_", "2_g2_", "3_g3_"], "Two": ["1_g1_", "2_g2_", "4_g3_"]}
    for name, stems in names.items():
        for stem in stems:
            (tmp_path / "folder" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "folder" / name / f"{stem}.mp4").touch()
    tars = packed(tmp_path / "folder", tmp_path / "tars")
    assert list(found(tars).clips) == list(found(tmp_path / "folder").clips)
    (tars / "shard-000002.tar").write_bytes((tars / "shard-000000.tar").read_bytes())
    with pytest.raises(DataError, match=r"would both have the id One-1_g1_; rename one"):
        found(tars)


def test_what_beside_tars_is_left_out_is_told_or_refused(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tars = packed(folder, tmp_path / "tars")
    (tmp_path / "000.cls").write_text("run")
    with tarfile.open(tars / "shard-000000.tar", "a") as archive:
        archive.add(tmp_path / "000.cls", "run/v_g0_1.cls")
        archive.add(tmp_path / "000.cls", "flat.mp4")
        archive.add(tmp_path / "000.cls", "run/._v_g0_1.avi")
    assert len(found(tars).clips) == 8
    assert "flat.mp4, left out: in a tar and there in no folder, so of no class" in caplog.text
    assert "v_g0_1.cls, left out: no video by its ending" in caplog.text
    assert "._v_g0_1.avi, left out: hidden" in caplog.text
    (tars / "more.tar.gz").touch()
    with pytest.raises(DataError, match=r"more\.tar\.gz: is compressed, .*gunzip"):
        found(tars)


def test_a_tar_beside_folders_of_classes_is_left_out_as_before(folder: Path, tmp_path: Path) -> None:
    packed(folder, tmp_path)
    for path in folder.rglob("*.*"):
        place = tmp_path / path.relative_to(folder)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())
    assert {clip.path.parent.parent for clip in found(tmp_path).clips.values()} == {tmp_path}


def test_tars_and_members_that_came_later_are_found(folder: Path, tmp_path: Path) -> None:
    tars = packed(folder, tmp_path / "tars")
    listed = [(video.path, video.class_name) for video in rows(tars)]
    assert added_videos(tars, listed, {}) == []
    with tarfile.open(tars / "shard-000000.tar", "a") as archive:
        archive.add(folder / "run" / "v_g0_1.avi", "run/new.avi")
    with tarfile.open(tars / "shard-000007.tar", "w") as archive:
        archive.add(folder / "run" / "v_g0_1.avi", "run/newer.avi")
    assert added_videos(tars, listed, {}) == ["shard-000000.tar/run/new.avi", "shard-000007.tar/run/newer.avi"]
