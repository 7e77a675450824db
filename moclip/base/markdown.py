"""What all written pages share: templates that refuse a missing value, and how a figure is put into words."""

from collections.abc import Mapping

import jinja2

NO_VALUE = "\N{EN DASH}"


def environment() -> jinja2.Environment:
    """The templates of the package, with the filters below."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("moclip"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown of our own values, no HTML of anyone else's
    )
    environment.filters.update(pct=pct, signed=signed, span=span, cell=cell, significance=significance)
    return environment


def cell(text: str) -> str:
    """Text that stays inside one cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


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
