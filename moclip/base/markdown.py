"""How a figure is put into words, and how words stand in a table, for pages and terminals alike."""

import re
from collections.abc import Collection, Mapping, Sequence

from moclip.base.outside.terminal import printable

NO_VALUE = "\N{EN DASH}"


def cell(text: str) -> str:
    """Text with our own markup that stays inside one cell of a Markdown table; no HTML tag and no entity is in it.

    >>> cell("*a* | <b> & c")
    '*a* \\\\| &lt;b> &amp; c'
    """
    return _line(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def code(text: object) -> str:
    """A value as code, also in a cell of a table: no character of it ends the code, nor the cell.

    >>> code("a`b|c")
    '``a`b\\\\|c``'
    """
    value = _line(str(text))
    fence = "`" * (1 + max(map(len, re.findall("`+", value)), default=0))
    space = " " if value.startswith("`") or value.endswith("`") or not value else ""
    return f"{fence}{space}{value}{space}{fence}".replace("|", "\\|")


def _line(text: str) -> str:
    return printable(" ".join(text.splitlines()), keep="")


def literal(text: str) -> str:
    """A name that a person chose, as it is: none of its characters is markup, nor ends a cell.

    An underscore between letters or digits is none to begin with.

    >>> literal("pick_up a$b_{*|<i>")
    'pick_up a\\\\$b\\\\_{\\\\*\\\\|\\\\<i\\\\>'
    """
    escaped = re.sub(r"([\\`*\[\]<>&$|~#!])", r"\\\1", _line(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)


def pct(value: float | None) -> str:
    """One digit behind the point; a dash for nothing."""
    return NO_VALUE if value is None else f"{value:.1f}"


def signed(value: float) -> str:
    """A difference with its sign, minus as a minus; zero has none."""
    return "0.0" if round(value, 1) == 0 else f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def span(interval: Mapping[str, float] | None, with_sign: bool = False) -> str:
    """An interval of `low` and `high` in words; a dash for nothing."""
    if interval is None:
        return NO_VALUE
    low, high = interval["low"], interval["high"]
    return f"{signed(low)} to {signed(high)}" if with_sign else f"{pct(low)}\N{EN DASH}{pct(high)}"


def significance(significant: bool | None) -> str:
    """Whether a difference is one."""
    return {True: "significant", False: "not significant", None: "not known"}[significant]


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Columns of equal width, for a terminal; cells of the columns in `right` end together, others begin together."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
