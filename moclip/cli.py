"""The command `moclip`: what a person does beside the pipeline. Each command imports what it needs, when it runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from moclip import data_command, motion_command, predict_command
from moclip.errors import MoclipError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a refusal is one message on stderr and exit status 1."""
    args = _parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except MoclipError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="moclip", description="CLIP and compressed-domain motion, reproducibly.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    preset = commands.add_parser("preset", help="list ready-made settings, or write one into params.yaml")
    preset.add_argument("name", nargs="?", help="preset to write; without one, all are listed")
    preset.add_argument("--directory", type=Path, default=Path("presets"), help="where presets lie")
    preset.add_argument("--params", type=Path, default=Path("params.yaml"), help="file to write into")
    preset.set_defaults(run=_preset)
    results = commands.add_parser("results", help="print the table of the last run")
    results.add_argument("summary", type=Path, nargs="?", default=Path("reports/summary.json"))
    results.add_argument("--report", type=Path, default=Path("reports/report.md"), help="named below the table")
    results.set_defaults(run=_results)
    motion_command.add_arguments(motion := commands.add_parser("motion", help="write or draw the motion of videos"))
    motion.set_defaults(run=motion_command.run)
    data = commands.add_parser("data", help="check the videos against their manifest, or say what they look like")
    data_command.add_arguments(
        data, manifest=Path("data/manifest.csv"), splits=Path("data/splits"), params=Path("params.yaml")
    )
    data.set_defaults(run=data_command.run)
    predict_command.add_predict_arguments(predict := commands.add_parser("predict", help="classify videos"), "models")
    predict.set_defaults(run=predict_command.run_predict)
    predict_command.add_bundle_arguments(
        bundle := commands.add_parser("bundle", help="copy a trained model into one directory"), "models"
    )
    bundle.set_defaults(run=predict_command.run_bundle)
    predict_command.add_export_arguments(
        export := commands.add_parser("export", help="write motion network and head as ONNX"), "models"
    )
    export.set_defaults(run=predict_command.run_export)
    return parser


def _preset(args: argparse.Namespace) -> int:
    from moclip.presets import apply_preset, list_presets

    if args.name is None:
        for name, purpose in list_presets(args.directory).items():
            print(f"{name:10} {purpose}")
        return 0
    apply_preset(args.name, args.directory, args.params)
    print(f"{args.params} now holds preset {args.name}; `git diff {args.params}` shows what changed")
    return 0


def _results(args: argparse.Namespace) -> int:
    from moclip.files import read_json
    from moclip.summary import text_table

    print(text_table(read_json(args.summary)))
    print(f"\nreport: {args.report}")
    return 0
