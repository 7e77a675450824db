"""What DVC knows of experiments: their names, how far they came, and their files, without touching the workspace."""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from moclip.base.errors import DataError
from stages.dvc.program import run

WORKSPACE = "workspace"
DONE = "done"
_TRIES, _GONE = 3, "[Errno 2]"


@dataclass(frozen=True)
class Revision:
    """A name that was asked for: `commit` holds its files, None for the workspace and for what did not finish.

    `state` is `done`, or DVC's word for the rest: queued, running, failed.
    """

    name: str
    commit: str | None
    state: str = DONE


def find(name: str) -> Revision:
    """The workspace, an experiment by name, or any Git revision.

    Raises:
        DataError: nothing is called so; names the experiments that there are.
    """
    if name == WORKSPACE:
        return Revision(name, None)
    finished = finished_experiments()
    if commit := finished.get(name) or _git_line("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
        return Revision(name, commit)
    waiting = unfinished_experiments()
    if state := waiting.get(name):
        return Revision(name, None, state)
    known = ", ".join(sorted({*finished, *waiting})) or "none; `dvc exp run` makes one"
    older = ""
    if _git_line("rev-parse", "--is-shallow-repository") == "true":
        older = "; this clone holds the newest commits alone: `git fetch --unshallow` brings older ones"
    raise DataError(f"'{name}': no experiment and no Git revision; experiments: {known}{older}")


def finished_experiments() -> dict[str, str]:
    """Commits by name, of the experiments of every baseline; where two share a name, the newer one."""
    return {name: commit for name, _, commit in _references()}


def baselines() -> dict[str, str]:
    """Commits by name that finished experiments were begun at, whose code they ran."""
    return {name: baseline for name, baseline, _ in _references()}


def _references() -> Iterator[tuple[str, str, str]]:
    """Name, commit begun at and commit of every finished experiment, the oldest first."""
    listed = _git("for-each-ref", "--sort=committerdate", "--format=%(refname) %(objectname)", "refs/exps").split("\n")
    for ref, _, commit in (line.partition(" ") for line in listed if line):
        parts = ref.split("/")  # refs/exps/<2 digits of the baseline>/<the other 38>/<name>; DVC's own refs are shorter
        if len(parts) == 5 and len(parts[2] + parts[3]) == 40:
            yield parts[4], parts[2] + parts[3], commit


def unfinished_experiments() -> dict[str, str]:
    """States (queued, running, failed) by name, of experiments that have no result."""
    found = {}
    for baseline in json.loads(_shown()):
        for experiment in baseline.get("experiments") or []:
            if executor := experiment.get("executor"):
                found[str(experiment["name"])] = str(executor["state"]).lower()
    return found


def _shown() -> str:
    """What DVC shows of all experiments; it lists files of those that run, and fails where one ends meanwhile."""
    for _ in range(_TRIES):
        done = run("dvc", "exp", "show", "--json", capture_output=True, text=True)
        if not done.returncode or _GONE not in done.stderr:
            break
    if done.returncode:
        raise DataError(f"`dvc exp show` failed: {done.stderr.strip()[-300:]}")
    return str(done.stdout)


def snapshot(revision: Revision, names: Iterable[str], into: Path) -> Path:
    """A folder with the named files and folders of a revision, those that it has: the workspace itself, or `into`."""
    if revision.commit is None:
        return Path.cwd()
    there = list(filter(None, _git("ls-tree", "-z", "--name-only", revision.commit, "--", *names).split("\0")))
    if there:
        archive = run("git", "archive", "--format=zip", revision.commit, "--", *there, capture_output=True)
        archive.check_returncode()
        # No tar: Python before 3.11.4, Debian's for one, unpacks none safely.
        with zipfile.ZipFile(io.BytesIO(archive.stdout)) as files:
            files.extractall(into)
    return into


def _git(*words: str) -> str:
    done = run("git", *words, capture_output=True, text=True)
    if done.returncode:
        told = done.stderr.strip()
        advice = "" if "safe.directory" in told else "; run this in the Git repository"  # Git's own advice comes first
        raise DataError(f"`git {words[0]}` failed here: {told[-600:]}{advice}")
    return str(done.stdout)


def _git_line(*words: str) -> str:
    """The one line that Git answers; empty where it refuses."""
    return str(run("git", *words, capture_output=True, text=True).stdout).strip()
