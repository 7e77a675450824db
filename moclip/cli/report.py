"""`moclip report`: the report of the last run, where it lies or as one file to send."""

import argparse
from pathlib import Path

from moclip.base.outputs import claim_file, writing_file
from moclip.base.outside.terminal import name, say
from moclip.cli.places import PLACES

CARDS = ("model_card.md", "data_card.md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("report", type=Path, nargs="?", default=PLACES.report, help=f"({PLACES.report})")
    parser.add_argument(
        "--html", type=Path, metavar="FILE.html", help="write the report there, with its pictures and both cards inside"
    )


def run(args: argparse.Namespace) -> int:
    """Print how the report opens and where it lies, or write it as one file."""
    from moclip.report.reader.onefile import one_file
    from moclip.report.reader.opening import first_sentences

    pages = [args.report, *(card for own in CARDS if (card := args.report.with_name(own)).is_file())]
    if args.html is None:
        say(first_sentences(args.report))
        say(f"\nreport: {name(args.report)}; `moclip report --html FILE.html` makes one file to send")
        return 0
    claim_file(args.html, "page", pages)
    text = one_file(pages)
    with writing_file(args.html, "page", pages) as made:
        made.write_text(text, encoding="utf-8")
    say(f"written: {name(args.html)}")
    return 0
