"""Stage `summarize`: figures and outcomes of the active heads and splits, to one summary and a table of gains."""

from dataclasses import asdict

from moclip.base.files import read_json, write_json
from moclip.heads.registry import CONTROL, HEADS, MAIN, MOTION, QUOTED, Heads, contrasts
from moclip.params.run import SeedsParams, Splits
from moclip.results.gains import class_gains, omnibus, write_class_gains
from moclip.results.seeds import Seeds
from moclip.results.summary import Result, key_figures, read_metrics, summarize
from stages._entry import arguments, run, section
from stages._layout import evaluated
from stages._results import level_of_params, read_all_halves, read_all_outcomes


def main() -> None:
    args = arguments("dataset", "results", "gains", "headline", "out")
    heads: list[str] = section("heads", Heads)
    splits: list[int] = list(section("splits", Splits))
    outcomes, level = read_all_outcomes(args.results, heads, splits), level_of_params()
    halves = {head: read_all_halves(args.results, head, splits) for head in heads}
    results = {
        head: {
            k: Result(read_metrics(evaluated(args.results / head, k).metrics, head, k), own[k], halves[head].get(k))
            for k in splits
        }
        for head, own in outcomes.items()
    }
    both = MAIN in heads and CONTROL in heads
    first = {head: {k: own.first for k, own in by_split.items()} for head, by_split in outcomes.items()}
    write_class_gains(args.gains, class_gains(first[MAIN], first[CONTROL], level) if both else [])
    dataset = read_json(args.dataset)
    primary = (MAIN, CONTROL) if both else None
    seeds = {head: seeds_of(head) for head in heads}
    summary = summarize(dataset["name"], dataset["complete"], results, level, contrasts(heads), primary, seeds)
    if both:
        summary["by_class"] = asdict(omnibus(first[MAIN], first[CONTROL], level))
    write_json(args.headline, key_figures(summary, QUOTED, (MAIN, CONTROL)))
    write_json(args.out, summary)


def seeds_of(head: str) -> Seeds:
    """What the trainings of a head share: where there is one training of the motion network, all heads on motion do."""
    spec, networks = HEADS[head], section("seeds", SeedsParams).motion
    if MOTION not in spec.streams:
        return Seeds(is_fixed=spec.draws_nothing)
    if networks == 1 and spec.section != "motion_net" and not spec.own_network:
        return Seeds(shared="the motion network")
    return Seeds(networks)


if __name__ == "__main__":
    run(main)
