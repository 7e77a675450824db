"""The answers of an ablation suite as a page."""

from collections.abc import Iterable, Mapping, Sequence

from moclip.report.render import render
from moclip.results.contrast import DIFFERENT, EQUAL
from moclip.results.intervals import Level
from moclip.results.suite import Answer, Run
from moclip.results.summary import over_seeds


def as_markdown(
    rows: Sequence[Answer], base: Mapping[int, Run], suite: str, level: Level, commits: Mapping[str, int]
) -> str:
    """The table as Markdown, by topic.

    Args:
        rows: The answers.
        base: The base's runs by seed.
        suite: Name of the suite's file.
        level: Of intervals and words.
        commits: How many runs were begun at each commit, whose code they ran.
    """
    first, parts = next(iter(base.values())), by_answer(rows)
    return render(
        "ablations.md.j2",
        dataset=first.summary["dataset"],
        suite=suite,
        commits=sorted(commits.items(), key=lambda item: (-item[1], item[0])),
        base=", ".join(f"{head} {first.top1_pct(head):.1f} %" for head in first.outcomes),
        seeds=len(base),
        trainings=max((len(row.noise.per_training) for row in rows), default=1),
        spreads=over_seeds({seed: run.summary for seed, run in base.items()})["heads"] if len(base) > 1 else {},
        confidence=f"{level.confidence_pct:g}",
        asked=sum(row.testable for row in rows),
        chance=f"{100 - level.confidence_pct:g}",
        rows=rows,
        parts=parts,
        open_topics=by_topic(parts["open"]),
    )


def by_answer(rows: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Rows by what they say: `differed`, shown `equal`, still `open`, and `untestable` on these data."""
    parts: dict[str, list[Answer]] = {"differed": [], "equal": [], "open": [], "untestable": []}
    for row in rows:
        if not row.change or not row.acts:
            parts["untestable"].append(row)
        else:
            parts[{DIFFERENT: "differed", EQUAL: "equal"}.get(row.word, "open")].append(row)
    return parts


def by_topic(rows: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Rows under their topics, both in order of appearance."""
    topics: dict[str, list[Answer]] = {}
    for row in rows:
        topics.setdefault(row.variant.topic, []).append(row)
    return topics
