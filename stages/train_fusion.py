"""Train the fusion head on each split: on cached features, on views of them, or with the motion network in the loop."""

from contextlib import ExitStack
from typing import Any

from moclip.data.splits import Split, read_split
from moclip.heads.train import Inputs
from moclip.params.compute import ComputeParams
from moclip.params.heads.fusion import HeadParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.params.run import Seed, Splits
from stages._entry import arguments, run, section
from stages._heads import one_thread, read_inputs, train_and_write
from stages._layout import of_split


def main() -> None:
    paths = ("manifest", "classes", "splits", "motion", "network", "model", "preds")
    args = arguments(*paths, path_lists=("streams",))
    params = section("fusion", HeadParams)
    with ExitStack() as kept:  # a split that is done keeps its state until all are: a kill costs no training
        for number in section("splits", Splits):
            own, seed = of_split(args, number), (section("seed", Seed), "fusion", number)
            split = read_split(own.split, args.classes)
            if params.views or params.online:
                train_with_motion(own, split, params, seed, kept)
            else:
                with one_thread():
                    train_and_write(own, split, Inputs(read_inputs(own, split, params, seed)), params, seed)


def train_with_motion(args: Any, split: Split, params: HeadParams, seed: tuple[int, str, int], kept: ExitStack) -> None:
    """On motion features that differ from epoch to epoch."""
    from stages._motion_views import train_on_views, train_online  # here: cached features need no seconds of timm

    settings = (
        section("motion", MotionParams),
        section("motion_net", MotionNetParams),
        section("compute", ComputeParams),
    )
    if params.online:
        train_online(args, split, params, seed, *settings, kept)
    else:
        train_on_views(args, split, params, seed, *settings)


if __name__ == "__main__":
    run(main)
