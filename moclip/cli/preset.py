"""`moclip preset`: list ready-made settings, or write one into the parameters."""

import argparse
from pathlib import Path

from moclip.base.errors import ParamsError
from moclip.base.outside.terminal import say
from moclip.cli.places import PLACES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("name", nargs="?", help="preset to write; without one, all are listed")
    parser.add_argument("--directory", type=Path, default=PLACES.presets, help="where presets lie")
    parser.add_argument("--params", type=Path, default=PLACES.params, help="file to write into")


def run(args: argparse.Namespace) -> int:
    """List or write."""
    from moclip.heads.registry import check_params
    from moclip.params.presets import apply_preset, list_presets

    if not args.directory.is_dir():
        raise ParamsError(
            f"{args.directory}: no presets here; run `moclip preset` at the top of the repository of moclip"
        )
    if args.name is None:
        presets = list_presets(args.directory)
        width = max(map(len, presets), default=0)
        for name, purpose in presets.items():
            say(f"{name:{width}}  {purpose}")
        return 0
    back = apply_preset(args.name, args.directory, args.params, check_params)
    say(f"{args.params} now holds preset {args.name}; `git diff {args.params}` shows what changed")
    if back:
        say(f"set back, so that nothing of another preset stays: {', '.join(back)}")
    return 0
