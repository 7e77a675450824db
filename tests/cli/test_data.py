import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from moclip.base.files import sha256_file
from moclip.cli.main import main
from moclip.data.dataset import assign_parts
from moclip.data.manifest import read_manifest, write_manifest
from moclip.data.measure import measure
from moclip.data.splits import read_members, write_split
from moclip.data.ucf101 import find_ucf101
from moclip.motion.extract import MotionOptions, VideoFile, extract
from tests.support.containers import remux


@pytest.fixture
def project(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with parameters, videos, manifest and splits, as the pipeline leaves them."""
    root = tmp_path / "data" / "videos"
    shutil.copytree(demo_folder, root)
    dataset = find_ucf101(root, "demo")
    write_manifest(tmp_path / "data/manifest.csv", measure(dataset.clips.values(), root, jobs=1))
    for split, members in assign_parts(dataset, 1, 0).items():
        write_split(tmp_path / f"data/splits/split{split}.csv", members)
    (tmp_path / "params.yaml").write_text("data:\n  root: data/videos\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_verify_accepts_what_the_manifest_describes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify"]) == 0
    assert "36 videos in data/videos are those of data/manifest.csv" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["verify", "audit"])
def test_before_the_first_download_the_command_that_helps_is_named(
    project: Path, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "data/manifest.csv").unlink()
    assert main(["data", action]) == 1
    error = capsys.readouterr().err
    assert error == (
        "error: data/manifest.csv: there is none yet; `dvc repro download` writes it, --manifest names another\n"
    )
    assert main(["data", action, "--manifest", "other.csv"]) == 1
    assert capsys.readouterr().err == "error: other.csv: there is no such file\n"


def test_verify_names_each_video_that_differs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone, short, other = [
        project / "data/videos" / v.path for v in list(read_manifest(Path("data/manifest.csv")).values())[:3]
    ]
    gone.unlink()
    short.write_bytes(short.read_bytes()[:-1])
    other.write_bytes(other.read_bytes()[:-1] + b"?")
    assert main(["data", "verify"]) == 1
    error = capsys.readouterr().err
    assert "error: data/videos: 3 of 36 videos are not those of the manifest" in error
    assert f"{gone.stem}: data/videos/UCF-101/{gone.parent.name}/{gone.name} is missing" in error
    assert f"{short.stem}: " in error
    assert " bytes, not " in error
    assert f"{other.name} has other contents (sha256)" in error


def test_verify_says_what_came_after_the_manifest(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = next(iter(read_manifest(Path("data/manifest.csv")).values()))
    source = project / "data/videos" / first.path
    shutil.copy(source, source.with_name("v_new_g01_c09.MTS"))
    assert main(["data", "verify"]) == 1
    error = capsys.readouterr().err
    assert "1 videos are not in data/manifest.csv; remove them, or take them in by `dvc repro -f download`" in error
    assert "v_new_g01_c09.MTS" in error


def test_two_manifests_are_compared_by_contents(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = list(read_manifest(Path("data/manifest.csv")).values())
    write_manifest(Path("same.csv"), [replace(video, path=f"elsewhere/{video.id}.avi") for video in ours])
    assert main(["data", "verify", "--against", "same.csv"]) == 0
    assert "same.csv describes the same videos" in capsys.readouterr().out
    changed = [replace(ours[0], id="another"), replace(ours[1], sha256="f" * 64), *ours[2:]]
    write_manifest(Path("other.csv"), changed)
    assert main(["data", "verify", "--against", "other.csv"]) == 1
    error = capsys.readouterr().err
    assert "the manifests differ in 3 places" in error
    assert "another: only in the other manifest" in error
    assert f"{ours[0].id}: only in this manifest" in error
    assert f"{ours[1].id}: sha256 is {ours[1].sha256} here, {'f' * 64} there" in error


def test_audit_prints_parts_and_writes_the_whole_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "audit", "--csv", "audit.csv"]) == 0
    printed = capsys.readouterr().out
    assert "with_b_frames" in printed
    assert "warning" not in printed
    rows = Path("audit.csv").read_text().splitlines()
    assert rows[0].startswith("split,part,class_name,videos,groups,frames_min")
    assert len(rows) == 1 + 3 * 3 * 12


def test_audit_names_copies_byte_by_byte_and_in_other_containers(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project / "data/videos"
    assert main(["data", "audit"]) == 0
    assert "no data/motion yet, so copies in other containers are not looked for" in capsys.readouterr().out
    found = list(read_manifest(Path("data/manifest.csv")).values())
    same, other = replace(found[0], id="same", path="same.avi"), replace(found[1], id="other", path="other.mkv")
    shutil.copy(root / found[0].path, root / same.path)
    other = replace(other, sha256=sha256_file(remux(root / found[1].path, root / other.path)))
    write_manifest(Path("data/manifest.csv"), [*found, same, other])
    files = [VideoFile(video.id, root / video.path) for video in [*found, same, other]]
    extract(files, Path("data/motion"), project / "work", MotionOptions(), jobs=1)
    add_to_splits(project, {"same": found[0].id, "other": found[1].id})
    assert main(["data", "audit"]) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if "warning: the same" in line]
    assert printed == [
        f"warning: the same file byte by byte: same, {found[0].id}",
        f"warning: the same motion in other files, so copies in all likelihood: {found[1].id}, other",
    ]
    monkeypatch.setattr("moclip.cli.data._SHOWN", 0)
    assert main(["data", "audit"]) == 0
    assert "byte by byte: 1 groups more" in capsys.readouterr().out


def add_to_splits(project: Path, ids: dict[str, str]) -> None:
    """Videos beside others in each split: same class, group and part."""
    for path in (project / "data/splits").iterdir():
        members = {member.id: member for member in read_members(path)}
        write_split(path, [*members.values(), *(replace(members[old], id=new) for new, old in ids.items())])


def test_commands_say_what_they_miss(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text("data: {}\n")
    assert main(["data", "verify"]) == 1
    assert "params.yaml: data.root cannot be read" in capsys.readouterr().err
    assert main(["data", "audit", "--splits", "absent", "--root", "data/videos"]) == 1
    assert "holds no split<k>.csv; run `dvc repro download`" in capsys.readouterr().err
