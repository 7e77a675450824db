"""Stage `plots`: results of all heads and splits, to the few tables that `dvc plots` draws."""

from moclip.base.files import read_json
from moclip.base.tables import write_csv
from moclip.heads.registry import main_head
from moclip.params.run import Heads, Splits
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
from moclip.results.predictions import read_class_rows, read_outcomes
from moclip.training.history import read_history
from stages._entry import arguments, run, section
from stages._layout import evaluated


def main() -> None:
    args = arguments("summary", "results", "accuracy", "val_top1", "train_loss", "recall", "confusion")
    heads: list[str] = list(section("heads", Heads))
    splits: list[int] = list(section("splits", Splits))
    shown = main_head(heads)
    files = {head: {k: evaluated(args.results / head, k) for k in splits} for head in heads}
    histories = {head: {k: read_history(made.history) for k, made in files[head].items()} for head in heads}
    write_csv(args.accuracy, ACCURACY, accuracy_rows(read_json(args.summary)))
    write_csv(args.val_top1, CURVES, curve_rows(histories, "val_top1_pct"))
    write_csv(args.train_loss, CURVES, curve_rows(histories, "train_loss"))
    of_shown = files[shown].values()
    write_csv(args.recall, RECALL, recall_rows([read_class_rows(made.per_class) for made in of_shown]))
    write_csv(args.confusion, CONFUSION, confusion_rows([read_outcomes(made.outcomes) for made in of_shown]))


if __name__ == "__main__":
    run(main)
