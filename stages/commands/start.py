"""Not a stage: reads the words of a command before anything heavy is imported, so that help and slips are told at once.

    python -m stages.commands.start compare NAME

is `python -m stages.commands.compare NAME`, which imports for seconds before it reads its words.
"""

import importlib
import sys

from moclip.base.console import choose
from moclip.cli.options.scripts import parser_of


def main() -> None:
    name, words = sys.argv[1], sys.argv[2:]
    args = parser_of(name).parse_args(words)  # ends here with help, or with what is wrong
    if hasattr(args, "verbosity"):
        choose(args.verbosity)
    from stages._entry import command

    sys.argv[1:] = words
    command(importlib.import_module(f"stages.commands.{name}").main)


if __name__ == "__main__":
    main()
