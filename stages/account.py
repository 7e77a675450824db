"""Stage `account`: what the networks of the paper and of this run cost by video, counted from the modules."""

from moclip.base.files import write_json
from moclip.data.manifest import read_classes, read_manifest
from moclip.params.clip import ClipParams
from moclip.params.heads.fusion import HeadParams
from moclip.params.heads.score_average import ScoreAverageParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.report.accounting import paper_costs, run_costs
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
