"""The answers of an ablation suite as a page."""

from collections.abc import Iterable, Mapping, Sequence

from moclip.report.render import render
from moclip.results.intervals import Level
from moclip.results.suite import Answer, Run
from moclip.results.summary import over_seeds


def as_markdown(rows: Sequence[Answer], base: Mapping[int, Run], suite: str, level: Level) -> str:
    """The table as Markdown, by topic.

    Args:
        rows: The answers.
        base: The base's runs by seed.
        suite: Name of the suite's file.
        level: Of intervals and words.
    """
    first = next(iter(base.values()))
    return render(
        "ablations.md.j2",
        dataset=first.summary["dataset"],
        suite=suite,
        base=", ".join(f"{head} {first.top1_pct(head):.1f} %" for head in first.outcomes),
        seeds=len(base),
        trainings=max((len(row.noise.per_training) for row in rows), default=1),
        spreads=over_seeds({seed: run.summary for seed, run in base.items()})["heads"] if len(base) > 1 else {},
        confidence=f"{level.confidence_pct:g}",
        asked=sum(row.testable for row in rows),
        chance=f"{100 - level.confidence_pct:g}",
        topics=by_topic(rows),
    )


def by_topic(rows: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Rows under their topics, both in order of appearance."""
    topics: dict[str, list[Answer]] = {}
    for row in rows:
        topics.setdefault(row.variant.topic, []).append(row)
    return topics
