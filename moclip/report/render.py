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
        autoescape=False,  # of HTML; in Markdown, what is not ours goes through `cell`, `code` or `literal`
    )
    for name in ("cell", "code", "literal", "pct", "signed", "p_value", "score_span", "span", "told"):
        environment.filters[name] = getattr(markdown, name)
    return environment.get_template(template).render(**values)
