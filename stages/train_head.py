"""Train a head on cached features of one split: fusion, the same on CLIP alone, the same with foreign motion."""

import torch

from moclip.features import read_features
from moclip.head_training import head_logits, read_parts, streams_of, train_head
from moclip.history import write_history
from moclip.manifest import read_classes, read_split
from moclip.models.store import save_model
from moclip.schema.run import Seed
from moclip.schema.training import HeadParams
from moclip.splits import members_of
from moclip.training import log_epoch
from stages._entry import arguments, run, section
from stages._results import write_test_predictions, write_val_predictions

STREAMS = ("clip", "motion")  # in the order of --streams, which may end with the first


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
    params = section("fusion", HeadParams)
    torch.set_num_threads(1)  # the MLP is so small that handing work to a second thread takes longer
    members, seed = read_split(args.split), section("seed", Seed)
    cached = {name: read_features(path) for name, path in zip(STREAMS, args.streams, strict=False)}
    streams = streams_of(args.head, cached, params.inputs, members, (seed, args.number))
    parts = read_parts(streams, members)
    classes = len(read_classes(args.classes))
    head, history = train_head(parts, classes, params, (seed, args.head, args.number), log_epoch)
    save_model(args.model, head, head.config())
    write_history(args.history, history)
    for part, path, write in (
        ("val", args.val_preds, write_val_predictions),
        ("test", args.preds, write_test_predictions),
    ):
        logits = head_logits(head, parts[part].inputs)
        write(path, members_of(members, part), logits, args.classes, args.manifest)


if __name__ == "__main__":
    run(main)
