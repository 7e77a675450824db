"""Frames kept by `extract_motion` for `cache_clip`: the same bytes, no second decoding, an error where they lack."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.base.errors import StoreError
from moclip.heads.registry import check_params
from moclip.params.presets.apply import apply_presets
from stages._kept_frames import kept_in
from tests.support.imports import ROOT
from tests.support.trained import run_stage
from tests.support.trees import content

OUTPUTS = ("data/motion", "data/clip")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of a few generated videos with the demo's own CLIP, which decodes twice."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    apply_presets(["micro"], ROOT / "presets", root / "params.yaml", check_params)
    choose(root, prompts=str(ROOT / "moclip/demo/prompts.yaml"))
    for name in ("download", "clip_model"):
        run_stage(name, root)
    return root


def choose(root: Path, **clip: Any) -> None:
    params = YAML(typ="safe", pure=True).load(root / "params.yaml")
    (root / "params.yaml").write_text(json.dumps(params | {"clip": params["clip"] | clip}))


def made(root: Path) -> dict[str, dict[str, bytes]]:
    return {name: content(root / name) for name in OUTPUTS}


@pytest.mark.parametrize("more", [{"frame": "middle"}, {"frame": "uniform:3", "crop": "motion"}])
def test_outputs_are_the_same_and_the_videos_are_opened_once(project, more, tmp_path):
    both = []
    for rule in (None, more["frame"]):
        shutil.rmtree(project / ".work", ignore_errors=True)
        choose(project, **{"crop": "centre", **more}, keep_frames=rule)
        run_stage("extract_motion", project)
        videos = project / "data/videos"
        if rule:
            videos = videos.rename(tmp_path / "videos")
        run_stage("cache_clip", project)
        if rule:
            videos.rename(project / "data/videos")
        both.append(made(project))
        assert len(list(project.glob(".work/kept_frames-*"))) == bool(rule)
    assert both[0] == both[1]


def test_frames_that_lack_are_an_error_with_the_remedy_and_that_helps(project):
    shutil.rmtree(project / ".work", ignore_errors=True)
    choose(project, frame="middle", crop="centre", keep_frames=None)
    for name in ("extract_motion", "cache_clip"):
        run_stage(name, project)
    before = made(project)
    shutil.rmtree(project / ".work")
    choose(project, keep_frames="middle")
    shutil.rmtree(project / "data/clip")
    remedy = r"kept_frames-\w+/store: no such store; `dvc repro -f extract_motion` keeps them again"
    with pytest.raises(StoreError, match=remedy):
        run_stage("cache_clip", project)
    assert not (project / "data/clip").exists()
    run_stage("extract_motion", project)  # what -f does
    run_stage("cache_clip", project)
    assert made(project) == before


def test_other_rules_and_other_videos_lie_elsewhere(project, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(project))
    manifest = project / "data/manifest.csv"
    other = project / "other.csv"
    other.write_bytes(manifest.read_bytes()[:-20])
    places = [kept_in(manifest, "middle"), kept_in(manifest, "uniform:3"), kept_in(other, "middle")]
    assert len(set(places)) == len(places)
    assert all(place.parent == project / ".work" for place in places)
