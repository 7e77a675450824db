"""Train a head on cached features of one split: the same MLP as fusion's, on CLIP alone (clip_probe)."""

import torch

from moclip.features import read_features
from moclip.head_training import Inputs, read_parts
from moclip.manifest import read_split
from moclip.schema.run import Seed
from moclip.schema.training import HeadParams
from stages._entry import arguments, run, section
from stages._heads import train_and_write


def main() -> None:
    args = arguments(
        "manifest",
        "classes",
        "split",
        "model",
        "history",
        "preds",
        path_lists=("streams",),
        numbers=("number",),
        words=("head",),
    )
    params = section("fusion", HeadParams)
    torch.set_num_threads(1)  # the MLP is so small that handing work to a second thread takes longer
    parts = read_parts([read_features(path) for path in args.streams], read_split(args.split))
    train_and_write(args, Inputs(parts), params, (section("seed", Seed), args.head, args.number))


if __name__ == "__main__":
    run(main)
