"""The report's first three sentences: what the paper claims, what was run, and what follows from it or does not."""

from collections.abc import Sequence
from pathlib import Path

from moclip.base.errors import StoreError
from moclip.base.markdown import signed, span
from moclip.heads.registry import CONTROL, HEADS, MAIN
from moclip.report.verdict import Trial, data_title, motion_adds
from moclip.results.summary import Json

GENERATED = "demo"  # the data set that moclip draws


def opening(trial: Trial, summary: Json, heads: Sequence[str]) -> list[str]:
    """Three sentences of Markdown for somebody who has read the paper's abstract and nothing of moclip.

    Args:
        trial: Of the paper that the report is named after.
        summary: As of `moclip.results.summary.summarize`.
        heads: Those that ran, in the order of tables.
    """
    return [_claim(trial), _run(summary, heads), _follows(trial, summary)]


def first_sentences(report: Path) -> str:
    """The opening of a report that is written, as plain text.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        lines = report.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StoreError(f"{report}: cannot be read ({error.strerror}); run `dvc repro` to make it") from error
    end = next((i for i, line in enumerate(lines) if line.startswith("## ")), len(lines))
    return "\n".join(lines[:end]).strip().replace("*", "").lstrip("# ")


def _claim(trial: Trial) -> str:
    says = trial.paper.says or f"{len(trial.paper.claims)} things that can be checked, each in the table below"
    return f"**The claim.** {trial.paper.title} claims {says}."


def _run(summary: Json, heads: Sequence[str]) -> str:
    splits, counts = summary["splits"], summary["heads"][heads[0]]["n_test"]
    lists = "one split" if len(splits) == 1 else f"{len(splits)} splits"
    ran = f"{len(heads)} ways to recognise {summary['n_classes']} classes were" if len(heads) > 1 else "One way to was"
    said = f"**The run.** {ran} tested on {sum(counts.values())} videos of {data_title(summary)} ({lists})"
    if CONTROL not in heads or MAIN not in heads:
        return f"{said}, without the pair that would tell what motion adds."
    return (
        f"{said}; one is the control that the paper lacks, a *probe*: a small classifier trained on CLIP's frozen "
        f"feature alone, here the same network as {HEADS[MAIN].title} without its motion."
    )


def _follows(trial: Trial, summary: Json) -> str:
    gain = next((row for row in motion_adds(summary) if row["other"] == CONTROL), None)
    if gain is None:
        return (
            "**What follows.** Nothing about motion, for the two heads whose difference would tell were not both run."
        )
    return f"**What follows.** {_told(gain)}; {_reach(trial, summary)}."


def _told(gain: Json) -> str:
    pair = f"{HEADS[MAIN].title} and its control"
    figure = f"{signed(gain['mean'])} points ({span(gain['interval'], True)})"
    if gain["word"] != "different":
        return f"Between {pair} no difference was shown here ({figure})"
    did = "helped" if gain["mean"] > 0 else "did harm"
    return f"Motion {did} here: between {pair} lie {figure}"


def _reach(trial: Trial, summary: Json) -> str:
    if trial.tested:
        return "the table says of each claim whether this run agrees"
    if summary["dataset"] == GENERATED:
        return (
            "in the demo a still frame tells the scene and motion the movement, by construction, so motion must help "
            f"there, and nothing follows about {trial.data}"
        )
    return f"it is of these videos, and does not say whether the claim about {trial.data} is true"
