"""Shares of a stage's blocks, as jobs of an array make them: together they are what one run makes."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import ParamsError
from moclip.base.files import write_json
from moclip.cluster.share import Share, SharedOutError
from moclip.data.manifest import write_manifest
from moclip.data.measure import measure
from moclip.data.ucf101 import find_ucf101
from moclip.motion import extract as module
from stages import _entry, extract_motion
from stages.commands import share
from tests.support.imports import ROOT
from tests.support.trees import content

BLOCK, SHARES = 8, 3


@pytest.fixture
def project(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of a few videos, in small blocks, which is the working directory."""
    monkeypatch.setattr(module, "BLOCK_VIDEOS", BLOCK)
    monkeypatch.setattr(module, "cores", lambda: 1)
    monkeypatch.setattr(extract_motion, "cores", lambda: 1)
    monkeypatch.setattr("moclip.base.parallel._keeps", False)
    monkeypatch.chdir(tmp_path)
    _entry.all_params.cache_clear()
    graph, params = (YAML(typ="safe", pure=True).load(ROOT / name) for name in ("dvc.yaml", "params.yaml"))
    write_json(Path("dvc.yaml"), graph)
    write_json(Path("params.yaml"), params | {"data": params["data"] | {"root": str(demo_folder)}})
    clips = list(find_ucf101(demo_folder, "demo").clips.values())
    write_manifest(Path("data/manifest.csv"), measure(clips, demo_folder, jobs=1))
    yield tmp_path
    _entry.all_params.cache_clear()


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["share", *words])
    share.main()


def extract(monkeypatch: pytest.MonkeyPatch, out: Path) -> dict[str, bytes]:
    monkeypatch.setattr(sys, "argv", ["extract_motion", "--manifest", "data/manifest.csv", "--out", str(out)])
    extract_motion.main()
    return content(out)


def test_shares_make_the_store_of_one_run_and_what_is_missing_is_made(project, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "stages")
    for number in range(1, SHARES):  # the last share never ran
        run(monkeypatch, f"{number}/{SHARES}", "extract_motion")
        assert f"share {number}/{SHARES} is done" in caplog.text
    assert not Path("data/motion").exists()
    made = {block.name for block in project.glob(".work/*/*/*.block")}
    assert made == {f"{number:06d}.block" for number in (0, 1, 3, 4)}
    found = extract(monkeypatch, project / "shared")
    decoded = {grid.name for grid in project.glob(".work/*/*/*.grid")}
    assert len(decoded) == BLOCK, "videos of the missing block alone are decoded"
    for directory in project.glob(".work/*"):
        directory.rename(project / "before")
    assert extract(monkeypatch, project / "alone") == found


def test_bad_videos_of_a_share_are_named(project, monkeypatch):
    monkeypatch.setattr(extract_motion, "data_root", lambda root: project / "elsewhere")
    with pytest.raises(module.BadVideosError, match="no such file"):
        run(monkeypatch, f"1/{SHARES}", "extract_motion")


def test_what_has_no_blocks_and_no_share_is_refused(project, monkeypatch):
    with pytest.raises(ParamsError, match="audit has no blocks to share; run `dvc repro audit`"):
        run(monkeypatch, "1/2", "audit")
    for text in ("0/4", "5/4", "1", "1/0", "a/b"):
        with pytest.raises(ParamsError, match=r"write NUMBER/COUNT, such as 3/16"):
            Share.of(text)


def test_shares_of_files_are_apart_whatever_is_there(tmp_path):
    names, shares = [f"{number}" for number in range(7)], [Share(number, 3) for number in (1, 2, 3)]
    for one in shares:
        with one.hold(tmp_path, "naps") as shelf, pytest.raises(SharedOutError, match="files are there"):
            one.finish(
                names, str, lambda name, file: file.write_text(name), shelf, module.Work("n", "n"), facts_of=dict
            )
    assert sorted(file.name for file in tmp_path.iterdir()) == names
