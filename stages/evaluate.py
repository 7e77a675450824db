"""Stage `evaluate`: one head, from the logits of each split to accuracies, class table, outcomes."""

from dataclasses import asdict

from moclip.base.files import atomic_path, write_json, write_text
from moclip.params.evaluate import EvaluateParams
from moclip.params.run import Seed, Splits
from moclip.results.metrics import class_rows, measure, outcomes_of
from moclip.results.predictions import read_predictions, write_class_rows, write_outcomes
from stages._entry import arguments, log, run, section
from stages._layout import evaluated, predicted


def main() -> None:
    args = arguments("predictions", "out", words=("head",))
    params, seed = section("evaluate", EvaluateParams), section("seed", Seed)
    with atomic_path(args.out) as directory:
        directory.mkdir()
        for split in section("splits", Splits):
            given, made = predicted(args.predictions, split), evaluated(directory, split)
            predictions = read_predictions(given.preds)
            metrics = measure(args.head, split, predictions, seed=seed, **params.model_dump())
            # Published here, where `heads` decides what there is: the report shows no head that is off.
            write_text(made.history, given.history.read_text(encoding="utf-8"))
            write_outcomes(made.outcomes, outcomes_of(predictions))
            write_class_rows(made.per_class, class_rows(predictions))
            write_json(made.metrics, asdict(metrics))
            found = f"top-1 {metrics.top1_pct:.2f} % ({metrics.correct} of {metrics.n_test} videos)"
            log.info("%s, split %d: %s", args.head, split, found)


if __name__ == "__main__":
    run(main)
