"""`moclip preset`: list ready-made settings with what they cost, or write them into the parameters."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from moclip.base.errors import ParamsError
from moclip.base.markdown import aligned
from moclip.base.outside.terminal import say
from moclip.cli.places import PLACES
from moclip.params.presets.apply import Applied, Change, apply_presets
from moclip.params.presets.files import Preset, read_presets

_SHOWN = 8  # parameters that a base changed; an overlay's are all shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("name", nargs="*", help="presets to write, one over the other; without one, all are listed")
    parser.add_argument("--directory", type=Path, default=PLACES.presets, help="where presets lie")
    parser.add_argument("--params", type=Path, default=PLACES.params, help="file to write into")
    parser.add_argument(
        "--zoo", action="store_true", help="print the page of all presets: what each runs, costs, gives"
    )


def run(args: argparse.Namespace) -> int:
    """List or write."""
    from moclip.heads.registry import check_params

    if not args.directory.is_dir():
        raise ParamsError(
            f"{args.directory}: no presets here; run `moclip preset` at the top of the repository of moclip"
        )
    if args.zoo:
        from moclip.report.reader.zoo import as_markdown

        say(as_markdown(args.directory))
        return 0
    if not args.name:
        say(_listed(read_presets(args.directory)))
        return 0
    done = apply_presets(args.name, args.directory, args.params, check_params)
    say("\n".join(line for one in done for line in _told(one)))
    say(f"{args.params} now holds {' + '.join(args.name)}; `git diff {args.params}` shows what changed")
    return 0


def _listed(presets: Mapping[str, Preset]) -> str:
    rows = [("preset", "time", "disk", "for"), *((name, *one.costs[:2], one.purpose) for name, one in presets.items())]
    return (
        f"{aligned(rows)}\n\nThey stack: a base, which chooses the data, and overlays over it. "
        "`moclip preset --zoo` has memory, sources, and the figures to expect."
    )


def _told(done: Applied) -> list[str]:
    """What a preset of the stack overrode."""
    name = done.preset.name
    lines = [f"{name}: {_changes(done.own, _SHOWN if done.preset.is_base else len(done.own))}"]
    if done.set_back:
        back = ", ".join(change.key for change in done.set_back)
        lines.append(f"{name}: set back, so that nothing of another preset stays: {back}")
    return lines


def _changes(changes: Sequence[Change], most: int) -> str:
    if not changes:
        return "overrides nothing; all its values were there"
    shown = ", ".join(f"{change.key} ({_value(change.old)} -> {_value(change.new)})" for change in changes[:most])
    return f"overrides {shown}{f' and {len(changes) - most} more' if len(changes) > most else ''}"


def _value(value: object) -> str:
    return f"{len(value)} of them" if isinstance(value, list) else "null" if value is None else str(value).lower()
