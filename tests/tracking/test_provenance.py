"""Commit, changed files and versions, on real Git repositories."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

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


def test_git_that_is_not_installed_is_no_state(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(repository) is None


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
