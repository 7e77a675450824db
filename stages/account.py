"""Stage `account`: what the networks of the paper and of this run cost by video, counted from the modules."""

from moclip.accounting import paper_costs, run_costs
from moclip.files import write_json
from moclip.manifest import read_classes, read_manifest
from moclip.schema.clip import ClipParams
from moclip.schema.controls import ScoreAverageParams
from moclip.schema.motion import MotionParams
from moclip.schema.training import HeadParams, MotionNetParams
from stages._entry import arguments, log, run, section


def main() -> None:
    args = arguments("manifest", "classes", "out")
    here = run_costs(
        read_manifest(args.manifest).values(),
        len(read_classes(args.classes)),
        section("clip", ClipParams),
        section("motion", MotionParams),
        section("motion_net", MotionNetParams),
        section("fusion", HeadParams),
        section("score_average", ScoreAverageParams),
    )
    paper = paper_costs()
    write_json(args.out, {"paper": paper, "run": here})
    log.info("the paper's fusion head has %s parameters", f"{paper['head_parameters']:,}")


if __name__ == "__main__":
    run(main)
