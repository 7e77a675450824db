"""Text on its way to a terminal or a table: nothing that does not print reaches it, for it could move or fake one."""

import sys
from typing import IO

_SEPARATORS = "\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}"  # blanks that end a line for whoever reads lines
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # Persian, Hindi and others are not written without them


def printable(text: str, keep: str = "\n\t") -> str:
    """The text with what does not print spelled: control characters, escape sequences, turns of direction, stray bytes.

    Args:
        text: Such as a message with names of somebody's files and classes in it.
        keep: What is let through all the same; nothing for a name, which has one line.

    >>> printable("caf\\xe9 \\x1b[31m\\u202egnp.exe")
    'caf\xe9 \\\\x1b[31m\\\\u202egnp.exe'
    """
    return text if text.isprintable() else "".join(c if _prints(c) or c in keep else _spelled(c) for c in text)


def name(text: object) -> str:
    """A name as one word of a line: what would break the line or move the terminal is spelled."""
    return printable(str(text), keep="")


def say(text: str, file: IO[str] | None = None) -> None:
    """Print a text, its lines as they are: to standard output, or to another stream."""
    (file or sys.stdout).write(f"{printable(text)}\n")


def message(text: str) -> str:
    """A message as it may stand among others: further lines are moved in, so that none passes for another message."""
    return printable(text).replace("\n", "\n  ")


def table_cell(value: object) -> object:
    """A value for a CSV table that people open: of a text none passes for a formula, nor is any of it hidden.

    >>> table_cell("=HYPERLINK(1)"), table_cell(-1.5), table_cell("a b")
    ("'=HYPERLINK(1)", -1.5, 'a b')
    """
    if not isinstance(value, str):
        return value
    told = name(value)
    return f"'{told}" if value.lstrip().startswith(("=", "+", "-", "@")) or value.startswith(("\t", "\r")) else told


def _prints(character: str) -> bool:
    return (
        character.isprintable()
        or character in _JOINERS
        or (character.isspace() and character > "\x85" and character not in _SEPARATORS)
    )


def _spelled(character: str) -> str:
    """As Python would write it; a byte that is not UTF-8, which file names may hold, as that byte."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
