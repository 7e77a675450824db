"""Stage `report`: summary, gains, costs, outcomes and histories to report.md and its figures."""

import os

from moclip.base.files import atomic_path, read_json, sha256_file, write_text
from moclip.heads.registry import main_head
from moclip.params.run import Heads, Splits
from moclip.report.page import Inputs, draw, render, trained
from moclip.results.gains import read_class_gains
from moclip.results.predictions import read_outcomes
from moclip.tracking.provenance import package_versions
from moclip.training.history import read_history
from stages._entry import all_params, arguments, run, section
from stages._layout import evaluated


def main() -> None:
    paths = ("summary", "gains", "accounting", "results", "manifest", "audit", "contact_sheet")
    args = arguments(*paths, "figures", "out")
    heads: list[str] = list(section("heads", Heads))
    splits: list[int] = list(section("splits", Splits))
    shown = main_head(heads)
    files = {head: {k: evaluated(args.results / head, k) for k in splits} for head in heads}
    histories = {head: {k: read_history(made.history) for k, made in files[head].items()} for head in heads}
    inputs = Inputs(
        summary=read_json(args.summary),
        params=all_params(),
        gains=read_class_gains(args.gains),
        accounting=read_json(args.accounting),
        outcomes={k: read_outcomes(made.outcomes) for k, made in files[shown].items()},
        histories={head: by_split for head, by_split in histories.items() if trained(by_split)},
        audit=read_json(args.audit),
        contact_sheet=os.path.relpath(args.contact_sheet, args.out.parent),
        digests={args.manifest.name: sha256_file(args.manifest)},
        versions=package_versions(),
    )
    with atomic_path(args.figures) as directory:
        directory.mkdir()
        drawn = draw(inputs, directory)
    at = os.path.relpath(args.figures, args.out.parent)
    write_text(args.out, render(inputs, {chart: f"{at}/{name}" for chart, name in drawn.items()}))


if __name__ == "__main__":
    run(main)
