"""Stage `plots`: results of all heads and splits, to the few tables that `dvc plots` draws."""

from moclip.files import read_json
from moclip.heads import main_head
from moclip.history import read_history
from moclip.plot_tables import (
    ACCURACY,
    CONFUSION,
    CURVES,
    RECALL,
    accuracy_rows,
    confusion_rows,
    curve_rows,
    recall_rows,
)
from moclip.predictions import read_class_rows, read_outcomes
from moclip.schema.run import Heads, Splits
from moclip.tables import write_csv
from stages._entry import arguments, run, section


def main() -> None:
    inputs = ("summary", "history", "per_class", "outcomes")
    args = arguments(*inputs, "accuracy", "val_top1", "train_loss", "recall", "confusion")
    heads: list[str] = list(section("heads", Heads))
    splits: list[int] = list(section("splits", Splits))
    shown = main_head(heads)
    histories = {head: {k: read_history(args.history / f"{head}_split{k}.csv") for k in splits} for head in heads}
    write_csv(args.accuracy, ACCURACY, accuracy_rows(read_json(args.summary)))
    write_csv(args.val_top1, CURVES, curve_rows(histories, "val_top1_pct"))
    write_csv(args.train_loss, CURVES, curve_rows(histories, "train_loss"))
    names = [f"{shown}_split{k}.csv" for k in splits]
    write_csv(args.recall, RECALL, recall_rows([read_class_rows(args.per_class / name) for name in names]))
    write_csv(args.confusion, CONFUSION, confusion_rows([read_outcomes(args.outcomes / name) for name in names]))


if __name__ == "__main__":
    run(main)
