"""Stage `evaluate`: one head on one split, from logits to accuracies, class table, outcomes."""

from dataclasses import asdict

from moclip.files import write_json, write_text
from moclip.metrics import class_rows, measure, outcomes_of
from moclip.predictions import read_predictions, write_class_rows, write_outcomes
from moclip.schema.evaluate import EvaluateParams
from moclip.schema.run import Seed
from stages._entry import arguments, log, run, section


def main() -> None:
    inputs, outputs = ("predictions", "epochs"), ("history", "metrics", "per_class", "outcomes")
    args = arguments(*inputs, *outputs, numbers=("split",), words=("head",))
    params, seed = section("evaluate", EvaluateParams), section("seed", Seed)
    predictions = read_predictions(args.predictions)
    metrics = measure(args.head, args.split, predictions, seed=seed, **params.model_dump())
    # Published here, where `heads` decides what there is: the report shows no head that is off.
    write_text(args.history, args.epochs.read_text(encoding="utf-8"))
    write_outcomes(args.outcomes, outcomes_of(predictions))
    write_class_rows(args.per_class, class_rows(predictions))
    write_json(args.metrics, asdict(metrics))
    found = f"top-1 {metrics.top1_pct:.2f} % ({metrics.correct} of {metrics.n_test} videos)"
    log.info("%s, split %d: %s", args.head, args.split, found)


if __name__ == "__main__":
    run(main)
