"""Not a stage: `moclip ablate` answers the questions of a suite, or tries its encoders, by experiments, as a table.

They run in DVC's queue, or with MOCLIP_CLUSTER on the nodes of a cluster, each in a clone of its own.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moclip.base.errors import DataError, MoclipError, ParamsError, StoreError
from moclip.base.files import read_json
from moclip.base.outputs import claim_page, named, write_page
from moclip.base.progress import Progress
from moclip.cli.options.scripts import parser_of
from moclip.cli.places import PLACES
from moclip.heads.registry import HEADS, MAIN, check_params, related_sets
from moclip.params.clip import DEMO
from moclip.params.encoders import Encoder, EncoderSuite, read_encoders
from moclip.params.run import Splits
from moclip.report.suites import encoders, questions
from moclip.report.suites.encoders import ASKED, EncoderRow
from moclip.results.suite import (
    CSV_COLUMNS,
    HeadCost,
    Job,
    Run,
    answer,
    answered_together,
    choose,
    csv_row,
    job_of,
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
from stages.dvc.bill import stage_cost
from stages.dvc.experiments import Revision, baselines, finished_experiments, snapshot
from stages.dvc.lock import read_lock

RESULTS = Path("results/heads")
ACCOUNTING = Path("reports/accounting.json")
SUMMARY = Path("reports/summary.json")
LOCK = "dvc.lock"
ENCODING = "cache_clip"
TARGET = "track"
POLL_S = 2.0
POLLS_PER_STATUS = (5, 20)  # DVC needs a second of processor time to tell its queue, Git none: it is asked ever less
LOOKS = 3  # at which a running experiment has no worker before it counts as lost: a busy worker answers DVC late


def main() -> None:
    args = parser_of("ablate").parse_args()
    if suite := read_encoders(args.suite):
        _try_encoders(args, suite)
    else:
        _answer_questions(args)


def _answer_questions(args: argparse.Namespace) -> None:
    variants = choose(read_suite(args.suite, HEADS, MAIN), args.names)
    if args.list:
        sys.stdout.writelines(f"{variant.name:24} {variant.question}\n" for variant in variants)
        return
    page, params = _begin(args.out or PLACES.ablations)
    seeds = list(range(params["seed"], params["seed"] + args.seeds))
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
    text = questions.as_markdown(rows, {job.seed: runs[job.name] for job in base}, args.suite.name, level, _begun(runs))
    write_page(page, text, CSV_COLUMNS, map(csv_row, rows))
    log.info("%d answers in %s", len(rows), page)
    if faults:
        raise StoreError(_named(faults, len(others)))


def _try_encoders(args: argparse.Namespace, suite: EncoderSuite) -> None:
    chosen = choose(suite.encoders, args.names)
    if args.list:
        sys.stdout.writelines(
            f"{encoder.name:32} {encoder.model} {encoder.tag or ''}".rstrip() + "\n" for encoder in chosen
        )
        return
    if args.seeds > 1:
        raise ParamsError(
            "--seeds: of encoders, one run each is tried; `seeds.heads` says how often each head is trained"
        )
    _bring_weights(chosen)
    page, params = _begin(args.out or PLACES.encoders)
    code = graph.digester()
    jobs = [
        job_of(one.name, params["seed"], ASKED, {**suite.set, **one.changes}, params, code, check_params, related_sets)
        for one in chosen
    ]
    faults = bring(jobs, args.jobs)
    rows = [_row(one, job) for one, job in zip(chosen, jobs, strict=True) if job.name not in faults]
    if rows:
        commits = _begun(row.experiment for row in rows).most_common()
        write_page(
            page,
            encoders.as_markdown(rows, args.suite.name, suite.set, commits),
            encoders.CSV_COLUMNS,
            map(encoders.csv_row, rows),
        )
        log.info("encoders in %s: %d", page, len(rows))
    if faults:
        raise StoreError(_named(faults, len(jobs)))


def _bring_weights(chosen: Sequence[Encoder]) -> None:
    """Have the weights of all encoders here, or name those without before anything runs."""
    from moclip.clip.weights import bring as bring_weights  # PyTorch takes seconds, and questions need none

    faults = {}
    for encoder in chosen:
        try:
            if encoder.model != DEMO:
                bring_weights(encoder.model, encoder.tag)
        except MoclipError as error:
            faults[encoder.name] = str(error)
    if faults:
        texts = [f"{name}: {words}" for name, words in faults.items()]
        raise DataError(
            "\n".join([f"{len(faults)} of {len(chosen)} encoders have no weights; nothing was run", *texts])
        )


def _row(encoder: Encoder, job: Job) -> EncoderRow:
    """What a finished experiment says of its encoder."""
    commit = finished_experiments()[job.name]
    with tempfile.TemporaryDirectory() as name:
        root = snapshot(Revision(commit, commit), [SUMMARY.as_posix(), ACCOUNTING.as_posix(), LOCK], Path(name))
        network = read_json(root / ACCOUNTING)["run"]["clip"]
        encoding = stage_cost(read_lock(root / LOCK), ENCODING).cost
        return EncoderRow(encoder, job.name, read_json(root / SUMMARY), network, encoding)


def _begin(out: Path) -> tuple[Path, dict[str, Any]]:
    """The page to write and the parameters, once all is there that every experiment needs."""
    claim_page(page := named(out).with_suffix(".md"))
    params = all_params()
    # A mistyped address would fail every experiment in its last stage.
    check_database(store_at(repository(), os.environ.get(VARIABLE)))
    # What comes from outside, such as videos, is part of what an experiment is named after.
    addresses = [stage.address for stage in graph.sources(params)]
    if program.run("dvc", "repro", "--quiet", *addresses).returncode:
        raise StoreError(f"`dvc repro {' '.join(addresses)}` failed; its words are above")
    return page, params


def _begun(names: Iterable[str]) -> Counter[str]:
    """How many of these experiments were begun at each commit."""
    begun = baselines()
    return Counter(begun[name] for name in names)


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
    waiting, again, missed = set(jobs), set[str](), Counter[str]()
    polls, (often, seldom) = 0, POLLS_PER_STATUS
    gap = often
    with Progress(total=len(jobs), desc="experiments", unit="experiment") as progress:
        while waiting:
            time.sleep(POLL_S)
            polls += 1
            if polls == gap:
                faults |= _look_after({name: jobs[name] for name in waiting}, before, again, missed, workers)
                polls, gap = 0, often if any(missed.values()) else min(2 * gap, seldom)
            waiting -= {*finished_experiments(), *faults}
            progress.update(len(jobs) - len(waiting) - progress.n)
    return faults


def _look_after(
    jobs: Mapping[str, Job], before: _queue.Status, again: set[str], missed: Counter[str], workers: int
) -> dict[str, str]:
    """Faults of jobs that failed since `before`; lost ones are queued, into `again` too, and workers replaced.

    `missed` counts the looks in a row at which a job was in no worker's hands.
    """
    faults: dict[str, str] = {}
    queue, done = _queue.status(), finished_experiments()  # in this order: what ends in between is not lost
    for name in sorted(set(jobs) - set(done)):
        missed[name] = 0 if queue.is_pending(name) else missed[name] + 1
        if queue.failures(name) > before.failures(name):
            faults[name] = _queue.last_words(name)
        elif missed[name] >= LOOKS and name in again:
            faults[name] = "its worker ended twice without a result"
        elif missed[name] >= LOOKS:
            missed[name] = 0
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
