"""How a figure is put into words, and how words stand in a table, for pages and terminals alike."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

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


def pct(value: float | None, digits: int = 1) -> str:
    """One digit behind the point, or as many as are asked for; a dash for nothing."""
    return NO_VALUE if value is None else f"{value:.{digits}f}"


def signed(value: float) -> str:
    """A difference with its sign, minus as a minus; zero has none."""
    return "0.0" if round(value, 1) == 0 else f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")


def span(interval: Mapping[str, float] | None, with_sign: bool = False) -> str:
    """An interval of `low` and `high` in words; a dash for nothing, and words for one without a width."""
    if interval is None:
        return NO_VALUE
    low, high = interval["low"], interval["high"]
    if low == high:
        return "no spread by design"
    return f"{signed(low)} to {signed(high)}" if with_sign else f"{pct(low)}\N{EN DASH}{pct(high)}"


def score_span(interval: Mapping[str, float] | None, digits: int = 2) -> str:
    """An interval of a score with so many digits; a dash for nothing, and words for one without a width."""
    if interval is None:
        return NO_VALUE
    if interval["low"] == interval["high"]:
        return "no spread by design"
    return " to ".join(f"{interval[end]:.{digits}f}".replace("-", "\N{MINUS SIGN}") for end in ("low", "high"))


def told(difference: Mapping[str, Any]) -> str:
    """The word of a paired difference, with what is still compatible where nothing was shown.

    Args:
        difference: Plain values, as of `moclip.results.contrast.Contrast.values`.
    """
    word, interval = difference["word"], difference["interval"]
    if difference["at_most_pct"] is not None:
        return f"{word} (at most {difference['at_most_pct']:.1f} % of recordings)"
    if word.startswith("no ") and interval is not None:
        return compatible(word, interval)
    return str(word)


def compatible(word: str, interval: Mapping[str, float]) -> str:
    """A word with what its interval, of a difference in percentage points, leaves possible on either side."""
    low, high = max(0.0, -interval["low"]), max(0.0, interval["high"])  # this order: the other would give -0.0
    return f"{word}: at most {low:.1f} below, {high:.1f} above"


def p_value(value: float | None) -> str:
    """A p or a q with three digits; a dash for nothing.

    >>> p_value(0.0004), p_value(0.0313)
    ('< .001', '.031')
    """
    if value is None:
        return NO_VALUE
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


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
