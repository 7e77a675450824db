"""What a prediction costs, counted and not timed: parameters, multiply-adds, bytes; equal on every machine."""

from collections.abc import Iterable, Mapping
from typing import Any

from moclip.data.manifest import Video

GIGA = 1e9
Json = dict[str, Any]


def run_costs(costs: Mapping[str, Json], videos: Iterable[Video]) -> Json:
    """What the heads of a run and the networks of their streams cost by video.

    A head's `trainable_parameters` are its own, as the paper counts; `trained_in_all` adds the trained networks that it
    builds on. A network that no head uses, or of which nobody knows how it is built, is null; a head on the latter
    has no entry.

    Args:
        costs: By head that runs a network, what it wrote: `trainable_parameters`, `trained_in_all`, `macs_per_video`,
            and by name the networks of its `streams`.
        videos: Those of the manifest; there must be one or more.
    """
    sizes = [video.bytes for video in videos]
    networks = {name: network for cost in costs.values() for name, network in cost["streams"].items()}
    return {
        "clip": _clip(networks.get("clip")),
        "motion_net": _motion_net(networks.get("motion")),
        "video_bytes": {"mean": round(sum(sizes) / len(sizes)), "least": min(sizes), "most": max(sizes)},
        "heads": {head: _head(cost) for head, cost in costs.items() if cost["macs_per_video"] is not None},
    }


def _clip(network: Json | None) -> Json | None:
    if network is None or network["frame_macs"] is None:
        return None
    model, parameters = network["model"], network["parameters"]
    return {"model": model, "parameters": parameters, "frame_gmac": _billions(network["frame_macs"])}


def _motion_net(network: Json | None) -> Json | None:
    if network is None:
        return None
    kept = {name: network[name] for name in ("arch", "parameters", "field", "inputs")}
    return {**kept, "input_gmac": _billions(network["input_macs"])}


def _head(cost: Json) -> Json:
    kept = {name: cost[name] for name in ("trainable_parameters", "trained_in_all")}
    return {**kept, "gmac_per_video": _billions(cost["macs_per_video"])}


def _billions(macs: int) -> float:
    return round(macs / GIGA, 6)
