"""What the stages that train a head share: its cached inputs, its training, and what dvc.yaml declares of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from moclip.data.splits import Split
from moclip.heads.train import Inputs, Part, head_logits, read_parts, streams_of, train_head
from moclip.params.heads.fusion import HeadParams
from moclip.store.features import read_features
from moclip.training.checkpoint import Checkpoint
from moclip.training.history import write_history
from moclip.training.weights import save_model
from stages._live import Live
from stages._results import write_test_predictions, write_val_predictions

STREAMS = ("clip", "motion")  # in the order of --streams, which may end with the first
Seed = tuple[int, str, int]  # seed, head and split number


@contextmanager
def one_thread() -> Iterator[None]:
    """For the heads: they are so small that handing work to a second thread takes longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def read_inputs(args: Any, split: Split, params: HeadParams, seed: Seed) -> dict[str, Part]:
    """The parts of the split with the cached streams that the head gets."""
    number, head, split_number = seed
    cached = {name: read_features(path) for name, path in zip(STREAMS, args.streams, strict=False)}
    streams = streams_of(head, cached, params.inputs, split.members, (number, split_number))
    return read_parts(streams, split.members)


def train_and_write(
    args: Any, split: Split, inputs: Inputs, params: HeadParams, seed: Seed, checkpoint: Checkpoint | None = None
) -> None:
    """Train the head; write its weights, history and predictions where `args` says."""
    live = Live(seed[1], seed[2], params.epochs, args.manifest)
    head, history = train_head(inputs.parts, len(split.classes), params, seed, live, inputs, checkpoint)
    save_model(args.model, head, head.config())
    write_history(args.history, history)
    for part, path, write in (
        ("val", args.val_preds, write_val_predictions),
        ("test", args.preds, write_test_predictions),
    ):
        logits = head_logits(head, inputs.held_out(part))
        write(path, split.part(part), logits)
