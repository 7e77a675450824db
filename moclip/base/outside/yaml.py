"""YAML that somebody wrote: plain values, no objects, and one kind of error for whatever is wrong with it."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError


def load(source: Path | str, yaml: YAML | None = None) -> Any:
    """The values of a YAML file or text.

    Args:
        source: The file, or the text itself.
        yaml: How to read it; None takes plain values.

    Raises:
        OSError: the file cannot be read.
        YAMLError: it is no YAML, is nested too deeply, or holds a value that Python has no room for.
    """
    try:
        return (yaml or YAML(typ="safe", pure=True)).load(source)
    except (OSError, YAMLError):
        raise
    except Exception as error:  # the library lets through what its parts raise, a RecursionError among them
        raise YAMLError(f"{type(error).__name__}: {error}"[:300]) from error
