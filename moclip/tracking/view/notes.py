"""Notes at experiments, runs and registered models: what a reader sees before any table.

MLflow lets people edit notes, so one is only written where there is none, or where it is as moclip wrote it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from moclip.base.files import fingerprint
from moclip.heads.registry import CONTROL, MAIN
from moclip.results.summary import difference_name

NOTE = "mlflow.note.content"
OURS = "moclip.note"  # stands for the note that moclip wrote last
MOST_CHARACTERS = 5000  # of a description and of an experiment's tag, in MLflow's tables
_REST = "\n\nThe rest stands in `{name}` among the files of run {run}."


def note_tags(there: Mapping[str, str], text: str) -> dict[str, str]:
    """Tags to set so that a note says `text`: none where it does, or where somebody wrote another one.

    Args:
        there: The tags that experiment or run has.
        text: Markdown; none is no note.
    """
    known = there.get(NOTE, "")
    own = {OURS: fingerprint(text)}
    if not text or (known and known != text and fingerprint(known) != there.get(OURS)):
        return {}
    if known == text:  # a call that was cut off between the two
        return {} if there.get(OURS) == own[OURS] else own
    return {NOTE: text, **own}


def result_note(summary: Mapping[str, Any], verdicts: Mapping[str, Any]) -> str:
    """The gain of a result and the verdict on each paper, as Markdown.

    Args:
        summary: As of `moclip.results.summary.summarize`.
        verdicts: As the stage `report` writes them: by a paper's name, with `title` and `verdict`.
    """
    parts = [_gain(summary)] if summary.get("differences", {}).get(difference_name(MAIN, CONTROL)) else []
    if verdicts:
        parts += ["**Verdicts**", "\n".join(f"- `{name}`: {paper['verdict']}" for name, paper in verdicts.items())]
    return "\n\n".join(parts)


def _gain(summary: Mapping[str, Any]) -> str:
    found = summary["differences"][difference_name(MAIN, CONTROL)]
    accuracies = (summary["heads"][head]["top1_pct"]["mean"] for head in (MAIN, CONTROL))
    ends = found["interval"]
    surely = f", {summary['confidence_pct']:g} % interval {ends['low']:+.1f} to {ends['high']:+.1f}" if ends else ""
    over = "{:.1f} % against {:.1f} %".format(*accuracies)
    return f"**{MAIN} over {CONTROL}: {found['mean']:+.1f} points** of top-1 ({over}{surely}): {found['word']}."


def experiment_note(title: str, columns: Mapping[str, str]) -> str:
    """What an experiment holds, and what its columns mean.

    Args:
        title: Its data set, in words.
        columns: What a column means, by its name.
    """
    rows = "\n".join(f"| `{name}` | {words} |" for name, words in columns.items())
    return (
        f"Results on {title}: one run for each, named by what differs from `base`, with a run for each head and split "
        f"below it. A run's note has the verdict on each paper, its files the report.\n\n"
        f"| column | meaning |\n| --- | --- |\n{rows}\n\n"
        "Tick two runs and press *Compare* for their parameters and figures side by side."
    )


def shortened(text: str, name: str, run: str) -> str:
    """A page as a description: whole, or up to the last section that fits, with a word on where the rest is."""
    if len(text) <= MOST_CHARACTERS:
        return text
    rest = _REST.format(name=name, run=run)
    head = text[: MOST_CHARACTERS - len(rest)]
    return head[: max(head.rfind("\n## "), head.rfind("\n\n"))].rstrip() + rest


def set_all(set_tag: Callable[[str, str], Any], values: Mapping[str, str]) -> None:
    """Set tags one by one."""
    for name, value in values.items():
        set_tag(name, value)
