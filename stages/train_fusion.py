"""Train the fusion head on one split: on cached features, on views of them, or with the motion network in the loop."""

import torch

from moclip.head_training import Inputs
from moclip.schema.compute import ComputeParams
from moclip.schema.motion import MotionParams
from moclip.schema.run import Seed
from moclip.schema.training import HeadParams, MotionNetParams
from stages._entry import arguments, run, section
from stages._heads import read_inputs, train_and_write


def main() -> None:
    args = arguments(
        "manifest",
        "classes",
        "split",
        "motion",
        "network",
        "model",
        "history",
        "preds",
        "val_preds",
        path_lists=("streams",),
        numbers=("number",),
    )
    params, seed = section("fusion", HeadParams), (section("seed", Seed), "fusion", args.number)
    if params.views or params.online:
        from stages._motion_views import train_on_views, train_online  # here: cached features need no seconds of timm

        settings = section("motion", MotionParams), section("motion_net", MotionNetParams)
        train = train_online if params.online else train_on_views
        train(args, params, seed, *settings, section("compute", ComputeParams))
        return
    torch.set_num_threads(1)  # the MLP is so small that handing work to a second thread takes longer
    train_and_write(args, Inputs(read_inputs(args, params, seed)), params, seed)


if __name__ == "__main__":
    run(main)
