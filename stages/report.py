"""Stage `report`: results to the report with its figures, verdicts, both cards, and the tables of `dvc plots`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moclip.base.files import atomic_path, read_json, sha256_file, write_json, write_text
from moclip.base.tables import write_csv
from moclip.data.manifest import read_manifest
from moclip.heads.registry import Heads, main_head
from moclip.params.run import Splits
from moclip.report.accounting import run_costs
from moclip.report.cards import data_card, model_card
from moclip.report.page import ReportData, draw, report_page, trained
from moclip.report.papers import read_papers
from moclip.report.plot_tables import (
    ACCURACY,
    CONFUSION,
    CURVES,
    RECALL,
    accuracy_rows,
    confusion_rows,
    curve_rows,
    recall_rows,
)
from moclip.report.verdict import judge, record
from moclip.results.gains import read_class_gains
from moclip.results.predictions import Outcomes, read_class_rows
from moclip.tracking.provenance import package_versions
from moclip.training.history import Epoch, read_history
from stages._entry import all_params, arguments, run, section
from stages._layout import evaluated
from stages._results import read_all_outcomes, read_costs

SEARCH = Path("search", "search.json")  # of the results; the stage `search` writes it
Histories = Mapping[str, Mapping[int, Sequence[Epoch]]]


def main() -> None:
    args = arguments(
        *("papers", "summary", "gains", "results", "paper_costs", "dataset", "manifest", "audit", "contact_sheet"),
        *("accounting", "figures", "plots", "model_card", "data_card", "verdicts", "out"),
    )
    heads: list[str] = section("heads", Heads)
    splits: list[int] = list(section("splits", Splits))
    shown, params, videos = main_head(heads), all_params(), read_manifest(args.manifest).videos
    summary, audit, dataset = read_json(args.summary), read_json(args.audit), read_json(args.dataset)
    accounting = {"papers": read_json(args.paper_costs), "run": run_costs(read_costs(args.results, heads), videos)}
    search = read_json(args.results / SEARCH) if params["related"] else None
    trials = judge(read_papers(args.papers), summary, params, accounting["papers"], search)
    histories = {head: {k: read_history(evaluated(args.results / head, k).history) for k in splits} for head in heads}
    outcomes = read_all_outcomes(args.results, [shown], splits)[shown]
    data = ReportData(
        summary=summary,
        params=params,
        gains=read_class_gains(args.gains),
        trials=trials,
        accounting=accounting,
        outcomes=outcomes,
        histories={head: by_split for head, by_split in histories.items() if trained(by_split)},
        audit=audit,
        contact_sheet=os.path.relpath(args.contact_sheet, args.out.parent),
        digests={args.manifest.name: sha256_file(args.manifest)},
        versions=package_versions(),
        search=search,
        damaged=sum(video.is_damaged for video in videos),
    )
    write_json(args.accounting, accounting)
    write_json(args.verdicts, record(trials))
    write_plots(args.plots, summary, histories, args.results / shown, outcomes)
    write_text(args.model_card, model_card(summary, params, accounting, audit, dataset, trials))
    write_text(args.data_card, data_card(dataset, params, audit, videos))
    write_report(data, args.figures, args.out)


def write_plots(
    directory: Path, summary: Any, histories: Histories, shown: Path, outcomes: Mapping[int, Outcomes]
) -> None:
    """Write the tables of all charts; recall and confusion are those of one head, whose results lie in `shown`."""
    recalls = [read_class_rows(evaluated(shown, split).per_class) for split in outcomes]
    with atomic_path(directory) as folder:
        write_csv(folder / "accuracy.csv", ACCURACY, accuracy_rows(summary))
        write_csv(folder / "val_top1.csv", CURVES, curve_rows(histories, "val_top1_pct"))
        write_csv(folder / "train_loss.csv", CURVES, curve_rows(histories, "train_loss"))
        write_csv(folder / "recall.csv", RECALL, recall_rows(recalls))
        write_csv(folder / "confusion.csv", CONFUSION, confusion_rows(list(outcomes.values())))


def write_report(data: ReportData, figures: Path, out: Path) -> None:
    """Draw the figures, and write the page that shows them."""
    with atomic_path(figures) as directory:
        directory.mkdir()
        drawn = draw(data, directory)
    at = os.path.relpath(figures, out.parent)
    write_text(out, report_page(data, {chart: f"{at}/{name}" for chart, name in drawn.items()}))


if __name__ == "__main__":
    run(main)
