"""Nested parameters as dotted names."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def flatten(tree: Mapping[str, Any]) -> dict[str, str]:
    """Nested parameters as dotted names with text values; what is not text is written as JSON.

    >>> flatten({"fusion": {"hidden": 256, "loss": "ce"}, "splits": [1, 2]})
    {'fusion.hidden': '256', 'fusion.loss': 'ce', 'splits': '[1, 2]'}
    """
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in leaves(tree)}


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested parameters by dotted name, in the order of the file; an empty section is a value."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
