"""Not a stage: `moclip ablate` answers the questions of a suite by experiments, as a table.

They run in DVC's queue, or with MOCLIP_CLUSTER on the nodes of a cluster, each in a clone of its own.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moclip.base.errors import StoreError
from moclip.base.files import read_json
from moclip.base.outputs import claim_page, named, write_page
from moclip.base.progress import Progress
from moclip.cli.options.scripts import parser_of
from moclip.heads.registry import HEADS, MAIN, check_params, related_sets
from moclip.params.run import Splits
from moclip.report.suite_page import as_markdown
from moclip.results.suite import (
    CSV_COLUMNS,
    HeadCost,
    Job,
    Run,
    answer,
    answered_together,
    choose,
    csv_row,
    plan,
    read_suite,
)
from moclip.tracking.store import VARIABLE, store_at
from stages import _nodes
from stages._cluster import check_database, cluster
from stages._entry import all_params, command, log, repository, section
from stages._results import level_of_params, read_all_outcomes
from stages.dvc import graph, program
from stages.dvc import queue as _queue
from stages.dvc.experiments import Revision, baselines, finished_experiments, snapshot

RESULTS = Path("results/heads")
ACCOUNTING = Path("reports/accounting.json")
SUMMARY = Path("reports/summary.json")
TARGET = "track"
POLL_S = 2.0
POLLS_PER_STATUS = (5, 20)  # DVC needs a second of processor time to tell its queue, Git none: it is asked ever less


def main() -> None:
    args = parser_of("ablate").parse_args()
    variants = choose(read_suite(args.suite, HEADS, MAIN), args.names)
    if args.list:
        sys.stdout.writelines(f"{variant.name:24} {variant.question}\n" for variant in variants)
        return
    claim_page(page := named(args.out).with_suffix(".md"))
    params = all_params()
    seeds = list(range(params["seed"], params["seed"] + args.seeds))
    # A mistyped address would fail every experiment in its last stage.
    check_database(store_at(repository(), os.environ.get(VARIABLE)))
    # What comes from outside, such as videos, is part of what an experiment is named after.
    addresses = [stage.address for stage in graph.sources(params)]
    if program.run("dvc", "repro", "--quiet", *addresses).returncode:
        raise StoreError(f"`dvc repro {' '.join(addresses)}` failed; its words are above")
    base, others = plan(variants, params, seeds, graph.digester(), check_params, related_sets)
    # The base comes first: what it leaves in DVC's cache, the others need not run.
    if faults := bring(base, args.jobs):
        raise StoreError(_named(faults, len(base)))
    faults = bring(others, args.jobs)
    runs = read_runs([job for job in [*base, *others] if job.name not in faults])
    level = level_of_params()
    rows = []
    for variant in variants:
        own = [job for job in others if job.variant == variant.name] or base
        if all(job.name in runs for job in own):
            rows.append(answer(variant, params, [runs[j.name] for j in base], [runs[j.name] for j in own], level))
    rows = answered_together(rows)
    begun = baselines()
    commits = Counter(begun[name] for name in runs)
    text = as_markdown(rows, {job.seed: runs[job.name] for job in base}, args.suite.name, level, commits)
    write_page(page, text, CSV_COLUMNS, map(csv_row, rows))
    log.info("%d answers in %s", len(rows), page)
    if faults:
        raise StoreError(_named(faults, len(others)))


def bring(jobs: Sequence[Job], workers: int) -> dict[str, str]:
    """Finish all jobs, whatever an earlier call left: done ones stay done, waiting ones are waited for.

    Returns:
        By name of each job that failed, the end of its log.
    """
    done = finished_experiments()
    waiting = {job.name: job for job in jobs if job.name not in done}
    log.info("%d of %d experiments are finished", len(jobs) - len(waiting), len(jobs))
    if not waiting:
        return {}
    with cluster() as nodes:
        return _queued(waiting, workers) if nodes is None else _nodes.bring(list(waiting.values()), nodes, TARGET)


def _queued(waiting: Mapping[str, Job], workers: int) -> dict[str, str]:
    """The jobs in DVC's queue."""
    queue = _queue.status()
    for number, job in enumerate(Progress(waiting.values(), desc="queue", unit="experiment")):
        if not queue.is_pending(job.name):
            _queue.enqueue(job.name, job.changes, TARGET)
        if number in (0, len(waiting) - 1):  # the first need not wait for the last; workers without work end early
            _queue.start(workers)
    return _wait(waiting, queue, workers)


def _wait(jobs: Mapping[str, Job], before: _queue.Status, workers: int) -> dict[str, str]:
    """Wait for all jobs; one that a killed worker took along is queued once more."""
    faults: dict[str, str] = {}
    waiting, again = set(jobs), set[str]()
    polls, (often, seldom) = 0, POLLS_PER_STATUS
    gap = often
    with Progress(total=len(jobs), desc="experiments", unit="experiment") as progress:
        while waiting:
            time.sleep(POLL_S)
            polls += 1
            if polls == gap:
                faults |= _look_after({name: jobs[name] for name in waiting}, before, again, workers)
                polls, gap = 0, min(2 * gap, seldom)
            waiting -= {*finished_experiments(), *faults}
            progress.update(len(jobs) - len(waiting) - progress.n)
    return faults


def _look_after(jobs: Mapping[str, Job], before: _queue.Status, again: set[str], workers: int) -> dict[str, str]:
    """Faults of jobs that failed since `before`; lost ones are queued, into `again` too, and workers replaced."""
    faults: dict[str, str] = {}
    queue, done = _queue.status(), finished_experiments()  # in this order: what ends in between is not lost
    for name in sorted(set(jobs) - set(done)):
        if queue.failures(name) > before.failures(name):
            faults[name] = _queue.last_words(name)
        elif not queue.is_pending(name) and name in again:
            faults[name] = "its worker ended twice without a result"
        elif not queue.is_pending(name):
            again.add(name)
            _queue.enqueue(name, jobs[name].changes, TARGET)
    if queue.active < min(workers, len(set(jobs) - set(done) - set(faults))):
        _queue.start(workers)
    return faults


def _named(faults: Mapping[str, str], count: int) -> str:
    texts = [f"{name}:\n{words}" for name, words in faults.items()]
    return "\n".join([f"{len(faults)} of {count} experiments failed; what the others gave is kept", *texts])


def read_runs(jobs: Iterable[Job]) -> dict[str, Run]:
    """What finished experiments wrote, by name, read from their commits."""
    commits, splits = finished_experiments(), section("splits", Splits)
    return {job.name: _read_run(commits[job.name], job.heads, splits) for job in jobs}


def _read_run(commit: str, heads: Sequence[str], splits: Sequence[int]) -> Run:
    paths = [path.as_posix() for path in (RESULTS, ACCOUNTING, SUMMARY)]
    with tempfile.TemporaryDirectory() as name:
        root = snapshot(Revision(commit, commit), paths, Path(name))
        costs = read_json(root / ACCOUNTING)["run"]["heads"]
        return Run(
            summary=read_json(root / SUMMARY),
            outcomes=read_all_outcomes(root / RESULTS, heads, splits),
            costs={head: _cost(costs[head]) for head in heads if head in costs},
        )


def _cost(entry: Mapping[str, Any]) -> HeadCost:
    return HeadCost(entry["trainable_parameters"], entry["gmac_per_video"])


if __name__ == "__main__":
    command(main)
