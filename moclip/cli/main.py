"""The command `moclip`: what a person does beside the pipeline. Each command imports what it needs, when it runs."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moclip.base import console
from moclip.base.arithmetic import apply, kernels_of
from moclip.cli import data as data_command
from moclip.cli import doctor
from moclip.cli import motion as motion_command
from moclip.cli import predict as predict_command

PLACES = doctor.Places(
    params=Path("params.yaml"),
    manifest=Path("data/manifest.csv"),
    clip=Path("models/clip"),
    models=Path("models"),
    report=Path("reports/report.md"),
    dvc_config=Path(".dvc/config"),
    pipeline=(sys.executable, "-m", "stages.dvc.state"),
)

# Commands that need DVC: scripts of the repository in the working directory, by the words that describe them.
SCRIPTS = {
    "compare": "hold DVC experiments side by side, with paired differences",
    "ablate": "answer the questions of ablations.yaml by experiments, as a table",
    "verify": "hold the finished run against a recorded one: the same bytes, or the same findings",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; a refusal is one message on stderr and status 1."""
    apply(kernels_of(PLACES.params))
    return console.run(lambda: _run(sys.argv[1:] if argv is None else list(argv)), more="--verbose")


def _run(words: list[str]) -> int:
    script = next((word for word in words if not word.startswith("-")), None)
    if script in SCRIPTS:
        words.remove(script)
        args, words = _Parser(add_help=False, allow_abbrev=False).parse_known_args(words)
    else:
        args = _parser().parse_args(words)
    if hasattr(args, "verbosity"):
        console.choose(args.verbosity)
    if script in SCRIPTS:
        return _script(script, words)
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
    results.add_argument("--costs", type=Path, default=Path("reports/cost.json"), help="what it cost, if that is known")
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
    for name, purpose in SCRIPTS.items():
        commands.add_parser(name, help=purpose)
    doctor.add_arguments(doc := commands.add_parser("doctor", help="what is there, what is missing, what comes next"))
    doc.set_defaults(run=lambda args: doctor.run(args, PLACES))
    return parser


def _script(name: str, words: Sequence[str]) -> int:
    if not Path("stages", f"{name}.py").is_file():
        print(f"error: stages/{name}.py: not here; run `moclip {name}` at the top of the repository", file=sys.stderr)
        return 1
    return subprocess.run([sys.executable, "-m", f"stages.{name}", *words], check=False).returncode


def _preset(args: argparse.Namespace) -> int:
    from moclip.heads.registry import check_params
    from moclip.params.presets import apply_preset, list_presets

    if args.name is None:
        for name, purpose in list_presets(args.directory).items():
            print(f"{name:10} {purpose}")
        return 0
    apply_preset(args.name, args.directory, args.params, check_params)
    print(f"{args.params} now holds preset {args.name}; `git diff {args.params}` shows what changed")
    return 0


def _results(args: argparse.Namespace) -> int:
    from moclip.base.files import read_json, sha256_file
    from moclip.report.cost import cost_line
    from moclip.results.summary import text_table

    print(text_table(read_json(args.summary)))
    print(f"\nreport: {args.report}")
    costs = read_json(args.costs) if args.costs.exists() else None
    if costs and costs["summary_sha256"] == sha256_file(args.summary):  # of another result, it says nothing here
        print(cost_line(costs))
    return 0
