"""Stage `summarize`: figures and outcomes of the active heads and splits, to one summary and a table of gains."""

from moclip.base.files import read_json, write_json
from moclip.params.evaluate import EvaluateParams
from moclip.params.run import Heads, Seed, Splits
from moclip.results.gains import class_gains, write_class_gains
from moclip.results.headline import headline
from moclip.results.predictions import read_outcomes
from moclip.results.summary import Bootstrap, Result, read_metrics, summarize
from stages._entry import arguments, run, section
from stages._layout import evaluated


def main() -> None:
    args = arguments("dataset", "results", "gains", "headline", "out")
    evaluate, seed = section("evaluate", EvaluateParams), section("seed", Seed)
    dataset = read_json(args.dataset)
    results: dict[str, dict[int, Result]] = {
        head: {
            split: Result(read_metrics(files.metrics, head, split), read_outcomes(files.outcomes))
            for split in section("splits", Splits)
            for files in [evaluated(args.results / head, split)]
        }
        for head in section("heads", Heads)
    }
    bootstrap = Bootstrap(**evaluate.model_dump(), seed=seed)
    fusion, probe = (
        {split: result.outcomes for split, result in results.get(head, {}).items()} for head in ("fusion", "clip_probe")
    )
    write_class_gains(args.gains, class_gains(fusion, probe, bootstrap) if fusion and probe else [])
    summary = summarize(dataset["name"], dataset["complete"], results, bootstrap)
    write_json(args.headline, headline(summary))
    write_json(args.out, summary)


if __name__ == "__main__":
    run(main)
