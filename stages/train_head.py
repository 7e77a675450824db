"""Train a head on cached features of one split: fusion on both streams, clip_probe on CLIP alone."""

import torch

from moclip.features import read_features
from moclip.head_training import head_logits, read_parts, train_head
from moclip.history import write_history
from moclip.manifest import read_classes, read_split
from moclip.models.store import save_model
from moclip.schema.run import Seed
from moclip.schema.training import HeadParams
from stages._entry import arguments, run, section
from stages._live import Live
from stages._results import members_of, write_test_predictions


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
    members = read_split(args.split)
    parts = read_parts([read_features(path) for path in args.streams], members)
    classes = len(read_classes(args.classes))
    live = Live(args.head, args.number, params.epochs, args.manifest)
    head, history = train_head(parts, classes, params, (section("seed", Seed), args.head, args.number), live)
    save_model(args.model, head, head.config())
    write_history(args.history, history)
    logits = head_logits(head, parts["test"].inputs)
    write_test_predictions(args.preds, members_of(members, "test"), logits, args.classes, args.manifest)


if __name__ == "__main__":
    run(main)
