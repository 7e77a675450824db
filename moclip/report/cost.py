"""What a result cost, as a table: seconds and memory by stage, and what is not known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from moclip.base.meter import Cost
from moclip.report.render import render

Json = dict[str, Any]


@dataclass(frozen=True)
class StageCost:
    """One stage behind a result: what it took when it ran, None where it never ran on this machine's disk.

    `now` says whether it ran in the command that this table ends, and was not restored or left as it was.
    """

    stage: str
    cost: Cost | None
    now: bool

    @property
    def status(self) -> str:
        """What the figures of the row are about."""
        if self.cost is None:
            return "not run here"
        return "ran now" if self.now else f"not run now; cost {self.cost.wall_s:.1f} s when it ran"


def cost_summary(stages: Sequence[StageCost], summary_sha256: str) -> Json:
    """The table as plain values for JSON; `summary_sha256` says which summary it is about."""
    known = [stage.cost for stage in stages if stage.cost is not None]
    return {
        "summary_sha256": summary_sha256,
        "stages": [{**asdict(stage), "status": stage.status} for stage in stages],
        "total_wall_s": round(sum(cost.wall_s for cost in known), 1),
        "total_cpu_s": round(sum(cost.cpu_s for cost in known), 1),
        "now_wall_s": round(sum(stage.cost.wall_s for stage in stages if stage.cost and stage.now), 1),
        "peak_mib": max((cost.peak_mib for cost in known), default=None),
        "machines": sorted({_machine(cost) for cost in known}),
        "unknown": [stage.stage for stage in stages if stage.cost is None],
    }


def _machine(cost: Cost) -> str:
    return f"{cost.device}, {cost.cores} core{'s' if cost.cores > 1 else ''}"


def cost_page(summary: Mapping[str, Any]) -> str:
    """The table of `cost_summary` as Markdown."""
    return render("cost.md.j2", cost=summary)


def cost_line(summary: Mapping[str, Any]) -> str:
    """The whole cost in one line for a terminal."""
    unknown = len(summary["unknown"])
    known = len(summary["stages"]) - unknown
    if not known:
        return f"cost: not known; none of the {unknown} stages behind this result was run here"
    least = (
        f" (at least: {unknown} more {'stage was' if unknown == 1 else 'stages were'} not run here)" if unknown else ""
    )
    total, now = summary["total_wall_s"], summary["now_wall_s"]
    return f"cost: {total:.0f} s over {known} stages{least}, {now:.0f} s in the last run"
