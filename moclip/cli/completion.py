"""`moclip completion`: what a shell needs to complete the command's words, made by shtab."""

import argparse
import sys
from pathlib import Path

from moclip.cli.options.scripts import SCRIPTS
from moclip.cli.options.words import KINDS, words

_SHELLS = ("bash", "zsh", "tcsh")
_WORDS = {
    ("preset", "name"): "presets",
    ("ablate", "names"): "questions",
    ("compare", "experiments"): "experiments",
    ("compare", "baseline"): "experiments",
    ("verify", "against"): "experiments",
}
"""Of which kind the words of an argument are, by command and name of the argument."""
_ASK = "moclip completion --words"
_FUNCTIONS = {
    "bash": '_moclip_{kind}() {{ compgen -W "$({ask} {kind} 2>/dev/null)" -- "$1"; }}',
    "zsh": '_moclip_{kind}() {{ compadd -- ${{(f)"$({ask} {kind} 2>/dev/null)"}}; }}',
}
_PLACES = ("FILE", "DIR", "VIDEO", "PATH")  # in what an argument is called where it names a file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("shell", nargs="?", choices=_SHELLS, help="the shell to complete in")
    what.add_argument("--words", choices=list(KINDS), help="print the words of this kind that exist here, one a line")
    parser.epilog = 'In bash: eval "$(moclip completion bash)"; for good, add that line to ~/.bashrc.'


def run(args: argparse.Namespace) -> int:
    """Print the script, or words that it asks for."""
    if args.words:
        sys.stdout.writelines(f"{word}\n" for word in words(args.words))
        return 0
    import shtab

    from moclip.cli.main import COMMANDS, parser_of

    whole = parser_of((*COMMANDS, *SCRIPTS))
    _prepare(whole)
    functions = {
        shell: "\n".join(form.format(kind=kind, ask=_ASK) for kind in KINDS) for shell, form in _FUNCTIONS.items()
    }
    sys.stdout.write(f"{shtab.complete(whole, shell=args.shell, preamble=functions)}\n")
    return 0


def _prepare(parser: argparse.ArgumentParser, command: str = "") -> None:
    """Fill in helps that are looked up late, and let names of files and words that exist be completed."""
    import shtab

    from moclip.cli.options.model import told

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, own in action.choices.items():
                _prepare(own, name)
        if action.help:
            action.help = told(action.help)
        if kind := _WORDS.get((command, action.dest), "heads" if action.dest == "head" else ""):
            action.complete = {  # type: ignore[attr-defined]
                **dict.fromkeys(_FUNCTIONS, f"_moclip_{kind}"),
                "tcsh": f"`{_ASK} {kind}`",
            }
        elif action.type is Path or any(place in str(action.metavar) for place in _PLACES):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
