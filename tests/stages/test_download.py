"""The stage `download` on sources that come over the network, from real videos to manifest and splits."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import DataError, ParamsError
from moclip.base.files import read_json
from moclip.data.manifest import read_manifest
from moclip.data.splits import read_members
from moclip.data.ucf101 import LISTS, VIDEOS
from stages import _entry, download
from tests.support.clips import encode, scrolling
from tests.support.imports import ROOT
from tests.support.servers import Site, serving


def run_stage(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    splits: tuple[int, ...] | list[int] = (1, 2, 3),
    sections: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    heads: Sequence[str] = (),
    **data: Any,
) -> None:
    params = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    params["heads"] += heads
    for name, values in sections.items():
        params[name] |= values
    params["data"] |= {"source": "ucf101", "root": "videos", "duplicates": "warn"} | data
    params["splits"] = list(splits)
    YAML().dump(params, folder / "params.yaml")
    _entry.all_params.cache_clear()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    words = ["--manifest", "m.csv", "--classes", "c.csv", "--splits", "splits", "--dataset", "d.json"]
    monkeypatch.setattr("sys.argv", ["download", *words])
    download.main()


def zipped(base: Path, prefix: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(path for path in base.rglob("*") if path.is_file()):
            archive.write(path, f"{prefix}/{path.name}")
    return buffer.getvalue()


def test_part_of_a_remote_zip_becomes_manifest_and_splits(
    demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(path.name for path in (demo_folder / VIDEOS).iterdir())[:2]
    files = {"/v.zip": zipped(demo_folder / VIDEOS, "UCF101"), "/l.zip": zipped(demo_folder / LISTS, "lists")}
    with serving(Site(files)) as site:
        given = {"archive": "thumos", "url": f"{site.url}/v.zip", "lists_url": f"{site.url}/l.zip", "classes": names}
        run_stage(tmp_path, monkeypatch, **given)
    assert '"name": "ucf101 (part)"' in (tmp_path / "d.json").read_text()
    videos = read_manifest(tmp_path / "m.csv")
    assert {video.class_name for video in videos.values()} == set(names)
    assert len(videos) == len(read_members(tmp_path / "splits/split2.csv")) == 6
    assert all(video.frames == 12 for video in videos.values())


def test_local_archive_is_found_beside_the_project_and_other_lists_are_not_called_ucf101(
    demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.zip").write_bytes(zipped(demo_folder / VIDEOS, "UCF-101"))
    with serving(Site({"/l.zip": zipped(demo_folder / LISTS, "lists")})) as site:
        with pytest.raises(DataError, match="the class index has 12 classes, UCF101 has 101"):
            run_stage(tmp_path, monkeypatch, archive="mine.zip", lists_url=f"{site.url}/l.zip")
        run_stage(tmp_path, monkeypatch, archive="mine.zip", lists_url=f"{site.url}/l.zip", clips_per_class=2)
    assert len(read_manifest(tmp_path / "m.csv")) == 24


# A class and its group: groups of one number in two classes are two.
UNEVEN = {"source": "folder", "group_pattern": r"v_(.+)_c"}


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Two classes of four groups, the first tests; clip c02 of each group has 6 frames, c01 has 12."""
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for name in ("Jump", "Walk"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for group in (1, 2, 3, 4):
            for clip, frames in ((1, 12), (2, 6)):
                stem = f"v_{name}_g{group:02}_c{clip:02}"
                encode(tmp_path / "videos" / name / f"{stem}.avi", scrolling(frames, 1, 0, 64, 64))
                lines["test" if group == 1 else "train"].append(f"{name}/{stem}.avi")
    (tmp_path / "videos" / LISTS).mkdir()
    (tmp_path / "videos" / LISTS / "classInd.txt").write_text("1 Jump\n2 Walk\n")
    for part, listed in lines.items():
        for split in (1, 2, 3):
            (tmp_path / "videos" / LISTS / f"{part}list{split:02}.txt").write_text("\n".join(listed))
    return tmp_path


def test_short_videos_leave_every_list_and_are_named(
    uneven: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_stage(uneven, monkeypatch, **UNEVEN)
    assert (len(read_manifest(uneven / "m.csv")), read_json(uneven / "d.json")["complete"]) == (16, True)
    caplog.set_level("INFO")
    run_stage(uneven, monkeypatch, **UNEVEN, short_videos="drop", short_frames=7)
    short = sorted(f"v_{name}_g0{group}_c02" for name in ("Jump", "Walk") for group in (1, 2, 3, 4))
    described = read_json(uneven / "d.json")
    assert described["dropped"] == {"fewer_frames_than": 7, "videos": 8, "ids": short}
    assert (described["videos"], described["complete"], described["name"]) == (8, False, "folder videos (part)")
    assert f"8 videos have fewer than 7 frames and leave all lists: {short}" in caplog.text
    kept = {f"v_{name}_g0{group}_c01" for name in ("Jump", "Walk") for group in (1, 2, 3, 4)}
    assert set(read_manifest(uneven / "m.csv")) == kept
    for split in (1, 2, 3):
        members = read_members(uneven / f"splits/split{split}.csv")
        assert {member.id for member in members} == kept
        assert sum(member.part == "test" for member in members) == 2


def test_short_videos_that_there_are_none_of_leave_the_data_whole_and_all_are_refused(
    uneven: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"data\.short_frames: all 16 videos have fewer than 13 frames; lower it"):
        run_stage(uneven, monkeypatch, **UNEVEN, short_videos="drop", short_frames=13)
    run_stage(uneven, monkeypatch, **UNEVEN, short_videos="drop", short_frames=6)
    assert read_json(uneven / "d.json")["dropped"] == {"fewer_frames_than": 6, "videos": 0, "ids": []}


def test_copies_empty_parts_and_damage_are_refused_before_anything_is_written(
    uneven: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match=r"two parts of a split, first: .* byte by byte.*data\.duplicates: warn"):
        run_stage(uneven, monkeypatch, **UNEVEN, duplicates="refuse")
    with pytest.raises(
        DataError, match=r"split 1: its validation part is empty \(data\.val_groups: 0\).*fusion\.select: val"
    ):
        run_stage(uneven, monkeypatch, **UNEVEN, val_groups=0)
    clip = uneven / "videos/Jump/v_Jump_g02_c01.avi"
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 9 // 10])
    with pytest.raises(DataError, match=r"v_Jump_g02_c01\.avi .*cut off.*data\.damaged: keep"):
        run_stage(uneven, monkeypatch, **UNEVEN)
    assert not (uneven / "m.csv").exists()
    run_stage(uneven, monkeypatch, **UNEVEN, damaged="keep")
    assert read_json(uneven / "d.json")["damaged"] == {"videos": 1, "ids": ["v_Jump_g02_c01"]}
    assert "cut off" in read_manifest(uneven / "m.csv")["v_Jump_g02_c01"].damage
    assert "byte by byte" in caplog.text
    (uneven / "videos" / LISTS / "testlist02.txt").write_text("")
    with pytest.raises(
        DataError, match=r"split 2: its test part is empty: ucfTrainTestlist/testlist02\.txt names no video.*`splits`"
    ):
        run_stage(uneven, monkeypatch, **UNEVEN, damaged="keep")


def test_grids_that_a_network_cannot_take_are_refused_when_videos_are_listed(
    uneven: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Extraction and CLIP's features of all videos come first; the network is built hours after they are listed."""
    whole = {"motion_vit": {"input_px": 24}}
    cut = r"grid of 8 x 8 cells, and motion_vit cuts it into patches of 3 x 3.*motion_vit\.input_px to a multiple"
    with pytest.raises(DataError, match=cut):
        run_stage(uneven, monkeypatch, **UNEVEN, heads=["motion_vit"])
    with pytest.raises(ParamsError, match=r"patch: 3 does not divide input_px: 25"):
        run_stage(uneven, monkeypatch, **UNEVEN, heads=["motion_vit"], sections={"motion_vit": {"input_px": 25}})
    run_stage(uneven, monkeypatch, **UNEVEN, heads=["motion_vit"], sections=whole)
    encode(uneven / "videos/Walk/v_Walk_g04_c01.avi", scrolling(12, 1, 0, 64, 48))
    apart = r"v_Walk_g04_c01\.avi has a grid of \d+ x \d+ cells, .* one of 8 x 8, and motion_only takes"
    with pytest.raises(DataError, match=rf"{apart} .*set motion_net\.input_px"):
        run_stage(uneven, monkeypatch, **UNEVEN, heads=["motion_vit"], sections=whole)
    run_stage(uneven, monkeypatch, **UNEVEN, sections={"motion_net": {"input_px": 32}})
    run_stage(uneven, monkeypatch, **UNEVEN, sections={"motion": {"source": "reencoded"}})


def test_folders_that_give_one_split_are_asked_for_that_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part, count in (("train", 3), ("val", 1)):
        for number, name in enumerate(("run", "jump")):
            (tmp_path / "videos" / part / name).mkdir(parents=True)
            for clip in range(count):
                pictures = scrolling(6, 1 + clip, number, 64, 64)
                encode(tmp_path / "videos" / part / name / f"{clip}.mp4", pictures, "libx264")
    with pytest.raises(ParamsError, match=r"splits: 2 is asked for, .*set splits: \[1\]"):
        run_stage(tmp_path, monkeypatch, source="folder")
    run_stage(tmp_path, monkeypatch, splits=[1], source="folder")
    members = read_members(tmp_path / "splits/split1.csv")
    assert sorted(path.name for path in (tmp_path / "splits").iterdir()) == ["split1.csv"]
    assert [m.part for m in members].count("test") == 2
    assert [m.part for m in members].count("val") == 2


def test_real_clips_are_a_part(real_ucf101: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stage(tmp_path, monkeypatch, root=str(real_ucf101), subset="present")
    assert '"name": "ucf101 (part)"' in (tmp_path / "d.json").read_text()
    assert len(read_manifest(tmp_path / "m.csv")) == 128


def test_real_clips_pass_verification_and_their_audit_names_the_encoder(
    real_ucf101: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from moclip.cli.main import main

    run_stage(tmp_path, monkeypatch, root=str(real_ucf101), subset="present", classes=["Punch", "YoYo", "HorseRace"])
    options = ["--manifest", "m.csv", "--root", str(real_ucf101)]
    assert main(["data", "verify", *options]) == 0
    assert main(["data", "audit", *options, "--splits", "splits"]) == 0
    assert "mpeg4/xvid" in capsys.readouterr().out


def test_demo_is_never_generated_into_a_folder_that_moclip_did_not_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_videos" / "Kite").mkdir(parents=True)
    with pytest.raises(DataError, match=r"holds Kite, which moclip did not make.*set data\.root: data/videos"):
        run_stage(tmp_path, monkeypatch, source="demo", root="my_videos")
    assert [path.name for path in (tmp_path / "my_videos").iterdir()] == ["Kite"]
    (tmp_path / "my_videos" / "Kite").rename(tmp_path / "Kite")
    made = tmp_path / "my_videos" / "demo-0123456789abcdef"
    made.mkdir()
    download.refuse_foreign(tmp_path / "my_videos")
    with pytest.raises(
        DataError, match=r"holds demo-0123456789abcdef, videos that moclip generated, which are no class"
    ):
        run_stage(tmp_path, monkeypatch, source="folder", root="my_videos")
