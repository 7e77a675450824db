"""The page of the figures that are there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.cluster.projection import CONSTANTS, SETS, WHOLE_UCF101_H, number, table

_RUNS = {
    "blocks": "blocks",
    "nodes": "nodes",
    "scheduler_ms_a_block": "scheduler, ms a block",
    "driver_ms_a_block": "driver, ms a block",
    "node_ms_a_block": "nodes, ms a block",
    "scheduler_mib": "scheduler, MiB",
    "driver_peak_mib": "driver's peak, MiB",
}
_HEAD = """\
# What many nodes cost

Written by `python -m benchmarks.cluster`. Scheduler, nodes and driver were processes on one machine of two cores, on
which others worked meanwhile: read processor times and counts, for durations are longer than they need be."""
_TEXTS = {
    "flatness": """\
## Blocks through one scheduler

Each block sleeps (mean {mean_s:g} s, spread as sums of the seconds of 512 videos) and writes 100 bytes. Times are of
the processor. The full size of this part is 200,000 blocks on 64 nodes; {most:,} blocks are the most that were run.
With many nodes a block costs more, since the driver asks after each one who is there; how much is not known.

{runs}""",
    "resumption": """\
## A driver that is killed at half

Of {blocks:,} blocks on {nodes} nodes, {killed_at:,} were there when the driver was killed. Another one had its first
block after {resume_s:.1f} s, its start included, and made {made_by_second:,}. Blocks lost: {lost}; finished ones made
again: {finished_made_again}; cut off by the kill, and begun again: {begun_twice}. The full size is 200,000 blocks.""",
    "ablation": """\
## Experiments of `moclip ablate`

{experiments} experiments on {nodes} nodes, of which one was killed after each tenth result and replaced, {nodes_killed}
in all: lost {lost}, twice {twice}, failed {failed}; {begun_again} were begun again. Git and the code of the project are
real, DVC is a program that sleeps and writes a commit. The full size is 300 experiments.""",
    "index": """\
## The index of a large store

{videos:,} videos in {blocks:,} blocks. Opening takes {open_s:.2f} s, {open_cpu_s:.2f} s of them of the processor, and
{open_mib:.1f} MiB. To find 1,000 videos then takes {look_up_s:.2f} s, in which each page of the index is checked, and
{look_up_mib:.0f} MiB, pages of mapped files among them, which the system takes back when it needs them. To make blocks
and index took {make_cpu_s:.0f} s of the processor.""",
    "overhead": """\
## A node beside one machine

The same extraction of {videos} generated videos in blocks of 64, both with their processes running, in turn, medians of
so many rounds ({rounds}): {alone_cpu_s:.2f} s of the processor by one machine, {node_cpu_s:.2f} s by a node with its
processes. {node_idle_cpu_s:.2f} s of these it would take in that time if it were idle; without them it takes
{node_vs_alone_cpu:.3f} times as much. An idle node takes {idle_node_cores:.3f} cores. The message of a block of 512
videos has {message_kb:.0f} kB.""",
    "projection": """\
## Projection

Computed of these constants. No file system of a network and no GPU was measured. The whole of UCF101 was, once: its
motion took {ucf101_h:.3f} core-hours ([motion.md](motion.md)).

{constants}

Data sets as they are assumed to be:

{sets}

{table}

The last rows say where the bound moves: with many cores it is reading, then the opening of files, and then the one
scheduler.""",
}


def page(found: Mapping[str, Any]) -> str:
    """The figures in Markdown; of what was not measured, nothing is said."""
    facts = {**found, "projection": _projection(found)}
    if "flatness" in found:
        facts["flatness"] = _flatness(found["flatness"])
    texts = [text.format(**facts[name]) for name, text in _TEXTS.items() if name in facts]
    return "\n\n".join([_HEAD, *texts]) + "\n"


def _flatness(found: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        [f"{run[name]:.3g}" if run[name] < 1000 else f"{run[name]:,.0f}" for name in _RUNS] for run in found["runs"]
    ]
    most = max(run["blocks"] for run in found["runs"])
    return {"mean_s": found["mean_s"], "most": most, "runs": _markdown([list(_RUNS.values()), *rows])}


def _projection(found: Mapping[str, Any]) -> dict[str, Any]:
    again = found.get("costs", {})
    constants = [("", "value", "unit", "how", "on generated videos, here")]
    for constant in CONSTANTS:
        how = f"{'measured' if constant.measured else 'assumed'}: {constant.source}"
        here = number(again[constant.again]) if constant.again in again else ""
        constants.append((constant.name, f"{round(constant.value, 2):,g}", constant.unit, how, here))
    sets = [("", "videos", "frames of each", "kB of each", "pixels")]
    sets += [
        (data.name, f"{data.videos:,}", f"{data.frames:.0f}", f"{data.file_kb:,.0f}", f"{data.width} x {data.height}")
        for data in SETS
    ]
    runs = found.get("flatness", {}).get("runs")
    block_ms = runs[-1]["scheduler_ms_a_block"] + runs[-1]["driver_ms_a_block"] if runs else None
    tables: dict[str, Sequence[Sequence[str]]] = {"constants": constants, "sets": sets, "table": table(block_ms)}
    return {"ucf101_h": WHOLE_UCF101_H, **{name: _markdown(rows) for name, rows in tables.items()}}


def _markdown(rows: Iterable[Sequence[str]]) -> str:
    head, *others = rows
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
