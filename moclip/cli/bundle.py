"""`moclip bundle`: a trained model as one directory."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from moclip.base.outside.terminal import say
from moclip.cli.data import data_root
from moclip.cli.options import model
from moclip.cli.places import PLACES

if TYPE_CHECKING:
    from moclip.predict.bundle import Pipeline


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    model.add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="directory to make")
    parser.add_argument("--no-onnx", action="store_true", help="leave out what `--engine onnx` asks without PyTorch")


def run(args: argparse.Namespace) -> int:
    """Copy one model into a directory of its own."""
    from moclip.base.outputs import claim_directory
    from moclip.predict.bundle import MANIFEST, open_model, write_bundle

    claim_directory(args.out, MANIFEST)  # before a model comes from MLflow
    source = model.source_of(args.model)
    files = open_model(source, args.split)
    missing: Mapping[str, str] = {}

    def networks(folder: Path) -> None:
        from moclip.predict.portable import write_networks

        nonlocal missing
        missing = write_networks(folder, files, _test_videos(source, files.split))

    write_bundle(args.out, files, None if args.no_onnx else networks)
    for part, reason in missing.items():
        say(f"without PyTorch there is no {part}: {reason}")
    say(f"{args.out} holds the model; `moclip predict VIDEO --model {args.out}` asks it")
    return 0


def _test_videos(source: "Path | Pipeline", split: int) -> list[Path]:
    """Test videos of a pipeline that are here; of a bundle nobody knows them."""
    if isinstance(source, Path) or source.record is None:
        return []
    params = source.models.parent / PLACES.params
    videos = source.record.test_videos(split, data_root(params)) if params.is_file() else []
    return [video for video in videos if video.is_file()]
