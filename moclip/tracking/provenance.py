"""Where a number comes from: the commit, changes on top of it, and the versions of the packages."""

import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

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
    """
    excluded = [f":(exclude,literal){path}" for path in sorted(generated)]
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    changed = _git(root, "diff", "--name-only", "-z", "HEAD", "--", ".", *excluded)
    if commit is None or changed is None:
        return None
    return GitState(commit.strip(), tuple(sorted(filter(None, changed.split("\0")))))


def committed_text(root: Path, path: str, revision: str = "HEAD") -> str | None:
    """The content of `path` (relative to `root`) in a revision; None where it is not there."""
    return _git(root, "show", f"{revision}:./{path}")


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


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            check=True,
            text=True,
            encoding="utf-8",
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout
