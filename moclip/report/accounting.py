"""What a prediction costs, counted and not timed: parameters, multiply-adds, bytes; equal on every machine."""

from collections.abc import Iterable, Mapping
from typing import Any

from moclip.data.manifest import Video

GIGA = 1e9
Json = dict[str, Any]


def run_costs(costs: Mapping[str, Json], videos: Iterable[Video]) -> Json:
    """What the heads of a run and the networks of their streams cost by video.

    A head's `trainable_parameters` are its own, as the paper counts; `trained_in_all` adds the trained networks that it
    builds on. A network that no head of `costs` uses is null.

    Args:
        costs: By head, as of `moclip.heads.fitted.Account`; a head without networks, or with one that nobody knows how
            it is built, is not there.
        videos: Those of the manifest; there must be one or more.
    """
    sizes = [video.bytes for video in videos]
    networks = {name: network for cost in costs.values() for name, network in cost["streams"].items()}
    return {
        "clip": _network(networks.get("clip"), "frame", ("model", "parameters")),
        "motion_net": _network(networks.get("motion"), "input", ("arch", "parameters", "field", "inputs")),
        "video_bytes": {"mean": round(sum(sizes) / len(sizes)), "least": min(sizes), "most": max(sizes)},
        "heads": {
            head: {
                "trainable_parameters": cost["trainable_parameters"],
                "trained_in_all": cost["trained_in_all"],
                "gmac_per_video": _billions(cost["macs_per_video"]),
            }
            for head, cost in costs.items()
        },
    }


def _network(facts: Json | None, unit: str, kept: Iterable[str]) -> Json | None:
    if facts is None:
        return None
    return {**{name: facts[name] for name in kept}, f"{unit}_gmac": _billions(facts[f"{unit}_macs"])}


def _billions(macs: int) -> float:
    return round(macs / GIGA, 6)
