"""`moclip ablate` on a real DVC queue, over a graph whose stages only pretend: what is run, kept, named and written."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.graph.test_pipeline import Repository
from tests.support.imports import ROOT
from tests.support.nodes import Nodes
from tests.support.processes import has_ended
from tests.support.tracking import until

GRAPH = """
stages:
  download:
    cmd: mkdir -p data && echo id > data/manifest.csv
    outs: [data/manifest.csv]
  upstream:
    cmd: echo run >> $DVC_ROOT/upstream.log && echo motion > motion.txt
    deps: [data/manifest.csv]
    outs: [motion.txt]
  track:
    cmd: python stub.py
    deps: [motion.txt, stub.py]
    params: [seed, heads, fusion.hidden]
    outs:
    - results/heads: {cache: false}
    - reports/summary.json: {cache: false}
    - reports/accounting.json: {cache: false}
"""
# Hidden width 7 fails; 64 is slow and wrong on every fourth video; each other width is right on all. What is held waits
# once it has said which process it is.
STUB = """
import json, os, pathlib, sys, time
from ruamel.yaml import YAML
params = YAML(typ="safe").load(open("params.yaml"))
hidden = params["fusion"]["hidden"]
if hidden == 7:
    sys.exit("a width of seven is unlucky")
time.sleep(float(os.environ.get("STUB_SECONDS", "0")) if hidden == 64 else 0)
held = pathlib.Path(os.environ.get("STUB_HELD", "none"))
if hidden == 64 and held.exists():
    (held / str(os.getpid())).touch()
while hidden == 64 and held.exists():
    time.sleep(0.1)
pathlib.Path("reports").mkdir(exist_ok=True)
for head in params["heads"]:
    for split in (1, 2, 3):
        rows = [f"v{split}_{i:02},g{split}_{i // 4},A,{'B' if hidden == 64 and i % 4 == 0 else 'A'}" for i in range(40)]
        text = "\\n".join(["id,group,actual,predicted", *rows]) + "\\n"
        path = pathlib.Path(f"results/heads/{head}/split{split}_outcomes.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
json.dump({"dataset": "stub"}, open("reports/summary.json", "w"))
costs = {head: {"trainable_parameters": hidden, "gmac_per_video": 0.5} for head in params["heads"]}
json.dump({"run": {"heads": costs}}, open("reports/accounting.json", "w"))
"""
SUITE = """
- {name: narrow, topic: Width, question: Is the width needed?, set: {fusion.hidden: 64}}
- {name: wide, topic: Width, question: Is more better?, set: {fusion.hidden: 300}}
- {name: motion, topic: Streams, question: What does motion alone reach?, head: motion_only, against: fusion}
"""
UNLUCKY = "- {name: unlucky, topic: Width, question: Is seven bad?, set: {fusion.hidden: 7}}\n"


class Suite(Repository):
    """A repository in which `moclip ablate` runs from this checkout."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.env["PYTHONPATH"] = str(ROOT)

    def ablate(self, *words: str, status: int = 0) -> str:
        both = 'exec "$0" "$@" 2>&1'
        return self.run("sh", "-c", both, sys.executable, "-m", "stages.commands.ablate", *words, status=status)

    def rows(self, name: str = "ablations") -> dict[str, dict[str, str]]:
        with (self.path / f"reports/{name}.csv").open() as file:
            return {row["variant"]: row for row in csv.DictReader(file)}

    def experiments(self) -> list[str]:
        refs = self.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/").splitlines()
        return sorted(ref.rsplit("/", 1)[1] for ref in refs if "/celery/" not in ref)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    repository = Suite(path := tmp_path_factory.mktemp("repository"))
    shutil.copy(ROOT / "params.yaml", path)
    texts = {"dvc.yaml": GRAPH, "heads/dvc.yaml": "stages: {}\n", "stub.py": STUB, "ablations.yaml": SUITE}
    (path / "heads").mkdir()
    for name, text in (texts | {".gitignore": "*.log\n"}).items():
        (path / name).write_text(text)
    repository.run("git", "init", "-q")
    repository.run("dvc", "init", "-q")
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "stub")
    return repository


def test_list_names_every_question_and_runs_nothing(repository: Suite) -> None:
    printed = repository.ablate("--list")
    assert "Is more better?" in printed
    assert repository.experiments() == []
    assert "'tall': not in the suite; it has narrow, wide, motion" in repository.ablate("tall", status=1)


def test_suite_runs_once_and_says_what_came_out(repository: Suite) -> None:
    printed = repository.ablate("--jobs", "2")
    rows = repository.rows()
    assert rows["narrow"]["answer"] == "25.0 points below"
    assert rows["wide"]["answer"] == "no video differs (at most 11.6 % of recordings)"
    assert (rows["motion"]["change"], rows["motion"]["n_test"]) == ("motion_only for fusion", "120")
    assert rows["wide"]["trainable_parameters"] == "300"
    page = (repository.path / "reports/ablations.md").read_text()
    assert "## What made a difference" in page
    head = repository.run("git", "rev-parse", "HEAD")[:10]
    assert f"3 of its 3 runs are of the code and settings of commit `{head}`." in page
    assert "reports/ablations.md" in printed
    first = repository.experiments()
    assert len(first) == 3, "the base, narrow and wide"
    assert (repository.path / "upstream.log").read_text() == "run\n", "what the variants share has run once"
    repository.ablate("narrow", "--out", "reports/few")
    assert repository.experiments() == first, "what is done stays done"
    assert list(repository.rows("few")) == ["narrow"]


def test_failure_is_named_and_the_others_are_kept(repository: Suite) -> None:
    (repository.path / "ablations.yaml").write_text(SUITE + UNLUCKY)
    printed = repository.ablate("unlucky", "wide", status=1)
    assert "a width of seven is unlucky" in printed
    assert "error: 1 of 2 experiments failed" in printed
    assert list(repository.rows()) == ["wide"]


def test_killed_suite_goes_on_where_it_was(repository: Suite) -> None:
    # Another seed, so that nothing is known yet; the narrow one takes longer than the test.
    (repository.path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("seed: 0", "seed: 5"))
    repository.env["STUB_SECONDS"] = "600"
    words = [sys.executable, "-m", "stages.commands.ablate", "narrow", "wide", "--jobs", "2"]
    suite = subprocess.Popen(words, cwd=repository.path, env=repository.env, start_new_session=True)
    deadline = time.monotonic() + 900
    while not [name for name in repository.experiments() if name.startswith("ablate-wide-s5")]:
        assert time.monotonic() < deadline, "the fast variant never finished"
        time.sleep(1)
    suite.kill()
    suite.wait()
    kill_workers(repository.path)
    done = repository.experiments()
    repository.env["STUB_SECONDS"] = "0"
    repository.ablate("narrow", "wide", "--jobs", "2")
    assert set(done) < set(repository.experiments())
    assert repository.rows()["narrow"]["answer"] == "25.0 points below"


def kill_workers(path: Path) -> None:
    """`kill -9` whatever runs below `path`: the queue's workers, their DVC, their stage."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            below = (process / "cwd").resolve().is_relative_to(path)
        except OSError:
            continue
        if below and int(process.name) != os.getpid():
            os.kill(int(process.name), signal.SIGKILL)


def test_nodes_run_each_experiment_once_also_where_one_is_killed(repository: Suite, tmp_path: Path) -> None:
    """The killed node's process runs on as an orphan, and ends after the one that did its work again."""
    (repository.path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("seed: 0", "seed: 9"))
    (repository.path / "ablations.yaml").write_text(SUITE + UNLUCKY)
    repository.run("git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    repository.run("git", "init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    before = set(repository.experiments())
    (held := tmp_path / "held").mkdir()
    nodes, told = Nodes(tmp_path, env={**repository.env, "STUB_HELD": str(held)}), tmp_path / "told"
    words = [sys.executable, "-m", "stages.commands.ablate", "narrow", "unlucky", "wide"]
    env = {**repository.env, "MOCLIP_CLUSTER": nodes.address}

    def held_back(count: int) -> list[Path]:
        until(lambda: len(list(held.iterdir())) == count or suite.poll() is not None, "the narrow one", wait_s=900)
        assert suite.poll() is None, told.read_text()
        return list(held.iterdir())

    with told.open("w") as log, subprocess.Popen(words, cwd=repository.path, env=env, stderr=log) as suite:
        try:
            nodes.add(2)
            (first,) = held_back(1)
            above = {parent.pid for parent in psutil.Process(int(first.name)).parents()}
            (number,) = [number for number, node in enumerate(nodes.nodes) if node.pid in above]
            nodes.kill_node(number)
            held_back(2)
            held.rename(tmp_path / "let go")
            suite.wait(900)
            until(lambda: has_ended(int(first.name)), "the orphan's end")
        finally:
            suite.kill()
            nodes.close()
    said = told.read_text()
    assert suite.returncode == 1
    assert re.search(r"1 of 3 experiments failed.*\n +ablate-unlucky-s9-\w+:\n.* is unlucky", said), said
    new = sorted(name.rpartition("-")[0] for name in set(repository.experiments()) - before)
    assert new == ["ablate-base-s9", "ablate-narrow-s9", "ablate-wide-s9"]
    assert repository.rows()["narrow"]["answer"] == "25.0 points below"
    assert repository.run("git", "ls-remote", "origin") == "", "results go to the repository alone"
    assert len(list(tmp_path.glob("moclip-ablate-*"))) == 1, "the killed node's clone alone is left"
    repository.run("git", "fsck", "--connectivity-only")


def test_program_works_by_its_path_where_nobody_activated_the_environment(repository: Suite) -> None:
    """As README calls it: `.venv/bin/moclip`; DVC, and the `python` of its stages, are those beside it."""
    stages = repository.path / "stages"
    if not stages.exists():
        stages.symlink_to(ROOT / "stages")
    usual = repository.env
    repository.env = usual | {"PATH": "/usr/bin:/bin", "STUB_SECONDS": "0"}
    moclip = str(Path(sys.executable).with_name("moclip"))
    try:
        assert "answers in" in repository.run(
            "sh", "-c", 'exec "$0" "$@" 2>&1', moclip, "ablate", "wide", "--out", "few"
        )
        found = repository.run("sh", "-c", 'exec "$0" "$@" 2>&1', moclip, "compare", "no-such-thing", status=1)
        assert "'no-such-thing': no experiment and no Git revision" in found
    finally:
        repository.env = usual
        stages.unlink()
