"""YAML that somebody wrote: plain values, no objects, and one kind of error for whatever is wrong with it."""

import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml import tokens as kinds

DEEPEST = 200  # brackets inside each other; the library takes 0.2 s for so many, and 25 s for 10,000
_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_OPENING = (kinds.FlowSequenceStartToken, kinds.FlowMappingStartToken)
_CLOSING = (kinds.FlowSequenceEndToken, kinds.FlowMappingEndToken)


def load(source: Path | str, yaml: YAML | None = None) -> Any:
    """The values of a YAML file or text.

    Args:
        source: The file, or the text itself.
        yaml: How to read it; None takes plain values.

    Raises:
        OSError: the file cannot be read.
        YAMLError: it is no YAML, is nested too deeply, or holds a value that Python has no room for.
    """
    text = source.read_bytes() if isinstance(source, Path) else source.encode("utf-8", "surrogatepass")
    try:
        if _is_deep(_STEPS[bracket] for bracket in re.findall(rb"[\[\]{}]", text)) and _is_deep(_steps(text)):
            raise YAMLError(f"more than {DEEPEST} brackets stand inside each other")
        return (yaml or YAML(typ="safe", pure=True)).load(text)
    except (OSError, YAMLError):
        raise
    except Exception as error:  # the library lets through what its parts raise, a RecursionError among them
        raise YAMLError(f"{type(error).__name__}: {error}"[:300]) from error


def _is_deep(steps: Iterator[int]) -> bool:
    """Whether brackets, +1 where one opens and -1 where one closes, stand too deep; read no further than that."""
    return any(depth > DEEPEST for depth in accumulate(steps))


def _steps(text: bytes) -> Iterator[int]:
    """Steps of the brackets that open and close something: none of those in texts and comments."""
    for token in YAML(typ="safe", pure=True).scan(text):
        yield isinstance(token, _OPENING) - isinstance(token, _CLOSING)
