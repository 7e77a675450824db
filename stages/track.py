"""Stage `track`, last and always run: show the finished result in MLflow; files in, runs out."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from moclip.errors import StoreError
from moclip.files import read_json
from moclip.flat import flatten
from moclip.history import columns, read_history
from moclip.model_registry import log_model
from moclip.provenance import committed_text, git_state, package_versions
from moclip.schema.run import Heads, Splits
from moclip.track import Child, Point, Result, record, store_at, variant_name
from stages._bill import write_bill
from stages._entry import PARAMS_FILE, all_params, arguments, log, repository, run, section
from stages._lock import Lock, read_lock

REQUIRED_METRICS = ("top1_pct", "top5_pct", "mean_class_pct", "n_test")


def main() -> None:
    results = ("lock", "manifest", "metrics", "history", "summary", "report", "figures", "models")
    args = arguments(*results, "cost_page", "costs", path_lists=("cards",))
    result = read_result(args)
    metrics = [args.metrics / f"{child.head}_split{child.split}.json" for child in result.children]
    write_bill(read_lock(args.lock), [*metrics, args.report, *args.cards], args.summary, args.cost_page, args.costs)
    store = store_at(repository(), os.environ.get("MLFLOW_TRACKING_URI"))
    recorded = record(result, store)
    verb = "made" if recorded.created else "already there"
    log.info("MLflow: '%s', run %s %s in %s", result.variant, recorded.run_id, verb, store.shown)
    log_model(result, recorded.run_id, args.models, store)


def read_result(args: Any) -> Result:
    """Read and check every input, so that nothing is created for a result that is torn."""
    lock = read_lock(args.lock)
    heads, splits = section("heads", Heads), section("splits", Splits)
    summary = read_summary(lock.checked(args.summary), heads, splits)
    pairs = [(head, split) for head in heads for split in splits]
    params = flatten(all_params())
    generated = {*lock.outputs(), args.lock.as_posix(), PARAMS_FILE.as_posix()}
    git = git_state(Path.cwd(), generated)
    return Result(
        dataset=summary["dataset"],
        key=lock.result_key([args.metrics / f"{head}_split{k}.json" for head, k in pairs]),
        variant=variant_name(params, committed_params()),
        params=params,
        tags={
            "mlflow.source.git.commit": git.commit if git else "unknown",
            "moclip.git_dirty": str(git.dirty).lower() if git else "unknown",
        },
        summary=summary_metrics(summary),
        children=[read_child(args, lock, head, split) for head, split in pairs],
        dvc_experiment=os.environ.get("DVC_EXP_NAME"),
        data={args.manifest.name: lock.digest(args.manifest)},
        environment={
            "packages": package_versions(),
            "changed_since_commit": git.changed if git else [],
        },
        artifacts=[
            lock.checked(args.report),
            *map(lock.checked, args.cards),
            args.figures,
            args.summary,
            args.lock,
            PARAMS_FILE,
            args.cost_page,
            args.costs,
        ],
    )


def committed_params() -> Mapping[str, str]:
    """Parameters of the commit that a run starts from; what differs from them names the run."""
    revision = os.environ.get("DVC_EXP_BASELINE_REV", "HEAD")
    text = committed_text(Path.cwd(), PARAMS_FILE.as_posix(), revision)
    return flatten(all_params() if text is None else YAML(typ="safe", pure=True).load(text))


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


def read_child(args: Any, lock: Lock, head: str, split: int) -> Child:
    path = lock.checked(args.metrics / f"{head}_split{split}.json")
    metrics = numbers(read_json(path))
    if missing := [name for name in REQUIRED_METRICS if name not in metrics]:
        raise StoreError(f"{path}: lacks the number '{missing[0]}'; run `dvc repro -f evaluate`")
    history = lock.checked(args.history / f"{head}_split{split}.csv")
    return Child(head, split, metrics, read_curves(history))


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
    run(main)
