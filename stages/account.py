"""Stage `account`: what the networks of the papers cost, counted from their shapes."""

from moclip.base.files import write_json
from moclip.report.paper_costs import paper_costs
from moclip.report.papers import read_papers
from stages._entry import arguments, log, run


def main() -> None:
    args = arguments("papers", "out")
    counted = paper_costs(read_papers(args.papers))
    write_json(args.out, counted)
    for name, costs in counted.items():
        log.info("%s: %s parameters (%s)", name, f"{costs['parameters']['count']:,}", costs["parameters"]["of"])


if __name__ == "__main__":
    run(main)
