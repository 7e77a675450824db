"""`moclip completion`: what a shell needs to complete the command's words, made by shtab."""

import argparse
import sys
from pathlib import Path

_SHELLS = ("bash", "zsh", "tcsh")
_PLACES = ("FILE", "DIR", "VIDEO", "PATH")  # in what an argument is called where it names a file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("shell", choices=_SHELLS, help="the shell to complete in")
    parser.epilog = 'In bash: eval "$(moclip completion bash)"; for good, add that line to ~/.bashrc.'


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from moclip.cli.main import COMMANDS, parser_of

    whole = parser_of(COMMANDS)
    _prepare(whole)
    sys.stdout.write(f"{shtab.complete(whole, shell=args.shell)}\n")
    return 0


def _prepare(parser: argparse.ArgumentParser) -> None:
    """Fill in helps that are looked up late, and let names of files be completed."""
    import shtab

    from moclip.cli.options.model import told

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for own in dict.fromkeys(action.choices.values()):
                _prepare(own)
        if action.help:
            action.help = told(action.help)
        if action.type is Path or any(place in str(action.metavar) for place in _PLACES):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
