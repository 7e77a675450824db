"""The report's sections on all systems as a page of its own, for a reader who wants the one table."""

from collections.abc import Iterator
from pathlib import Path

from moclip.base.errors import StoreError

TABLE, MOMENTS = "The systems on one footing", "Moments in long videos"
_MADE_BY = (
    "Written by `moclip report --systems` from the report of a run. `moclip preset related`, then `make repro`, runs "
    "all systems; a system that did not run names its command."
)


def systems_page(report: Path) -> str:
    """The table of all systems, and what was found in long videos where they were searched, in Markdown.

    Raises:
        StoreError: the report cannot be read, or has no such table.
    """
    try:
        title, *sections = _sections(report.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{report}: cannot be read ({error.strerror}); run `dvc repro` to make it") from error
    named = {section.partition("\n")[0].removeprefix("## "): section for section in sections}
    if TABLE not in named:
        raise StoreError(f"{report}: has no section {TABLE!r}; `dvc repro report` writes one that has")
    kept = [named[heading] for heading in (TABLE, MOMENTS) if heading in named]
    _, _, data = title.partition("\n")[0].partition(" on ")
    return "\n".join([f"# {TABLE}: {data}", "", _MADE_BY, "", *kept]).rstrip("\n") + "\n"


def _sections(text: str) -> Iterator[str]:
    """What precedes the first heading of the second level, then each such heading with what follows it."""
    first, *others = text.split("\n## ")
    yield first
    yield from (f"## {other}" for other in others)
