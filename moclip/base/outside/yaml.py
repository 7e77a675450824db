"""YAML that somebody wrote: plain values, no objects, and one kind of error for whatever is wrong with it."""

import re
from itertools import accumulate
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

DEEPEST = 200  # brackets inside each other; the library takes 0.2 s for so many, and 25 s for 10,000
_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


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
    if max(accumulate(_STEPS[bracket] for bracket in re.findall(rb"[\[\]{}]", text)), default=0) > DEEPEST:
        raise YAMLError(f"more than {DEEPEST} brackets stand inside each other")
    try:
        return (yaml or YAML(typ="safe", pure=True)).load(text)
    except (OSError, YAMLError):
        raise
    except Exception as error:  # the library lets through what its parts raise, a RecursionError among them
        raise YAMLError(f"{type(error).__name__}: {error}"[:300]) from error
