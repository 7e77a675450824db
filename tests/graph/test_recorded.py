"""The demo's run in Git: results and lock files belong together, and to the settings beside them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.dvc.digest import md5
from tests.graph.test_pipeline import LOCKS
from tests.support.imports import ROOT

YAML_OF = YAML(typ="safe", pure=True).load


def lock_stages() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in LOCKS:
        found |= YAML_OF(ROOT / name)["stages"]
    return found


@pytest.fixture(scope="module")
def files() -> set[str]:
    """The tracked files, where they are as they were committed."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)

    listed = git("ls-files", "-z")
    if listed.returncode:
        pytest.skip("needs the Git repository, to know which results are recorded")
    if git("diff", "--quiet", "HEAD", "--", "params.yaml", *LOCKS, "results", "reports").returncode:
        pytest.skip("the working tree holds another run than the recorded one")
    return set(filter(None, listed.stdout.split("\0")))


def test_recorded_results_are_those_that_the_locks_name(files: set[str]) -> None:
    outs = {out["path"]: out["md5"] for stage in lock_stages().values() for out in stage.get("outs", [])}
    recorded = {path: digest for path, digest in outs.items() if any(Path(f).is_relative_to(path) for f in files)}
    assert {"reports/summary.json", "results/heads/fusion", "reports/report.md"} <= recorded.keys()
    assert [path for path, digest in recorded.items() if md5(ROOT / path) != digest] == []


@pytest.mark.usefixtures("files")
def test_recorded_run_is_of_the_settings_in_git() -> None:
    params = YAML_OF(ROOT / "params.yaml")
    for name, stage in lock_stages().items():
        for key, value in stage.get("params", {}).get("params.yaml", {}).items():
            there = params
            for word in key.split("."):
                there = there[word]
            assert there == value, f"{name}: {key}"
