"""The few figures of a summary that variants are told apart by, as DVC's tables of metrics show them."""

from collections.abc import Mapping
from typing import Any

Figures = dict[str, dict[str, float]]


def headline(summary: Mapping[str, Any]) -> Figures:
    """Means over splits by head, with interval and test videos; then paired differences in points of top-1.

    Args:
        summary: As of `moclip.results.summary.summarize`. Where it has no interval, there is none here.
    """
    heads = {
        head: {
            **{key: values[key]["mean"] for key in ("top1_pct", "top5_pct", "mean_class_pct")},
            **_ends("top1", values["top1_interval_pct"]["mean"], "_pct"),
            "n_test": sum(values["n_test"].values()),
        }
        for head, values in summary["heads"].items()
    }
    differences = {
        name: {"points": values["mean"], **_ends("points", values["interval"])}
        for name, values in summary["differences"].items()
    }
    return heads | differences


def _ends(name: str, interval: Mapping[str, float] | None, unit: str = "") -> dict[str, float]:
    return {f"{name}_{end}{unit}": interval[end] for end in ("low", "high")} if interval else {}
