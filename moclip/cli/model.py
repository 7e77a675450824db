"""Which trained model a command takes: the options `--model` and `--split`."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from moclip.cli.places import PLACES

if TYPE_CHECKING:
    from moclip.predict.bundle import Pipeline

_MLFLOW = ("models:/", "runs:/")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model",
        default=str(PLACES.models),
        metavar="PATH_OR_URI",
        help="the pipeline's models, a bundle, or an MLflow model such as models:/moclip-demo@best",
    )
    parser.add_argument("--split", type=positive, help="which of the pipeline's models (default 1)")


def positive(text: str) -> int:
    """A whole number of 1 or more, as argparse asks for it."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def source_of(model: str) -> "Path | Pipeline":
    """What a path or an MLflow URI stands for; what goes with a pipeline's models lies in the same repository."""
    from moclip.predict.bundle import Pipeline

    if not model.startswith(_MLFLOW):
        root = Path(model).parent
        return Pipeline(Path(model), root / PLACES.classes, root / PLACES.texts, root / PLACES.encoder)
    from moclip.tracking.models.fetch import fetch_model
    from moclip.tracking.store import store_at

    store = store_at(Path.cwd(), os.environ.get("MLFLOW_TRACKING_URI"))
    return fetch_model(model, store.uri, Path.cwd() / PLACES.work / "mlflow_models")
