"""Second clones and mistyped surroundings, end to end: what DVC and moclip say, and that each remedy helps."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.graph.test_pipeline import Repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def words_of(repository: Repository, *words: str, status: int, **environment: str) -> str:
    """All that a command prints, without breaks."""
    env = repository.env | environment
    done = subprocess.run(words, check=False, cwd=repository.path, env=env, capture_output=True, text=True)
    text = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == status, text[-4000:]
    return text


def finding(repository: Repository, name: str) -> dict[str, str]:
    done = subprocess.run(
        ["moclip", "doctor", "--json"],
        check=False,
        cwd=repository.path,
        env=repository.env,
        capture_output=True,
        text=True,
    )
    (found,) = [one for one in json.loads(done.stdout)["findings"] if one["name"] == name]
    return dict(found)


def params_of(repository: Repository) -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(repository.path / "params.yaml"))


@pytest.fixture(scope="module")
def own(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A copy of the finished repository, with its result committed and pushed."""
    root = tmp_path_factory.mktemp("clones")
    repository = Repository(root / "own", forks=True)
    shutil.copytree(finished.path, repository.path, symlinks=True)
    repository.run("dvc", "remote", "add", "-q", "-d", "store", str(root / "remote"))
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "result")
    repository.run("dvc", "push", "-q")
    return repository


@pytest.fixture(scope="module")
def clone(own: Repository) -> Repository:
    """A second clone after `dvc pull`: it has all but the videos, which DVC's cache never holds."""
    repository = Repository(own.path.with_name("clone"), forks=True)
    own.run("git", "clone", "-q", str(own.path), str(repository.path))
    repository.run("dvc", "pull", "-q")
    return repository


@pytest.mark.parametrize(
    ("section", "change", "stage"),
    [("motion", {"distance": "as_coded"}, "extract_motion"), ("clip", {"frame": "uniform:2"}, "cache_clip")],
)
def test_clone_without_videos_names_what_brings_them_and_it_helps(
    clone: Repository, section: str, change: dict[str, object], stage: str
) -> None:
    params = params_of(clone)
    root = clone.path / params["data"]["root"]
    shutil.rmtree(root, ignore_errors=True)
    clone.set(**{section: params[section] | change})
    said = words_of(clone, "dvc", "repro", stage, status=255)
    assert re.search("(?:no such file|is missing)[.;] .*`dvc repro -f download`", said)
    assert "out of the lists" not in said
    assert finding(clone, "videos")["remedy"] == "dvc repro -f download"
    clone.run(*finding(clone, "videos")["remedy"].split())
    clone.run("dvc", "repro", "-q", stage)
    assert finding(clone, "videos")["state"] == "ok"
    clone.run("git", "checkout", "-q", ".")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("localhost:5000", "is no address of a tracking server"),
        ("postgresql://me:my@secret@127.0.0.1:9/runs", "as %40"),
        ("http://me:my@secret@127.0.0.1:9", "as %40"),
    ],
)
def test_mistyped_address_ends_track_with_its_forms_and_without_the_password(
    own: Repository, uri: str, said: str
) -> None:
    shown = words_of(own, "dvc", "repro", "track", status=255, MLFLOW_TRACKING_URI=uri)
    assert f"MLFLOW_TRACKING_URI: {'' if 'secret' not in uri else chr(39)}" in shown
    assert said in shown
    assert "secret" not in shown
    assert "bug in moclip" not in shown
    assert "maintenance mode" not in shown
    assert "in MLflow" not in shown
    assert "already there" in words_of(own, "dvc", "repro", "track", status=0)


def test_compare_works_by_its_path_where_nobody_activated_the_environment(own: Repository) -> None:
    program = str(Path(sys.executable).with_name("moclip"))
    shown = words_of(own, program, "compare", "workspace", status=0, PATH="/usr/bin:/bin")
    assert " identical: " in shown


def test_experiment_on_a_copy_needs_new_files_added(own: Repository) -> None:
    """README says it of `--temp` and `--queue`: DVC copies what Git knows."""
    prompts = own.path / "prompts/own.yaml"
    shutil.copy(own.path / "moclip/demo/prompts.yaml", prompts)
    command = ["dvc", "exp", "run", "--temp", "-S", "clip.prompts=prompts/own.yaml", "cache_clip"]
    assert "prompts/own.yaml" in words_of(own, *command, status=255)
    own.run("git", "add", "prompts/own.yaml")
    own.run(*command)


@pytest.mark.parametrize("name", ["blocks/000/000000.block", "index/000.index"])
def test_store_of_motion_that_is_torn_is_made_again_as_its_error_says(own: Repository, name: str) -> None:
    torn = own.path / "data/motion" / name
    whole = torn.read_bytes()
    torn.unlink()
    torn.write_bytes(whole[: len(whole) // 2])
    said = words_of(own, "moclip", "data", "audit", status=1)
    remedy = re.search(r"extract the motion again \(`([^`]+)`\)", said)
    assert remedy is not None, said
    own.run(*remedy[1].split())
    assert torn.read_bytes() == whole
    words_of(own, "moclip", "data", "audit", status=0)
