"""What one video may cost: the option `--limit` of commands that decode."""

import argparse

from moclip.video.bounded import limits


def add_arguments(parser: argparse.ArgumentParser, base: limits.Limits = limits.DEFAULTS) -> None:
    """Declare the option.

    Args:
        parser: Of the command.
        base: Limits that hold where none is given.
    """
    shown = ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in vars(base).items()
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=N",
        help=f"let a video cost more, or less, than {shown}; may be given several times",
    )
    parser.set_defaults(limits=base)


def apply(args: argparse.Namespace) -> None:
    """Set the limits that were asked for, for this process and the ones that decode for it.

    Raises:
        ParamsError: no such limit, or no number above 0.
    """
    limits.use(limits.parse(args.limit, args.limits))
