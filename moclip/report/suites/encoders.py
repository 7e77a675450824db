"""What encoders reach on the same videos, and what each costs, as a page and a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moclip.base.meter import Cost
from moclip.heads.registry import CLIP, CONTROL, HEADS, MAIN
from moclip.params.encoders import Encoder
from moclip.report.render import render
from moclip.results.summary import Json, difference_name

ASKED = (*(name for name, head in HEADS.items() if head.streams == (CLIP,) and head.related is None), MAIN)
"""Heads that answer for each encoder: those on CLIP alone, and the one that motion is added to."""


@dataclass(frozen=True)
class EncoderRow:
    """One encoder: its experiment, that run's summary, what it counts of CLIP's network, and what encoding took.

    `network` is None where nobody knows how it is built, `encoding` where no record of the stage is here.
    """

    encoder: Encoder
    experiment: str
    summary: Json
    network: Json | None
    encoding: Cost | None

    def top1_pct(self, head: str) -> float:
        """Top-1 of a head, mean over splits and trainings."""
        return float(self.summary["heads"][head]["top1_pct"]["mean"])

    def interval(self, head: str) -> Mapping[str, float] | None:
        """Of `top1_pct`, over other recordings of the same classes."""
        interval: Mapping[str, float] | None = self.summary["heads"][head]["top1_interval_pct"]["mean"]
        return interval

    @property
    def gain(self) -> Json:
        """Fusion's top-1 minus the probe's of the same size, in points: as the summary has it."""
        gain: Json = self.summary["differences"][difference_name(MAIN, CONTROL)]
        return gain


def as_markdown(
    rows: Sequence[EncoderRow], suite: str, shared: Mapping[str, Any], commits: Sequence[tuple[str, int]]
) -> str:
    """The table as Markdown, in the suite's order.

    Args:
        rows: The encoders; there must be one or more.
        suite: Name of the suite's file.
        shared: Parameters by dotted name that it sets for all of them.
        commits: Commits that runs were begun at, whose code they ran, and how many.
    """
    summary = rows[0].summary
    return render(
        "encoders.md.j2",
        rows=rows,
        heads=ASKED,
        suite=suite,
        shared=shared,
        commits=commits,
        dataset=summary["dataset"],
        splits=len(summary["splits"]),
        n_test=sum(summary["heads"][MAIN]["n_test"].values()),
        confidence=f"{summary['confidence_pct']:g}",
        main=MAIN,
        control=CONTROL,
    )


CSV_COLUMNS = (
    "encoder", "model", "tag", "experiment",
    *(f"{head}_{figure}" for head in ASKED for figure in ("top1_pct", "low_pct", "high_pct")),
    "gain_points", "gain_low_points", "gain_high_points", "gain_word", "parameters", "gmac_per_frame", "encoding_s",
    "peak_mib", "device",
)  # fmt: skip


def csv_row(row: EncoderRow) -> tuple[Any, ...]:
    """Values of `CSV_COLUMNS`; what there is none of is empty."""
    network, cost, gain = row.network or {}, row.encoding, row.gain
    figures = [value for head in ASKED for value in (row.top1_pct(head), *_ends(row.interval(head)))]
    values = (
        row.encoder.name, row.encoder.model, row.encoder.tag, row.experiment, *figures, gain["mean"],
        *_ends(gain["interval"]), gain["word"], network.get("parameters"), network.get("frame_gmac"),
        cost and round(cost.wall_s, 1), cost and cost.peak_mib, cost and cost.device,
    )  # fmt: skip
    return tuple("" if value is None else value for value in values)


def _ends(interval: Mapping[str, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval["low"], interval["high"])
