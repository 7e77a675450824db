"""Not a stage: reads the words of a command before anything heavy is imported, so that help and slips are told at once.

    python -m stages.commands.start compare NAME

is `python -m stages.commands.compare NAME`, which imports for seconds before it reads its words.
"""

import argparse
import importlib
import sys
from pathlib import Path


def ablate_parser() -> argparse.ArgumentParser:
    about = "Answer the questions of a suite by experiments in DVC's queue, as a table."
    parser = argparse.ArgumentParser(prog="moclip ablate", description=about, allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help="variants to answer; all without one")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="experiments at once (1)")
    parser.add_argument("--seeds", type=_positive, default=1, metavar="N", help="seeds of each, from `seed` on (1)")
    parser.add_argument("--suite", type=Path, default=Path("ablations.yaml"), help="file of the variants")
    parser.add_argument("--out", type=Path, default=Path("reports/ablations"), help="where tables go, as .md and .csv")
    parser.add_argument("--list", action="store_true", help="list the variants and their questions, run nothing")
    return parser


def compare_parser() -> argparse.ArgumentParser:
    about = "Hold DVC experiments against a baseline, on the same videos."
    parser = argparse.ArgumentParser(prog="moclip compare", description=about, allow_abbrev=False)
    known = "experiment, Git revision or `workspace`"
    parser.add_argument("experiments", nargs="+", metavar="EXP", help=known)
    parser.add_argument("--baseline", default="HEAD", help=f"{known} to hold the others against (HEAD)")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.md", help="write a page there, and a table FILE.csv beside it"
    )
    return parser


def verify_parser() -> argparse.ArgumentParser:
    about = "Hold the finished run against a revision's: the same bytes, or the same findings?"
    parser = argparse.ArgumentParser(prog="moclip verify", description=about, allow_abbrev=False)
    parser.add_argument("--against", default="HEAD", help="Git revision or experiment whose result is recorded (HEAD)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write them to this new file too")
    return parser


PARSERS = {"ablate": ablate_parser, "compare": compare_parser, "verify": verify_parser}


def main() -> None:
    name, words = sys.argv[1], sys.argv[2:]
    PARSERS[name]().parse_args(words)  # ends here with help, or with what is wrong
    from stages._entry import command

    sys.argv[1:] = words
    command(importlib.import_module(f"stages.commands.{name}").main)


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    main()
