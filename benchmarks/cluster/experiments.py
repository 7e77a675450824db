"""Experiments of `moclip ablate` by nodes of which some are killed: the project's own code, and a DVC that sleeps.

Clones, references and pushes are Git's own. The stub of DVC answers what `stages.dvc.clone` asks, and its experiment is
a commit with the name of the job.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from moclip.cluster.driver import Cluster, connected
from moclip.results.suite import Job
from stages import _nodes
from tests.support.imports import ROOT
from tests.support.nodes import Nodes

STUB = """\
#!/bin/sh
set -e
if [ "$1 $2" = "cache dir" ]; then echo {cache}; exit; fi
while [ "$1" != --name ]; do shift; done
echo "$2" >> {begun}
sleep {seconds}
tree=$(echo "$2" | git hash-object -w --stdin | xargs printf '100644 blob %s\\tresult\\n' | git mktree)
commit=$(git commit-tree -p HEAD -m "$2" "$tree")
git update-ref "refs/exps/ab/cdef/$2" "$commit"
"""


def stub_environment(folder: Path, begun: Path, cache: Path, seconds: float) -> Path:
    """An environment with this one's packages and another `dvc`; returns its interpreter."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(Path(sys.executable).resolve())
    (folder / "lib").symlink_to(Path(sys.prefix, "lib"))
    shutil.copy(Path(sys.prefix, "pyvenv.cfg"), folder)
    dvc = programs / "dvc"
    words = {"cache": shlex.quote(str(cache)), "begun": shlex.quote(str(begun)), "seconds": f"{seconds:g}"}
    dvc.write_text(STUB.format(**words), encoding="utf-8")
    dvc.chmod(0o755)
    return programs / "python"


def make_repository(folder: Path) -> Path:
    """A repository with the parameters of this one."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").touch()
    shutil.copy(ROOT / "params.yaml", folder)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "base")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


class Struck(Cluster):
    """A cluster that loses a node after every so many results."""

    def __init__(self, cluster: Cluster, nodes: Nodes, every: int) -> None:
        super().__init__(cluster._client, cluster.address)
        self.every, self.kill, self.killed = every, nodes.kill_node, 0

    def _each(self, *args: Any) -> Iterator[tuple[int, Any]]:
        with ThreadPoolExecutor(1) as killer:  # results go on while another node starts
            for number, found in enumerate(super()._each(*args), 1):
                if number % self.every == 0:
                    self.killed += 1
                    killer.submit(self.kill)
                yield found


def ablation(folder: Path, count: int, share_killed: float, nodes: int, seconds: float) -> dict[str, float]:
    """Experiments by nodes of which a share is killed: how many results are there, and how often each was begun."""
    repository, begun = make_repository(folder / "repository"), folder / "begun"
    python = stub_environment(folder / "environment", begun, folder / "cache", seconds)
    jobs = [Job("stub", number, (), {}, f"stub-{number:03d}") for number in range(count)]
    scratch = folder / "scratch"
    scratch.mkdir()
    with _in(repository, python.parent):
        env = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100"}
        with closing(Nodes(scratch, env=env, python=str(python))) as found:
            found.add(nodes)
            with connected(found.address) as cluster:
                struck = Struck(cluster, found, round(1 / share_killed))
                failed = _nodes.bring(jobs, struck, "track")
        words = ("git", "for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps")
        done = subprocess.run(words, cwd=repository, check=True, capture_output=True, text=True).stdout.split()
    times = Counter(begun.read_text(encoding="utf-8").split())
    return {
        "experiments": count,
        "nodes_killed": struck.killed,
        "failed": len(failed),
        "lost": len({job.name for job in jobs} - set(done)),
        "twice": len(done) - len(set(done)),
        "begun_again": sum(times.values()) - len(times),
    }


@contextmanager
def _in(repository: Path, programs: Path) -> Iterator[None]:
    """In a repository, with these programs first; Git is told who writes."""
    before, path = Path.cwd(), os.environ["PATH"]
    who = {f"GIT_{role}_{what}": "bench@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    os.environ.update({"PATH": f"{programs}:{path}", **who})
    os.chdir(repository)
    try:
        yield
    finally:
        os.chdir(before)
        os.environ["PATH"] = path
