"""Nested parameters as dotted names."""

import json
from collections.abc import Mapping
from typing import Any


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as dotted names with text values; what is not text is written as JSON.

    >>> flatten({"fusion": {"hidden": 256, "loss": "ce"}, "splits": [1, 2]})
    {'fusion.hidden': '256', 'fusion.loss': 'ce', 'splits': '[1, 2]'}
    """
    flat: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat
