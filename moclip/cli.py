"""The command `moclip`: what a person does beside the pipeline. Each command imports what it needs, when it runs."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from moclip import data_command, motion_command
from moclip.errors import MoclipError

# Commands that need DVC: scripts of the repository in the working directory, by the words that describe them.
SCRIPTS = {"compare": "hold DVC experiments side by side, with paired differences"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a refusal is one message on stderr and exit status 1."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in SCRIPTS:
        return _script(words[0], words[1:])
    args = _parser().parse_args(words)
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
    results.add_argument("--costs", type=Path, default=Path("reports/cost.json"), help="what it cost, if that is known")
    results.set_defaults(run=_results)
    motion_command.add_arguments(motion := commands.add_parser("motion", help="write or draw the motion of videos"))
    motion.set_defaults(run=motion_command.run)
    data = commands.add_parser("data", help="check the videos against their manifest, or say what they look like")
    data_command.add_arguments(
        data, manifest=Path("data/manifest.csv"), splits=Path("data/splits"), params=Path("params.yaml")
    )
    data.set_defaults(run=data_command.run)
    for name, purpose in SCRIPTS.items():
        commands.add_parser(name, help=purpose)
    return parser


def _script(name: str, words: Sequence[str]) -> int:
    if not Path("stages", f"{name}.py").is_file():
        print(f"error: stages/{name}.py: not here; run `moclip {name}` at the top of the repository", file=sys.stderr)
        return 1
    return subprocess.run([sys.executable, "-m", f"stages.{name}", *words], check=False).returncode


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
    from moclip.cost import cost_line
    from moclip.files import read_json, sha256_file
    from moclip.summary import text_table

    print(text_table(read_json(args.summary)))
    print(f"\nreport: {args.report}")
    costs = read_json(args.costs) if args.costs.exists() else None
    if costs and costs["summary_sha256"] == sha256_file(args.summary):  # of another result, it says nothing here
        print(cost_line(costs))
    return 0
