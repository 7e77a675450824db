"""The command `moclip`: what a person does beside the pipeline. A command's module is imported when it is asked for."""

import argparse
import importlib
import os
import platform
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from moclip.base import console
from moclip.base.arithmetic import apply, kernels_of
from moclip.base.outside.terminal import printable, say
from moclip.cli.options import scripts
from moclip.cli.options.model import told
from moclip.cli.places import PLACES

COMMANDS = {
    "init": "make a project of your own, with the whole pipeline",
    "preset": "list ready-made settings, or write one into params.yaml",
    "results": "print the table of the last run",
    "report": "say how the report opens, or make it one file to send",
    "motion": "write or draw the motion of videos",
    "data": "check the videos against their manifest, or describe them",
    "predict": "classify videos",
    "search": "find the moments of videos that show what is asked for",
    "bundle": "copy a trained model into one directory",
    "export": "write motion network and head as ONNX",
    "doctor": "what is there, what is missing, what comes next",
    "completion": "print what a shell needs to complete these words",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; a refusal is one message on stderr and status 1."""
    apply(kernels_of(PLACES.params))
    return console.run(lambda: _run(sys.argv[1:] if argv is None else list(argv)), more="--verbose")


def _run(words: list[str]) -> int:
    name = next((word for word in words if not word.startswith("-")), "")
    if name in scripts.SCRIPTS:
        words.remove(name)
        args, words = _Parser(add_help=False, allow_abbrev=False).parse_known_args(words)
    else:
        args = parser_of([name]).parse_args(words)
    if hasattr(args, "verbosity"):
        console.choose(args.verbosity)
    if name in scripts.SCRIPTS:
        return _script(name, words)
    console.set_up_logging("%(message)s")
    status: int = args.run(args)
    return status


class _Formatter(argparse.HelpFormatter):
    """Looks up what is costly to know when help is shown."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help and told(action.help)


class _Parser(argparse.ArgumentParser):
    """A parser that takes --quiet and --verbose; its sub-parsers are of the same class, so both go anywhere."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, **options})
        console.add_verbosity(self)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong of the words, which may be names of files, and exit with status 2."""
        super().error(printable(message))


class _Version(argparse.Action):
    """Prints versions and ends; what is not installed is said."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        """Print one line and exit with status 0."""
        from importlib import metadata

        def version(name: str) -> str:
            try:
                return f"{name} {metadata.version(name)}"
            except metadata.PackageNotFoundError:
                return f"{name} not installed"

        named = ", ".join(map(version, ("torch", "open_clip_torch", "av", "dvc", "mlflow")))
        say(f"{version('moclip')} (Python {platform.python_version()}; {named})")
        parser.exit()


def parser_of(asked: Collection[str]) -> argparse.ArgumentParser:
    """All commands, with the arguments of those that are asked for: the others' modules are not imported."""
    parser = _Parser(prog="moclip", description="CLIP and compressed-domain motion, reproducibly.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print versions of moclip and what it runs on")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, purpose in (COMMANDS | scripts.SCRIPTS).items():
        own = commands.add_parser(name, help=purpose)
        if name in COMMANDS and name in asked:
            command = importlib.import_module(f"moclip.cli.{name}")
            command.add_arguments(own)
            own.set_defaults(run=command.run)
        elif name in asked:
            scripts.add_arguments(name, own)
    return parser


def _script(name: str, words: Sequence[str]) -> int:
    script = Path("stages", "commands", f"{name}.py")
    if not script.is_file():
        say(f"error: {script}: not here; run `moclip {name}` at the top of the repository", file=sys.stderr)
        return 1
    # DVC and the `python` of its stages are those beside this program, also where nobody activated the environment.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "stages.commands.start", name, *words]
    return subprocess.run(command, check=False, env={**os.environ, "PATH": path}).returncode
