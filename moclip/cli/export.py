"""`moclip export`: the motion network and a head as ONNX files."""

import argparse
from pathlib import Path

from moclip.base.outside.terminal import say
from moclip.cli.options import model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    model.add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="directory to make")
    model.add_head(parser, "the head to write", model.WEIGHTED)


def run(args: argparse.Namespace) -> int:
    """Write ONNX files, after ONNX Runtime has given what PyTorch gives."""
    from moclip.base.outputs import claim_directory
    from moclip.heads.registry import MAIN
    from moclip.predict.onnx import META, export

    claim_directory(args.out, META)  # before a model comes from MLflow
    deviations = export(model.source_of(args.model), args.split, args.head or MAIN, args.out)
    for name, deviation in deviations.items():
        say(f"{args.out / name}: at most {deviation:.1e} from PyTorch")
    return 0
