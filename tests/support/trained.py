"""The smallest demo, trained by the stages themselves, in this process: what the pipeline leaves, in seconds."""

import importlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from moclip.cli.options.model import source_of
from moclip.data.manifest import read_manifest
from moclip.heads.registry import check_params
from moclip.params.presets.apply import apply_presets
from moclip.predict.bundle import Pipeline
from stages import _entry
from tests.support.imports import ROOT

STAGES = (
    *("download", "extract_motion", "clip_model", "cache_clip"),
    *("train_motion", "zero_shot", "clip_probe", "fusion"),
)


def build(root: Path) -> Path:
    """Run the stages up to the predictions of split 1 below `root`."""
    shutil.copy(ROOT / "params.yaml", root / "params.yaml")
    apply_presets(["micro"], ROOT / "presets", root / "params.yaml", check_params)
    params = YAML(typ="safe", pure=True).load(root / "params.yaml")
    params["clip"]["prompts"] = str(ROOT / params["clip"]["prompts"])
    (root / "params.yaml").write_text(json.dumps(params | {"splits": [1]}))  # JSON is YAML
    for name in STAGES:
        run_stage(name, root)
    return root


def run_stage(name: str, root: Path) -> None:
    """Run a stage below `root` by its command, in this process."""
    command = stages()[name]["cmd"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        _entry.all_params.cache_clear()
        for key in re.findall(r"\$\{([\w.]+)\}", command):
            section, _, field = key.partition(".")
            command = command.replace(f"${{{key}}}", _entry.all_params()[section][field])
        words = re.sub(r"^python -m ", "", command).split()
        patch.setattr(sys, "argv", [str(ROOT / word) if word.startswith("prompts/") else word for word in words])
        importlib.import_module(words[0]).main()
        _entry.all_params.cache_clear()


def stages() -> dict[str, Any]:
    """All stages of both graphs, by name."""
    graphs = [YAML(typ="safe", pure=True).load(ROOT / path)["stages"] for path in ("dvc.yaml", "heads/dvc.yaml")]
    return graphs[0] | graphs[1]


def pipeline(root: Path) -> Pipeline:
    """Where the pipeline at `root` keeps its models."""
    found = source_of(str(root / "models"))
    assert isinstance(found, Pipeline)
    return found


def video_of(root: Path, video_id: str) -> Path:
    """The file of a video of the manifest."""
    return root / "data/videos" / read_manifest(root / "data/manifest.csv")[video_id].path
