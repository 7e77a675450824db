"""Files that hosts of repositories read: they name what is here, and what pyproject.toml promises."""

import json
import tomllib
from typing import Any

from ruamel.yaml import YAML

from tests.support.imports import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def of(name: str) -> Any:
    return YAML(typ="safe", pure=True).load(ROOT / name)


def test_ci_runs_every_python_that_is_promised() -> None:
    job = of(".github/workflows/ci.yml")["jobs"]["test"]
    versions = job["strategy"]["matrix"]["python"]
    promised = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert versions == promised
    assert PROJECT["requires-python"] == f">={versions[0]},<3.{int(versions[-1].partition('.')[2]) + 1}"
    assert ".ci/run" in [step.get("run") for step in job["steps"]]


def test_ci_takes_actions_by_their_commits() -> None:
    used = [step["uses"] for step in of(".github/workflows/ci.yml")["jobs"]["test"]["steps"] if "uses" in step]
    assert used
    assert all(len(action.partition("@")[2]) == 40 for action in used)


def test_hooks_before_a_commit_are_programs_of_the_lock() -> None:
    pinned = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (repository,) = of(".pre-commit-config.yaml")["repos"]
    programs = [hook["entry"].split()[0] for hook in repository["hooks"]]
    assert {program.removeprefix(".venv/bin/") for program in programs} == {"ruff", "mypy"}
    assert all(f"\n{program.removeprefix('.venv/bin/')}==" in pinned for program in programs)


def test_citation_is_of_this_version() -> None:
    citation = of("CITATION.cff")
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_container_installs_from_what_it_copied() -> None:
    """Whatever `make setup` reads is there before it runs."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    before, _, after = text.partition("ARG CPU_INDEX=")
    copied = {word for line in before.splitlines() if line.startswith("COPY") for word in line.split()[2:-1]}
    assert {"Makefile", "pyproject.toml", "requirements.lock", PROJECT["readme"], *PROJECT["license-files"]} <= copied
    assert "HASHES=0" in after
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert (ROOT / ".devcontainer" / container["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert f"ENV VENV={container['customizations']['vscode']['settings']['python.defaultInterpreterPath'][:17]}" in text
