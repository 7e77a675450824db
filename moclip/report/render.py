"""Templates to text: they refuse a missing value."""

from typing import Any

import jinja2

from moclip.base import markdown


def render(template: str, **values: Any) -> str:
    """A template of this package, filled in; its filters are those of `moclip.base.markdown`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("moclip.report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown of our own values, no HTML of anyone else's
    )
    for name in ("cell", "literal", "pct", "signed", "p_value", "score_span", "span", "told"):
        environment.filters[name] = getattr(markdown, name)
    return environment.get_template(template).render(**values)
