"""Train a head on cached features of each split: the same MLP as fusion's, on CLIP alone, or with foreign motion."""

from moclip.data.splits import read_split
from moclip.heads.train import Inputs
from moclip.params.heads.fusion import HeadParams
from moclip.params.run import Seed, Splits
from stages._entry import arguments, run, section
from stages._heads import one_thread, read_inputs, train_and_write
from stages._layout import of_split


def main() -> None:
    args = arguments("manifest", "classes", "splits", "model", "preds", path_lists=("streams",), words=("head",))
    params = section("fusion", HeadParams)
    for number in section("splits", Splits):
        own, seed = of_split(args, number), (section("seed", Seed), args.head, number)
        split = read_split(own.split, args.classes)
        with one_thread():
            train_and_write(own, split, Inputs(read_inputs(own, split, params, seed)), params, seed)


if __name__ == "__main__":
    run(main)
