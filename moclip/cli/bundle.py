"""`moclip bundle`: a trained model as one directory."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from moclip.base.errors import ParamsError
from moclip.base.files import read_json
from moclip.base.outputs import claim_directory, write_manifest, writing_directory
from moclip.base.outside.terminal import say
from moclip.cli.data import data_root
from moclip.cli.options import model
from moclip.cli.places import PLACES

if TYPE_CHECKING:
    from moclip.predict.bundle import Pipeline

SERVED = "moclip.json"  # of a model for `mlflow models serve`


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    model.add_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="directory to make")
    parser.add_argument("--push", metavar="ORG/NAME", help="upload it to this repository of the hub (HF_ENDPOINT)")
    parser.add_argument(
        "--mlflow", type=Path, metavar="DIR", help="also make a model that `mlflow models serve` serves"
    )
    parser.add_argument("--no-onnx", action="store_true", help="leave out what `--engine onnx` asks without PyTorch")


def run(args: argparse.Namespace) -> int:
    """Copy one model into a directory of its own."""
    from moclip.predict.bundle import MANIFEST, open_model, write_bundle
    from moclip.predict.hub import CARD, hub_card, repository_of

    repository = repository_of(args.push) if args.push else None
    claim_directory(args.out, MANIFEST)  # before a model comes from MLflow
    if args.mlflow:
        _claim_served(args)
    source = model.source_of(args.model)
    if repository and not isinstance(source, Path) and source.record:
        source = replace(source, record=replace(source.record, results=source.models.parent / PLACES.results))
    files = open_model(source, args.split)
    pages = {CARD: hub_card(repository, files, _level_pct(source))} if repository else None
    missing: Mapping[str, str] = {}

    def networks(folder: Path) -> None:
        from moclip.predict.portable import write_networks

        nonlocal missing
        missing = write_networks(folder, files, _test_videos(source, files.split))

    write_bundle(args.out, files, None if args.no_onnx else networks, pages)
    if args.mlflow:
        _write_served(args)
    for part, reason in missing.items():
        say(f"without PyTorch there is no {part}: {reason}")
    say(f"{args.out} holds the model; `moclip predict VIDEO --model {args.out}` asks it")
    if repository:
        from moclip.base.hub import push_folder

        say(f"{push_folder(repository, args.out, f'Model of split {files.split}')} has it too")
    return 0


def _claim_served(args: argparse.Namespace) -> None:
    """Refuse `--mlflow` before the work, where it cannot be."""
    import moclip.tracking.registry  # noqa: F401 - names the extra

    if args.no_onnx:
        raise ParamsError("--mlflow: serves what onnxruntime asks, and --no-onnx leaves it out; take one of them")
    claim_directory(args.mlflow, SERVED, [args.out])


def _write_served(args: argparse.Namespace) -> None:
    from moclip.tracking.registry import write_served

    with writing_directory(args.mlflow, SERVED, [args.out]) as folder:
        write_served(folder, args.out)
        write_manifest(folder, SERVED, {"made_for": "mlflow models serve"})
    say(
        f"`MOCLIP_SERVE_ENGINE=onnx mlflow models serve -m {args.mlflow} --env-manager local` serves it "
        "by onnxruntime, with and without PyTorch"
    )


def _level_pct(source: "Path | Pipeline") -> float | None:
    """Confidence level of a pipeline's intervals in percent; None of a bundle, and before there are results."""
    if isinstance(source, Path) or not (summary := source.models.parent / PLACES.summary).is_file():
        return None
    level: float = read_json(summary)["confidence_pct"]
    return level


def _test_videos(source: "Path | Pipeline", split: int) -> list[Path]:
    """Test videos of a pipeline that are here; of a bundle nobody knows them."""
    if isinstance(source, Path) or source.record is None:
        return []
    from moclip.video.file.shard import find

    params = source.models.parent / PLACES.params
    videos = source.record.test_videos(split, data_root(params)) if params.is_file() else []
    return [video for video in videos if find(video)]
