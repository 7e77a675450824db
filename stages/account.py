"""Stage `account`: what the networks of the paper cost, counted from the modules."""

from moclip.base.files import write_json
from moclip.report.paper_costs import paper_costs
from stages._entry import arguments, log, run


def main() -> None:
    args = arguments("out")
    costs = paper_costs()
    write_json(args.out, costs)
    log.info("the paper's fusion head has %s parameters", f"{costs['head_parameters']:,}")


if __name__ == "__main__":
    run(main)
