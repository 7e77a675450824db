"""`moclip results`: the table of the last run."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moclip.base.errors import StoreError
from moclip.base.outside.terminal import name, say
from moclip.cli.places import PLACES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("summary", type=Path, nargs="?", default=PLACES.summary)
    parser.add_argument("--report", type=Path, default=PLACES.report, help="named below the table")
    parser.add_argument("--costs", type=Path, default=PLACES.costs, help="what it cost, if that is known")


def run(args: argparse.Namespace) -> int:
    """Print the table, where the report is, and what the run cost."""
    from moclip.base.files import read_json, sha256_file
    from moclip.report.cost import cost_line

    if not args.summary.is_file():
        raise StoreError(
            f"{args.summary}: cannot be read, since nothing of that name is here; go to the top of the repository of "
            "moclip, and run `make repro` where nothing has run yet"
        )
    say(text_table(read_json(args.summary)))
    say(f"\nreport: {args.report}")
    costs = read_json(args.costs) if args.costs.exists() else None
    if costs and costs["summary_sha256"] == sha256_file(args.summary):  # of another result, it says nothing here
        say(cost_line(costs))
    return 0


def text_table(summary: Mapping[str, Any]) -> str:
    """Top-1 by head and split, with the mean and its interval over recordings."""
    from moclip.base.markdown import aligned
    from moclip.heads.registry import HEADS

    splits = [str(split) for split in summary["splits"]]
    header = [
        "top-1 in %",
        *(f"split {split}" for split in splits),
        "mean",
        f"{summary['confidence_pct']:g} % interval",
        "test videos",
    ]
    rows = [_row(head, summary["heads"][head], splits) for head in HEADS if head in summary["heads"]]
    return f"data set: {name(summary['dataset'])}\n{aligned([header, *rows], right=range(1, len(header)))}"


def _row(head: str, values: Mapping[str, Any], splits: Sequence[str]) -> list[str]:
    top1 = values["top1_pct"]
    counts = " + ".join(str(values["n_test"][split]) for split in splits)
    figures = [*(top1["per_split"][split] for split in splits), top1["mean"]]
    return [head, *(f"{figure:.1f}" for figure in figures), _span(values["top1_interval_pct"]["mean"]), counts]


def _span(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "-"
    low, high = interval["low"], interval["high"]
    return f"{low:.1f} to {high:.1f}" if low < high else "none by design"
