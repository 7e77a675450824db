"""`moclip bundle`: a trained model as one directory."""

import argparse
from pathlib import Path

from moclip.base.outside.terminal import say
from moclip.cli.options import model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    model.add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="directory to make")


def run(args: argparse.Namespace) -> int:
    """Copy one model into a directory of its own."""
    from moclip.base.outputs import claim_directory
    from moclip.predict.bundle import MANIFEST, open_model, write_bundle

    claim_directory(args.out, MANIFEST)  # before a model comes from MLflow
    write_bundle(args.out, open_model(model.source_of(args.model), args.split))
    say(f"{args.out} holds the model; `moclip predict VIDEO --model {args.out}` asks it")
    return 0
