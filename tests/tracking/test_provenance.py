"""Commit, changed files and versions, on real Git repositories."""

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from moclip.base.errors import DataError
from moclip.tracking.provenance import c_library, committed_text, git_state, package_versions, processor


def git(root: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(
        ["git", "-C", str(root), *identity, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "results").mkdir()
    for name in ("code.py", "params.yaml", "results/a.json", "ünï code.py"):
        (tmp_path / name).write_text("old\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_clean_repository_has_its_commit_and_no_changes(repository: Path) -> None:
    state = git_state(repository)
    assert state is not None
    assert state.commit == git(repository, "rev-parse", "HEAD")
    assert not state.dirty


def test_edited_staged_and_deleted_files_count_but_results_do_not(repository: Path) -> None:
    (repository / "code.py").write_text("new\n")
    (repository / "results/a.json").write_text("new\n")
    (repository / "ünï code.py").unlink()
    (repository / "added.py").write_text("new\n")
    (repository / "untracked.txt").write_text("new\n")
    git(repository, "add", "added.py")
    state = git_state(repository, ["results/a.json", "no such file"])
    assert state is not None
    assert state.changed == ("added.py", "code.py", "ünï code.py")
    assert state.dirty


def test_directory_without_repository_or_commit_has_no_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None


def test_git_that_is_not_installed_is_named_where_there_is_a_repository(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="install Git"):
        git_state(repository)
    assert git_state(tmp_path_factory.mktemp("none")) is None


@pytest.fixture
def foreign(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that another user owns: Git itself refuses it, as in containers and on shared disks."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root, to give a repository to another user")
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(repository.parent / f"{repository.name}.gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.delenv("SUDO_UID", raising=False)
    return repository


def test_repository_of_another_owner_is_an_error_whose_advice_helps(foreign: Path) -> None:
    for ask in (git_state, lambda root: committed_text(root, "params.yaml")):
        with pytest.raises(DataError, match="dubious ownership") as refused:
            ask(foreign)
        assert "dvc repro track" in str(refused.value)
    advice = re.search(r"git config --global --add safe.directory \S+", str(refused.value))
    assert advice
    subprocess.run(advice[0].rstrip(";").split(), check=True)
    state = git_state(foreign)
    assert state is not None
    assert len(state.commit) == 40
    assert committed_text(foreign, "params.yaml") == "old\n"


@pytest.mark.parametrize("damage", ["HEAD", "objects"])
def test_damaged_repository_is_no_absent_one(repository: Path, damage: str) -> None:
    path = repository / ".git" / damage
    path.rename(path.with_name("gone"))
    with pytest.raises(DataError, match="Git refuses to read"):
        git_state(repository)


def test_baseline_that_a_shallow_clone_lacks_is_named(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = git(repository, "rev-parse", "HEAD")
    (repository / "params.yaml").write_text("new\n")
    git(repository, "commit", "-qam", "second")
    clone = tmp_path_factory.mktemp("clone") / "shallow"
    git(repository, "clone", "-q", "--depth", "1", repository.as_uri(), str(clone))
    with pytest.raises(DataError, match="git fetch --unshallow"):
        committed_text(clone, "params.yaml", first)
    git(clone, "fetch", "-q", "--unshallow")
    assert committed_text(clone, "params.yaml", first) == "old\n"


def test_committed_text_is_that_of_the_revision_not_of_the_disk(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    (repository / "params.yaml").write_text("new\n")
    assert committed_text(repository, "params.yaml") == "old\n"
    git(repository, "commit", "-qam", "second")
    assert committed_text(repository, "params.yaml") == "new\n"
    assert committed_text(repository, "params.yaml", first) == "old\n"
    assert committed_text(repository / "results", "a.json") == "old\n"
    assert committed_text(repository, "absent.yaml") is None


def test_versions_are_those_installed() -> None:
    versions = package_versions(["numpy", "no-such-package-here"])
    assert versions == {
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "no-such-package-here": "absent",
    }
    assert "absent" not in package_versions().values()


def test_processor_is_its_model_or_else_its_architecture(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nvendor_id\t: X\nmodel name\t: Some CPU @ 2 GHz\n\nmodel name\t: other\n")
    assert processor(cpuinfo) == "Some CPU @ 2 GHz"
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 48.00\n")
    assert processor(cpuinfo) == processor(tmp_path / "absent") == platform.machine()


def test_c_library_has_its_version() -> None:
    name, version = platform.libc_ver()
    assert c_library() == (f"{name} {version}" if name else "unknown")
