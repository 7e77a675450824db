"""Where a number comes from: the commit, changes on top of it, and the versions of the packages."""

import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from moclip.base.errors import DataError

# Packages whose release can move a number or the way it is stored.
PACKAGES = (
    "av",
    "dvc",
    "mlflow",
    "numpy",
    "open_clip_torch",
    "pandas",
    "scikit-learn",
    "scipy",
    "torch",
    "torchvision",
)


@dataclass(frozen=True)
class GitState:
    """The commit, and the tracked files that differ from it (sorted, relative to the top)."""

    commit: str
    changed: tuple[str, ...]

    @property
    def dirty(self) -> bool:
        """Whether the commit alone does not say what ran."""
        return bool(self.changed)


def git_state(root: Path, generated: Iterable[str] = ()) -> GitState | None:
    """The state of the repository at `root`; None where there is no repository or no commit yet.

    Args:
        root: A directory inside the working tree.
        generated: Files or directories relative to `root` that the pipeline itself writes. A change
            there is a result, not a cause, and does not count.

    Raises:
        DataError: there is a repository, and Git refuses to read it, as it does where another user owns it.
    """
    commit = _commit(root, "HEAD")
    if commit is None:
        return None
    excluded = [f":(exclude,literal){path}" for path in sorted(generated)]
    changed = _git(root, "diff", "--name-only", "-z", "HEAD", "--", ".", *excluded)
    return GitState(commit, tuple(sorted(filter(None, changed.split("\0")))))


def committed_text(root: Path, path: str, revision: str = "HEAD") -> str | None:
    """The content of `path` (relative to `root`) in a revision; None where it is not there.

    Raises:
        DataError: Git refuses, or a revision other than HEAD is not there.
    """
    if _commit(root, revision) is None:
        if revision == "HEAD":
            return None
        raise DataError(f"Git commit {revision}: not in this repository; `git fetch --unshallow` brings older ones")
    if not _git(root, "ls-tree", "-z", "--name-only", revision, "--", path):
        return None
    return _git(root, "show", f"{revision}:./{path}")


def _commit(root: Path, revision: str) -> str | None:
    """The commit of a revision; None where there is no repository, or nothing of that name in it."""
    if not is_in_repository(root):
        return None
    _git(root, "rev-parse", "--git-dir")  # whatever Git refuses, it refuses here
    done = _run(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    return done.stdout.strip() or None


def is_in_repository(root: Path) -> bool:
    """Whether a Git repository is there, readable or not: Git says `not a repository` of a damaged one too."""
    if os.environ.get("GIT_DIR"):
        return True
    return any((folder / ".git").exists() for folder in (root.resolve(), *root.resolve().parents))


def package_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Installed versions by package name, the interpreter under `python`; `absent` if missing."""
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Model of this machine's processor; its architecture where the system names no model."""
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.machine()


def c_library() -> str:
    """Name and version of the C library, such as `glibc 2.36`; `unknown` where Python cannot tell."""
    return " ".join(filter(None, platform.libc_ver())) or "unknown"


def _git(root: Path, *words: str) -> str:
    """What Git answers.

    Raises:
        DataError: Git is not installed or refuses; its words are passed on, with its own advice.
    """
    done = _run(root, *words)
    if done.returncode:
        told = " ".join(done.stderr.split())[:600]
        raise DataError(f"Git refuses to read the repository at {root.resolve()}: {told}; then run `dvc repro track`")
    return done.stdout


def _run(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = ["git", "-C", str(root), *words]
    try:
        return subprocess.run(
            command, capture_output=True, check=False, text=True, encoding="utf-8", env={**os.environ, "LC_ALL": "C"}
        )
    except OSError as error:
        raise DataError(
            f"{root.resolve()}: is a Git repository, and the program `git` cannot be started ({error.strerror}); "
            "install Git, then run `dvc repro track`"
        ) from error
