"""The command `moclip`: what a person does beside the pipeline. Each command imports what it needs, when it runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moclip import console, data_command, doctor, motion_command

PLACES = doctor.Places(
    params=Path("params.yaml"),
    manifest=Path("data/manifest.csv"),
    clip=Path("models/clip"),
    models=Path("models"),
    report=Path("reports/report.md"),
    dvc_config=Path(".dvc/config"),
    pipeline=(sys.executable, "-m", "stages.state"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; a refusal is one message on stderr and status 1."""
    return console.run(lambda: _run(argv), more="--verbose")


def _run(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    if hasattr(args, "verbosity"):
        console.choose(args.verbosity)
    console.set_up_logging("%(message)s")
    status: int = args.run(args)
    return status


class _Parser(argparse.ArgumentParser):
    """A parser that takes --quiet and --verbose; its sub-parsers are of the same class, so both go anywhere."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Suppressed, for the default of a sub-parser would undo what stood before the command.
        shared: dict[str, Any] = {"dest": "verbosity", "action": "store_const", "default": argparse.SUPPRESS}
        self.add_argument("-q", "--quiet", const="quiet", help="no progress, only results and errors", **shared)
        self.add_argument("-v", "--verbose", const="verbose", help="details, and the traceback of an error", **shared)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="moclip", description="CLIP and compressed-domain motion, reproducibly.")
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
    doctor.add_arguments(doc := commands.add_parser("doctor", help="what is there, what is missing, what comes next"))
    doc.set_defaults(run=lambda args: doctor.run(args, PLACES))
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
