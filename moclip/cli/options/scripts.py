"""The arguments of the commands that are scripts of the repository: help and completion read them here, without DVC."""

import argparse
from collections.abc import Callable
from pathlib import Path

from moclip.base.console import add_verbosity
from moclip.cli.options.model import positive
from moclip.cli.places import PLACES

SCRIPTS = {
    "compare": "hold DVC experiments side by side, with paired differences",
    "ablate": "answer questions, or try encoders, by experiments",
    "verify": "hold the finished run against a recorded one",
}
"""What each is for, in a line."""


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one of them alone."""
    parser = argparse.ArgumentParser(prog=f"moclip {name}", allow_abbrev=False)
    add_verbosity(parser)
    add_arguments(name, parser)
    return parser


def add_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of one of them."""
    _ARGUMENTS[name](parser)


def _ablate(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Answer the questions of a suite, or try its encoders, by experiments in DVC's queue or on a cluster."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="variants or encoders of the suite; all without one")
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="experiments at once (1)")
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="seeds of each, from `seed` on (1)")
    parser.add_argument(
        "--suite", type=Path, default=PLACES.suite, help="file of variants, or of encoders (encoders.yaml)"
    )
    parser.add_argument(
        "--out", type=Path, help=f"where tables go, as .md and .csv ({PLACES.ablations} or {PLACES.encoders})"
    )
    parser.add_argument("--list", action="store_true", help="list the variants and their questions, run nothing")


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.description = "Hold DVC experiments against a baseline, on the same videos."
    known = "experiment, Git revision or `workspace`"
    parser.add_argument("experiments", nargs="+", metavar="EXP", help=known)
    parser.add_argument("--baseline", default="HEAD", help=f"{known} to hold the others against (HEAD)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.md", help="write a page there, and a table FILE.csv beside it"
    )


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.description = "Hold the finished run against a revision's: the same bytes, or the same findings?"
    parser.add_argument("--against", default="HEAD", help="Git revision or experiment whose result is recorded (HEAD)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write them to this new file too")


_ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "ablate": _ablate,
    "compare": _compare,
    "verify": _verify,
}
