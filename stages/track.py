"""Stage `track`, last and always run: show the finished result in MLflow; files in, runs out."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from moclip.base.files import read_json
from moclip.cli import results as last_words
from moclip.data.dataset import SPLITS
from moclip.data.identity import identity
from moclip.data.manifest import read_classes, read_manifest
from moclip.data.splits import read_members
from moclip.heads.registry import Heads
from moclip.params.flat import flatten
from moclip.params.run import Splits
from moclip.predict.bundle import Pipeline
from moclip.predict.origin import Record
from moclip.tracking import tags
from moclip.tracking.provenance import GitState, c_library, git_state, package_versions, processor
from moclip.tracking.publish import publish
from moclip.tracking.result import (
    Child,
    Result,
    digest_tags,
    read_child,
    read_summary,
    variant_name,
    verdict_tags,
)
from moclip.tracking.store import store_at
from moclip.tracking.view.measures import measures
from moclip.tracking.view.notes import result_note
from moclip.tracking.view.titles import data_names
from stages._cluster import check_database
from stages._entry import PARAMS_FILE, all_params, arguments, command, log, repository, section, work_directory
from stages._layout import evaluated, split_file
from stages.dvc.baseline import baseline_params
from stages.dvc.bill import span, write_bill
from stages.dvc.cost import dvc_command
from stages.dvc.lock import Lock, read_lock


def main() -> None:
    args = arguments(
        *["manifest", "splits", "motion", "clip", "images", "results", "summary", "report", "verdicts"],
        *["figures", "contact_sheet", "models", "classes", "texts", "encoder", "cost_page", "costs"],
        *["dataset", "preds"],
        path_lists=("locks", "cards"),
    )
    lock = read_lock(*args.locks)
    results = [args.results / head for head in section("heads", Heads)]
    pages = [lock.checked(path) for path in (args.report, args.verdicts, *args.cards)]
    result = read_result(
        lock,
        git_state(Path.cwd(), {*lock.outputs(), *(path.as_posix() for path in (*args.locks, PARAMS_FILE))}),
        results,
        args.summary,
        args.verdicts,
        {name: vars(args)[name] for name in ("manifest", "splits", "motion", "clip", "images")},
        [
            *[*pages, args.figures, args.contact_sheet, args.cost_page, args.costs, PARAMS_FILE],
            *[args.locks[0], *(path.parent for path in args.locks[1:])],  # equal names do not go into one directory
        ],
        content(lock, args.manifest, args.classes, args.splits),
    )
    write_bill(lock, [*results, *pages], args.summary, args.cost_page, args.costs)
    started_s, ended_s = span(lock, [*results, *pages])
    result = replace(result, started_ms=milliseconds(started_s), ended_ms=milliseconds(ended_s))
    store = store_at(repository(), os.environ.get("MLFLOW_TRACKING_URI"))
    check_database(store)
    record = Record(args.dataset, args.manifest, args.splits, args.preds)
    models = Pipeline(args.models, args.classes, args.texts, args.encoder, record)
    publish(result, models, store, work_directory("unrecorded"), dvc_command())
    if log.isEnabledFor(logging.INFO):  # the last word of `dvc repro` and `dvc exp run`
        last_words.run(args)


def milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)


def content(lock: Lock, manifest: Path, classes: Path, splits: Path) -> str:
    """Stands for what the data set is: its videos, its classes, and all splits that were drawn."""
    members = {k: read_members(split_file(lock.checked(splits), k, ".csv")) for k in SPLITS}
    return identity(read_manifest(lock.checked(manifest)), read_classes(lock.checked(classes)), members)


def read_result(
    lock: Lock,
    git: GitState | None,
    results: Sequence[Path],
    summary_file: Path,
    verdicts: Path,
    inputs: Mapping[str, Path],
    artifacts: Sequence[Path],
    data_set: str = "",
) -> Result:
    """Read and check every input, so that nothing is created for a result that is torn.

    Args:
        lock: What DVC's lock files say.
        git: The commit, and changes on top of it.
        results: A directory for each head.
        summary_file: The summary over heads and splits.
        verdicts: The verdict on each paper, by its name.
        inputs: Data files and directories by name; `splits` is a directory with one file a split.
        artifacts: What goes into MLflow as it is, beside the summary.
        data_set: Stands for the content of videos, classes and splits.
    """
    splits = section("splits", Splits)
    summary = read_summary(lock.checked(summary_file), [path.name for path in results], splits)
    children = [read_head(lock, path, split, inputs) for path in results for split in splits]
    data = {path: digest for child in children for path, digest in child.data.items()}
    params, baseline, told = flatten(all_params()), flatten(baseline_params()), read_json(verdicts)
    return Result(
        dataset=summary["dataset"],
        key=lock.result_key(results),
        identity=data_set,
        variant=variant_name(params, baseline),
        baseline=baseline,
        params=params,
        tags={
            "mlflow.source.git.commit": git.commit if git else "unknown",
            "moclip.git_dirty": str(git.dirty).lower() if git else "unknown",
            tags.KERNELS: str(params["compute.kernels"]),
            tags.CPU: processor(),
            tags.GLIBC: c_library(),
            **digest_tags({name: inputs[name] for name in ("manifest", "motion", "clip")}, data),
        },
        summary=measures(summary),
        note=result_note(summary, told),
        children=children,
        verdicts=verdict_tags(told),
        dvc_experiment=os.environ.get("DVC_EXP_NAME"),
        data=data,
        data_names=data_names(summary["dataset"], inputs, data),
        environment={"packages": package_versions(), "changed_since_commit": git and list(git.changed)},
        artifacts=[summary_file, *artifacts],
    )


def read_head(lock: Lock, results: Path, split: int, inputs: Mapping[str, Path]) -> Child:
    read = {**inputs, "splits": split_file(inputs["splits"], split, ".csv")}
    files = evaluated(results, split)
    return read_child(results.name, split, files.metrics, files.history, lock.read_for(results, read.values()))


if __name__ == "__main__":
    command(main)  # no record of its cost: it writes no result, and it adds up the costs of the others
