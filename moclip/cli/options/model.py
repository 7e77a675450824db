"""Which trained model a command takes: the options `--model` and `--split`."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from moclip.cli.places import PLACES

if TYPE_CHECKING:
    from moclip.predict.bundle import Pipeline

_MLFLOW = ("models:/", "runs:/")
HEADS, WEIGHTED, DEFAULT_HEAD = "{heads}", "{weighted}", "{head}"
"""Places in a help text, for `told`: heads that answer, those of them with weights of their own, the usual one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model",
        default=str(PLACES.models),
        metavar="PATH_OR_URI",
        help="the pipeline's models, a bundle, an MLflow model such as models:/moclip-demo@best, or hf://ORG/NAME",
    )
    parser.add_argument("--split", type=positive, help="which of the pipeline's models (default 1)")


def add_head(parser: argparse.ArgumentParser, purpose: str = "the head that answers", heads: str = HEADS) -> None:
    """Declare the option of a head; which there are is looked up when help is asked for, since that takes long."""
    parser.add_argument("--head", help=f"{purpose}: {heads} (default {DEFAULT_HEAD})")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Declare the option of what computes."""
    parser.add_argument(
        "--engine",
        choices=("auto", "torch", "onnx"),
        default="auto",
        help="what computes: PyTorch, or onnxruntime, which a bundle can be asked by (auto: PyTorch where it is)",
    )


def told(text: str) -> str:
    """Help with the heads in the place that was left for them."""
    if DEFAULT_HEAD not in text:
        return text
    from moclip.heads.registry import HEADS as KNOWN
    from moclip.heads.registry import MAIN, servable

    weighted = [head for head in servable() if not KNOWN[head].is_of_stream]
    names = {HEADS: ", ".join(servable()), WEIGHTED: ", ".join(weighted), DEFAULT_HEAD: MAIN}
    for place, name in names.items():
        text = text.replace(place, name)
    return text


def positive(text: str) -> int:
    """A whole number of 1 or more, as argparse asks for it."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def source_of(model: str) -> "Path | Pipeline":
    """What a path or an address stands for; what goes with a pipeline's models lies in the same repository."""
    from moclip.predict.bundle import Pipeline
    from moclip.predict.hub import SCHEME, fetch_bundle
    from moclip.predict.origin import Record

    if model.startswith(SCHEME):
        return fetch_bundle(model, Path.cwd() / PLACES.work / "hub_models")
    if not model.startswith(_MLFLOW):
        root = Path(model).parent
        record = Record(*(root / path for path in (PLACES.dataset, PLACES.manifest, PLACES.splits, PLACES.predictions)))
        return Pipeline(Path(model), root / PLACES.classes, root / PLACES.texts, root / PLACES.encoder, record)
    from moclip.tracking.models.fetch import fetch_model
    from moclip.tracking.store import store_at

    store = store_at(Path.cwd(), os.environ.get("MLFLOW_TRACKING_URI"))
    return fetch_model(model, store.uri, Path.cwd() / PLACES.work / "mlflow_models")
