"""Train a motion network on each split, as often as `seeds` says; keep predictions, and frozen features."""

from moclip.base.parallel import cores
from moclip.params.compute import ComputeParams
from moclip.params.motion_net import MotionNetParams
from moclip.params.run import SeedsParams, Splits
from stages._entry import arguments, run, section
from stages._layout import split_file
from stages._motion_split import Task, publish, train
from stages._ranks import asked
from stages._side_by_side import side_by_side


def main() -> None:
    args = arguments("classes", "splits", "motion", "model", "preds", optional=("features",), words=("head",))
    tasks = [
        Task(args.head, split, args.classes, split_file(args.splits, split, ".csv"), args.motion, repeat)
        for repeat in range(section("seeds", SeedsParams).motion)
        for split in section("splits", Splits)
    ]
    # The large network needs the memory, or the accelerator, for itself; native kernels, and ranks, take all cores.
    is_large = section("motion_net", MotionNetParams).arch == "efficientnet_b0"
    alone = is_large or section("compute", ComputeParams).kernels == "native" or asked() is not None
    side_by_side(train, tasks, 1 if alone else min(cores(), len(tasks)))
    for task in tasks:
        publish(task, args.model, args.features, args.preds)


if __name__ == "__main__":
    run(main)
