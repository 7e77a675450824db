"""Stage `track`, last and always run: show the finished result in MLflow; files in, runs out."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moclip.base.errors import StoreError
from moclip.base.files import read_json
from moclip.params.flat import flatten
from moclip.params.run import Heads, Splits
from moclip.tracking.followers import Followers, Point
from moclip.tracking.outbox import deliver, keep
from moclip.tracking.provenance import git_state, package_versions
from moclip.tracking.record import Child, Result, record, variant_name
from moclip.tracking.registry import log_model
from moclip.tracking.store import ServerError, store_at
from moclip.training.history import columns, read_history
from stages._entry import PARAMS_FILE, all_params, arguments, command, log, repository, section, work_directory
from stages._layout import evaluated
from stages.dvc.baseline import baseline_params
from stages.dvc.bill import write_bill
from stages.dvc.lock import Lock, read_lock

REQUIRED_METRICS = ("top1_pct", "top5_pct", "mean_class_pct", "n_test")


def main() -> None:
    args = arguments(
        *["lock", "manifest", "splits", "motion", "clip", "images", "results", "summary", "report"],
        *["figures", "contact_sheet", "models", "cost_page", "costs"],
        path_lists=("cards",),
    )
    lock = read_lock(args.lock)
    result = read_result(args, lock)
    behind = [*results_of(args), args.report, *args.cards]
    write_bill(lock, behind, args.summary, args.cost_page, args.costs)
    store = store_at(repository(), os.environ.get("MLFLOW_TRACKING_URI"))
    followers, outbox = Followers(work_directory("live")), work_directory("unrecorded")
    try:
        recorded = record(result, store, followers)
        log_model(result, recorded.run_id, args.models, store)
        late = deliver(outbox, lambda kept: record(kept, store, followers))
    except ServerError as error:
        if store.is_file:
            raise
        # An experiment that fails in its last stage would lose its results to a server's bad day.
        log.warning("%s; kept in %s until the next `track` that reaches it", error, keep(result, outbox))
        return
    verb = "made" if recorded.created else "already there"
    log.info("MLflow: '%s', run %s %s in %s", result.variant, recorded.run_id, verb, store.shown)
    if late:
        log.info("MLflow: %d results recorded that had waited for the server", late)


def read_result(args: Any, lock: Lock) -> Result:
    """Read and check every input, so that nothing is created for a result that is torn."""
    heads, splits = section("heads", Heads), section("splits", Splits)
    summary = read_summary(lock.checked(args.summary), heads, splits)
    results = [lock.checked(path) for path in results_of(args)]
    params = flatten(all_params())
    generated = {*lock.outputs(), args.lock.as_posix(), PARAMS_FILE.as_posix()}
    git = git_state(Path.cwd(), generated)
    children = [read_child(args, lock, path, split) for path in results for split in splits]
    data = {path: digest for child in children for path, digest in child.data.items()}
    return Result(
        dataset=summary["dataset"],
        key=lock.result_key(results),
        variant=variant_name(params, flatten(baseline_params())),
        params=params,
        tags={
            "mlflow.source.git.commit": git.commit if git else "unknown",
            "moclip.git_dirty": str(git.dirty).lower() if git else "unknown",
            **data_tags(args, data),
        },
        summary=summary_metrics(summary),
        children=children,
        dvc_experiment=os.environ.get("DVC_EXP_NAME"),
        data=data,
        environment={
            "packages": package_versions(),
            "changed_since_commit": git.changed if git else [],
        },
        artifacts=[
            lock.checked(args.report),
            *map(lock.checked, args.cards),
            args.figures,
            args.contact_sheet,
            args.summary,
            args.lock,
            PARAMS_FILE,
            args.cost_page,
            args.costs,
        ],
    )


def data_tags(args: Any, data: Mapping[str, str]) -> dict[str, str]:
    """Digests of what most comparisons filter by; a result that does without one has no tag for it."""
    named = {"manifest": args.manifest, "motion": args.motion, "clip": args.clip}
    return {f"moclip.digest.{name}": data[path.as_posix()] for name, path in named.items() if path.as_posix() in data}


def read_summary(path: Path, heads: Sequence[str], splits: Sequence[int]) -> Any:
    summary = read_json(path)
    found = (sorted(summary["heads"]), sorted(summary["splits"]))
    if found != (sorted(heads), sorted(splits)):
        raise StoreError(
            f"{path}: holds heads {found[0]} and splits {found[1]}, params.yaml asks for "
            f"{sorted(heads)} and {sorted(splits)}; run `dvc repro`"
        )
    return summary


def summary_metrics(summary: Any) -> dict[str, float]:
    """Means and spreads over the splits, as `fusion/top1_pct_mean`: the UI groups by the slash."""
    return {
        f"{head}/{metric}_{part}": values[part]
        for head, metrics in summary["heads"].items()
        for metric, values in metrics.items()
        for part in ("mean", "std")
        if isinstance(values.get(part), int | float)  # intervals are pairs: they stay in the summary
    }


def results_of(args: Any) -> list[Path]:
    """The directory of each head's results."""
    return [args.results / head for head in section("heads", Heads)]


def read_child(args: Any, lock: Lock, results: Path, split: int) -> Child:
    files = evaluated(results, split)
    metrics = numbers(read_json(files.metrics))
    if missing := [name for name in REQUIRED_METRICS if name not in metrics]:
        raise StoreError(f"{files.metrics}: lacks the number '{missing[0]}'; run `dvc repro -f evaluate`")
    data = lock.read_for(
        results, [args.manifest, args.splits / f"split{split}.csv", args.motion, args.clip, args.images]
    )
    return Child(results.name, split, metrics, read_curves(files.history), data)


def numbers(tree: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a metrics file under dotted names; words and nulls are no metrics."""
    flat: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{name}"] = value
    return flat


def read_curves(path: Path) -> dict[str, list[Point]]:
    """One curve for each column beside `epoch`; a value that was undefined is NaN."""
    history = read_history(path)
    names = columns(history)[1:] if history else ()
    return {name: [(epoch.epoch, getattr(epoch, name)) for epoch in history] for name in names}


if __name__ == "__main__":
    command(main)  # no record of its cost: it writes no result, and it is what lays the bill
