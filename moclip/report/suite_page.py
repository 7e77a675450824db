"""The answers of an ablation suite as a page."""

from collections.abc import Iterable, Mapping, Sequence

from moclip.report.render import render
from moclip.results.intervals import Bootstrap
from moclip.results.suite import Answer, Run
from moclip.results.summary import over_seeds


def as_markdown(rows: Sequence[Answer], base: Mapping[int, Run], suite: str, bootstrap: Bootstrap) -> str:
    """The table as Markdown, by topic.

    Args:
        rows: The answers.
        base: The base's runs by seed.
        suite: Name of the suite's file.
        bootstrap: How the intervals were made.
    """
    first = next(iter(base.values()))
    intervals = sum(row.significant is not None for row in rows)
    return render(
        "ablations.md.j2",
        dataset=first.summary["dataset"],
        suite=suite,
        base=", ".join(f"{head} {first.top1_pct(head):.1f} %" for head in first.outcomes),
        seeds=len(base),
        spreads=over_seeds({seed: run.summary for seed, run in base.items()})["heads"] if len(base) > 1 else {},
        confidence=f"{bootstrap.confidence_pct:g}",
        intervals=intervals,
        chance=f"{intervals * (1 - bootstrap.confidence_pct / 100):.1f}",
        topics=by_topic(rows),
    )


def by_topic(rows: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Rows under their topics, both in order of appearance."""
    topics: dict[str, list[Answer]] = {}
    for row in rows:
        topics.setdefault(row.variant.topic, []).append(row)
    return topics
