"""A data set in tars through the stages that open videos: the same features, and the same motion, as from folders."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.data.manifest import read_manifest
from moclip.heads.registry import check_params
from moclip.params.presets.apply import apply_presets
from tests.support.imports import ROOT
from tests.support.trained import run_stage
from tests.support.trees import content

OUTPUTS = ("data/motion", "data/clip", "data/splits", "data/classes.csv")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the demo's own CLIP, and its generated videos as a folder of one's own."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    apply_presets(["micro"], ROOT / "presets", root / "params.yaml", check_params)
    choose(root, clip={"prompts": str(ROOT / "moclip/demo/prompts.yaml")})
    for name in ("download", "clip_model"):
        run_stage(name, root)
    (folder,) = root.glob("data/videos/demo-*/UCF-101")
    folder.rename(root / "mine")
    return root


def choose(root: Path, **changes: dict[str, Any]) -> None:
    params = YAML(typ="safe", pure=True).load(root / "params.yaml")
    (root / "params.yaml").write_text(
        json.dumps(params | {name: params[name] | values for name, values in changes.items()})
    )


def made(root: Path, videos: str) -> dict[str, Any]:
    """Outputs of the stages on these videos."""
    choose(root, data={"source": "folder", "root": videos, "group_pattern": r"_(g\d+)_"})
    for name in ("download", "extract_motion", "cache_clip"):
        run_stage(name, root)
    return {name: content(root / name) if (root / name).is_dir() else (root / name).read_bytes() for name in OUTPUTS}


def test_stages_give_of_tars_what_they_give_of_folders(project: Path) -> None:
    (project / "tars").mkdir()
    videos = sorted(project.glob("mine/*/*.*"))
    assert len(videos) > 10
    for number in range(3):
        with tarfile.open(project / f"tars/shard-{number:06d}.tar", "w") as archive:
            for path in videos[number::3]:
                archive.add(path, path.relative_to(project / "mine").as_posix())
    of_folders, of_tars = made(project, "mine"), made(project, "tars")
    rows = read_manifest(project / "data/manifest.csv")
    assert len(rows) == len(videos)
    assert all(row.path.startswith("shard-0000") and ".tar/" in row.path for row in rows.values())
    assert of_tars == of_folders
