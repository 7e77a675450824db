"""Refuses a section of params.yaml that nothing reads. It moves no number, so no stage hangs on it."""

from collections.abc import Iterable

from moclip.base.errors import ParamsError
from moclip.heads.registry import section_names


def check_sections(names: Iterable[str], file: str) -> None:
    """Hold the top-level names of a parameters file against those that are known.

    Raises:
        ParamsError: a name is unknown.
    """
    known = section_names()
    if unknown := sorted(set(map(str, names)) - known):
        raise ParamsError(f"parameter '{unknown[0]}': no such section in {file}; known: {sorted(known)}")
