"""Stage `evaluate`: one head, from the logits of each split to accuracies, class table, outcomes."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from moclip.base.files import atomic_path, write_json, write_text
from moclip.params.run import Splits
from moclip.results.halves import half_rows, read_halves, write_half_rows
from moclip.results.intervals import Level
from moclip.results.metrics import class_rows, measure, outcomes_of
from moclip.results.predictions import (
    as_kept,
    keep,
    read_predictions,
    write_class_rows,
    write_kept,
    write_outcomes,
)
from stages._entry import arguments, log, run, section
from stages._layout import (
    Evaluated,
    Predicted,
    chosen_file,
    cost_file,
    evaluated,
    predicted,
    repeat_directory,
    repeats_in,
)
from stages._results import level_of_params


def main() -> None:
    args = arguments("predictions", "out")
    level = level_of_params()
    with atomic_path(args.out) as directory:
        directory.mkdir()
        for split in section("splits", Splits):
            first, *others = (repeat_directory(args.predictions, i) for i in range(repeats_in(args.predictions)))
            repeats = [predicted(other, split).test for other in others]
            write_results(args.out.name, split, predicted(first, split), evaluated(directory, split), level, repeats)
        for file in (cost_file, chosen_file):
            if file(args.predictions).is_file():
                publish(file(args.predictions), file(directory))


def write_results(
    head: str, split: int, given: Predicted, made: Evaluated, level: Level, repeats: Sequence[Path] = ()
) -> None:
    """Write what one split's logits come to, and what repeats of the training say, in these files."""
    predictions = as_kept(read_predictions(given.test))
    metrics = measure(head, split, predictions, level)
    publish(given.history, made.history)
    write_kept(made.logits, keep(predictions, [read_predictions(path) for path in repeats]))
    write_outcomes(made.outcomes, outcomes_of(predictions))
    write_class_rows(made.per_class, class_rows(predictions))
    write_json(made.metrics, asdict(metrics))
    if given.halves.is_file():
        write_half_rows(made.halves, half_rows(predictions, read_halves(given.halves)))
    found = f"top-1 {metrics.top1_pct:.2f} % ({metrics.correct} of {metrics.n_test} videos)"
    of_many = f", by the first of {len(repeats) + 1} trainings" if repeats else ""
    log.info("%s, split %d: %s%s", head, split, found, of_many)


def publish(source: Path, target: Path) -> None:
    """Copy a text to the results, where `heads` decides what there is: the report shows no head that is off."""
    write_text(target, source.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)
