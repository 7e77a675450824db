"""Names of a result's metrics, measure first: MLflow sorts charts and columns by name, so they begin with accuracy.

| name | what it is |
| --- | --- |
| `accuracy/HEAD` | top-1 in percent, mean over splits |
| `accuracy_by_class/HEAD`, `accuracy_top5/HEAD` | mean of the classes' recalls, and top-5, in percent |
| `calibration/HEAD` | expected calibration error in percent: how far confidence and accuracy part |
| `gain/A_over_B` | top-1 of A minus that of B on the same videos, in points; `_low` and `_high` are its interval |
| `log_loss/HEAD` | negative log-likelihood in nats |
| `spread_over_splits/HEAD` | standard deviation of top-1 over splits, in points |

Runs of earlier versions have `HEAD/top1_pct_mean` and the like; `renamed` says what these are called now.
"""

from collections.abc import Mapping
from typing import Any

from moclip.heads.registry import CONTROL, MAIN

_MEANS = {
    "top1_pct": "accuracy",
    "mean_class_pct": "accuracy_by_class",
    "top5_pct": "accuracy_top5",
    "ece_pct": "calibration",
    "nll_nats": "log_loss",
}
_SPREAD = "spread_over_splits"
_MINUS = "_minus_"


def accuracy(head: str) -> str:
    """Name of a head's accuracy."""
    return f"accuracy/{head}"


def gain(first: str = MAIN, second: str = CONTROL) -> str:
    """Name of the difference of two heads, in points of top-1.

    >>> gain()
    'gain/fusion_over_clip_probe'
    """
    return f"gain/{first}_over_{second}"


def measures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of a result, by the names above; what a summary does not know is left out.

    Args:
        summary: As of `moclip.results.summary.summarize`.
    """
    found: dict[str, float | None] = {}
    for head, values in summary["heads"].items():
        found |= {f"{name}/{head}": values.get(key, {}).get("mean") for key, name in _MEANS.items()}
        found[f"{_SPREAD}/{head}"] = values.get("top1_pct", {}).get("std")
    for pair, values in summary.get("differences", {}).items():
        first, _, second = pair.partition(_MINUS)
        found[gain(first, second)] = values["mean"]
        found |= {f"{gain(first, second)}_{end}": (values["interval"] or {}).get(end) for end in ("low", "high")}
    return {name: value for name, value in found.items() if value is not None}


def renamed(old: Mapping[str, float]) -> dict[str, float]:
    """What an earlier version's metrics are called now, and the gain, which it did not have; without intervals.

    >>> renamed({f"{MAIN}/top1_pct_mean": 97.25, f"{CONTROL}/top1_pct_mean": 48.5, f"{MAIN}/top1_pct_std": 2.5})
    {'accuracy/fusion': 97.25, 'accuracy/clip_probe': 48.5, 'spread_over_splits/fusion': 2.5, \
'gain/fusion_over_clip_probe': 48.75}
    """
    now = {f"{key}_mean": name for key, name in _MEANS.items()} | {"top1_pct_std": _SPREAD}
    parts = {name: name.partition("/") for name in old}
    found = {f"{now[key]}/{head}": old[name] for name, (head, _, key) in parts.items() if key in now}
    both = [found.get(accuracy(head)) for head in (MAIN, CONTROL)]
    if both[0] is not None and both[1] is not None:
        found[gain()] = both[0] - both[1]
    return found
