"""What the stages that train a head share: train it, and write what dvc.yaml declares."""

from typing import Any

from moclip.head_training import Inputs, head_logits, train_head
from moclip.history import write_history
from moclip.manifest import read_classes, read_split
from moclip.models.store import save_model
from moclip.schema.training import HeadParams
from moclip.training import log_epoch
from stages._results import members_of, write_test_predictions


def train_and_write(args: Any, inputs: Inputs, params: HeadParams, seed: tuple[int, str, int]) -> None:
    """The head of `inputs`: its weights, history and test predictions, where `args` says."""
    head, history = train_head(inputs.parts, len(read_classes(args.classes)), params, seed, log_epoch, inputs)
    save_model(args.model, head, head.config())
    write_history(args.history, history)
    logits = head_logits(head, inputs.held_out("test"))
    write_test_predictions(args.preds, members_of(read_split(args.split), "test"), logits, args.classes, args.manifest)
