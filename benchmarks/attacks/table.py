"""What a row says: which attack, what must hold, what happened; and the page of all rows."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from benchmarks.attacks.bench import Bench, Done
from moclip.base.markdown import cell
from moclip.base.outside.terminal import name

Verdict = Literal["held", "failed", "not promised", "not tried"]
NEW = "new"
"""In place of a number: an attack that the review does not name."""
MOST_S, MOST_MB = 5.0, 500.0
_WORDS = 170


@dataclass(frozen=True)
class Outcome:
    """What came of an attack."""

    happened: str
    verdict: Verdict


@dataclass(frozen=True)
class Attack:
    """One row.

    Attributes:
        number: Of the review, or `NEW`.
        tried: What is tried.
        must: What must hold.
        do: Tries it.
    """

    number: str
    tried: str
    must: str
    do: Callable[[Bench], Outcome]


def refused(done: Done, words: str, bounded: bool = False) -> Outcome:
    """The outcome of a command that has to refuse in one message with these words, and do nothing else.

    Args:
        done: How it ended.
        words: A regular expression that its last message must hold.
        bounded: Whether it has to stay within `MOST_S` and `MOST_MB`.
    """
    faults = [*done.crossed]
    if done.status != 1:
        faults.append("it hung" if done.status == -1 else f"status {done.status}, not 1")
    if not re.search(words, done.told) or "Traceback" in done.err:
        faults.append(f"its message has no {words!r}")
    return _outcome(done, faults, "refused", bounded)


def answered(done: Done, bounded: bool = False, words: str = "") -> Outcome:
    """The outcome of a command that has to go on, and do nothing that the attacker wants."""
    faults = [*done.crossed]
    if done.status != 0:
        faults.append("it hung" if done.status == -1 else f"status {done.status}, not 0")
    if not re.search(words, done.out + done.err):
        faults.append(f"it printed no {words!r}")
    return _outcome(done, faults, "went on", bounded)


def harmless(done: Done, bounded: bool = True) -> Outcome:
    """The outcome where an answer and a refusal are both right, but no crash, and nothing that the attacker wants."""
    faults = [*done.crossed]
    if done.status not in (0, 1):
        faults.append("it hung" if done.status == -1 else f"status {done.status}")
    return _outcome(done, faults, "refused" if done.status else "went on", bounded)


def says(held: bool, happened: str) -> Outcome:
    """An outcome that was looked at elsewhere."""
    return Outcome(happened, "held" if held else "failed")


def not_tried(reason: str) -> Outcome:
    """An attack that cannot be tried here."""
    return Outcome(reason, "not tried")


def _outcome(done: Done, faults: list[str], how: str, bounded: bool) -> Outcome:
    if bounded and done.seconds > MOST_S:
        faults.append(f"{done.seconds:.1f} s of processor time, more than {MOST_S:g}")
    if bounded and done.mb > MOST_MB:
        faults.append(f"{done.mb:.0f} MB, more than {MOST_MB:g}")
    cost = f" (within {MOST_S:g} s, {MOST_MB:g} MB)" if bounded and not faults else ""
    told = done.told if how == "refused" or faults else ""
    words = "; ".join(filter(None, [*faults, f"{how}{cost}{': ' if told else ''}{told}"]))
    return Outcome(words, "failed" if faults else "held")


def page(rows: Sequence[tuple[Attack, Outcome]]) -> str:
    """The table as Markdown, the same in every run that comes to the same."""
    counts = {kind: sum(outcome.verdict == kind for _, outcome in rows) for kind in get_args(Verdict)}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    lines = [
        "# Attacks",
        "",
        "Made by `python -m benchmarks.attacks --out benchmarks/attacks.md`, which tries each on the code as it is:",
        "commands in processes of their own, beside canaries for code, requests, files and secrets. The numbers are",
        f"those of the security review; *{NEW}* are others of its kinds.",
        "",
        f"{len(rows)} attacks: {told}.",
        "",
        "| number | what is tried | what must hold | what happened | verdict |",
        "| --- | --- | --- | --- | --- |",
    ]
    for attack, outcome in rows:
        cells = (attack.number, attack.tried, attack.must, _plain(outcome.happened), outcome.verdict)
        lines.append(f"| {' | '.join(cell(text) for text in cells)} |")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """A message without what differs from run to run: folders, ports, digits of names, room on the disk."""
    text = re.sub(r"(/[^\s/:'\"()]+)*/moclip-attack[^\s/:'\"()]*", "…", name(text))
    text = re.sub(r"(127\.0\.0\.1|localhost):\d+", r"\1:PORT", text)
    text = re.sub(r"\b(0x[0-9a-f]{6,}|[0-9a-f]{16,})\b", "…", text)
    text = re.sub(r"[\d.]+ GB are free", "… GB are free", text)
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}…"
