"""One experiment in a clone of its own, on whatever machine sees the repository: its reference comes back to it.

Two processes of DVC in one repository stand in each other's way, and on two hosts its locks hold neither back. So a
clone on the machine's own disk runs the experiment, with the repository's cache, and Git takes the result: a reference
is there whole or not at all, and the first of two stays.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moclip.base.errors import StoreError
from moclip.base.files import write_text
from moclip.results.suite import Job
from moclip.store.disks import scratch
from stages.dvc.program import run, run_tied
from stages.dvc.queue import override

LINES = 6  # of what a failed experiment said
_CONFIG = """\
[core]
    site_cache_dir = {site}
[cache]
    dir = {cache}
    type = "symlink,copy"
"""
# What the main repository's own commands are told; an experiment is no driver, and no other experiment's stage.
_OURS = ("MOCLIP_CLUSTER", "MOCLIP_RANKS", "MOCLIP_RDZV", "DVC_ROOT", "DVC_STAGE", "DVC_SITE_CACHE_DIR")


@dataclass(frozen=True)
class Origin:
    """What experiments begin at.

    Attributes:
        repository: The main repository, at one path on all machines.
        commit: Its HEAD.
        changes: A commit of what the workspace changed since, as `git stash create` makes it; None without changes.
        cache: The cache of DVC, which clones share.
    """

    repository: Path
    commit: str
    changes: str | None
    cache: Path


def origin() -> Origin:
    """The workspace as it stands, with what is changed in files that Git knows.

    Raises:
        StoreError: Git or DVC refuses.
    """
    here = Path.cwd()
    cache = Path(_said("dvc", "cache", "dir", at=here))
    return Origin(
        here, _said("git", "rev-parse", "HEAD", at=here), _said("git", "stash", "create", at=here) or None, cache
    )


def run_experiment(at: Origin, target: str, job: Job) -> str | None:
    """Run an experiment up to a stage, unless the repository has one of its name.

    Returns:
        None where the repository has it then; else the end of what was said.
    """
    name = job.name
    if _reference(at.repository, name):
        return None
    # Not under a name of `moclip.base.files.temporary_name`: these are taken for left-overs after a day.
    with tempfile.TemporaryDirectory(dir=scratch(), prefix=f"moclip-{name}-") as folder:
        clone = Path(folder) / "clone"
        try:
            _clone(at, clone)
            overrides = [word for item in job.changes.items() for word in ("-S", override(*item))]
            words = ("dvc", "exp", "run", "--quiet", "--name", name, *overrides, target)
            _said(*words, at=clone, env=_environment(at), by=run_tied)
            _deliver(at, clone, name)
        except StoreError as error:
            return str(error)
    return None


def _clone(at: Origin, clone: Path) -> None:
    """The repository's files as the workspace has them; objects stay where they are."""
    _said("git", "clone", "--quiet", "--shared", "--no-checkout", str(at.repository), str(clone), at=at.repository)
    _said("git", "checkout", "--quiet", "--detach", at.commit, at=clone)
    if at.changes:
        _said("git", "stash", "apply", "--quiet", at.changes, at=clone)
    write_text(clone / ".dvc/config.local", _CONFIG.format(site=clone.with_name("site"), cache=at.cache))


def _deliver(at: Origin, clone: Path, name: str) -> None:
    reference = _reference(clone, name)
    pushed = run(
        "git", "push", "--quiet", "origin", f"{reference}:{reference}", cwd=clone, capture_output=True, text=True
    )
    if pushed.returncode and not _reference(at.repository, name):  # else another machine was first
        raise StoreError(f"its result cannot be written into {at.repository}: {_end(pushed.stderr)}")


def _reference(repository: Path, name: str) -> str:
    """The full name of an experiment's reference, begun at whatever commit; empty where there is none."""
    found = _said("git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}", at=repository)
    return found.partition("\n")[0]


def _environment(at: Origin) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "MOCLIP_HOME": str(at.repository), "PATH": path}


def _said(*words: str, at: Path, env: Mapping[str, str] | None = None, by: Callable[..., Any] = run) -> str:
    done = by(*words, cwd=at, env=env, capture_output=True, text=True)
    if done.returncode:
        raise StoreError(_end(done.stdout + done.stderr))
    return str(done.stdout).strip()


def _end(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LINES:])
