"""Train a head on cached features of one split: the same MLP as fusion's, on CLIP alone, or with foreign motion."""

import torch

from moclip.head_training import Inputs
from moclip.schema.run import Seed
from moclip.schema.training import HeadParams
from stages._entry import arguments, run, section
from stages._heads import read_inputs, train_and_write


def main() -> None:
    args = arguments(
        "manifest",
        "classes",
        "split",
        "model",
        "history",
        "preds",
        "val_preds",
        path_lists=("streams",),
        numbers=("number",),
        words=("head",),
    )
    params, seed = section("fusion", HeadParams), (section("seed", Seed), args.head, args.number)
    torch.set_num_threads(1)  # the MLP is so small that handing work to a second thread takes longer
    train_and_write(args, Inputs(read_inputs(args, params, seed)), params, seed)


if __name__ == "__main__":
    run(main)
