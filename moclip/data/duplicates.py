"""The same bytes under several names: across parts or classes they make a result mean less than it says."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from moclip.data.manifest import Video
from moclip.data.splits import Member


class Pair(NamedTuple):
    """Two videos of the same bytes, and what of theirs differs: classes, or parts of a split."""

    one: str
    other: str
    differ: str

    def __str__(self) -> str:
        return f"{self.one} and {self.other} are the same file byte by byte, {self.differ}"


def twins(videos: Iterable[Video]) -> list[list[Video]]:
    """Videos of the same bytes, those of one content together, in the order of their ids."""
    by_content: dict[str, list[Video]] = {}
    for video in sorted(videos, key=lambda video: video.id):
        by_content.setdefault(video.sha256, []).append(video)
    return [same for same in by_content.values() if len(same) > 1]


def conflicts(same: Sequence[Sequence[Video]], splits: Mapping[int, Sequence[Member]]) -> list[Pair]:
    """For each content that stands in two classes or in two parts of a split, two videos that show it.

    Args:
        same: As `twins` gives them.
        splits: Members of each split by its number.
    """
    parts = {split: {member.id: member.part for member in members} for split, members in splits.items()}
    found = []
    for videos in same:
        pairs = ((one.id, other.id, _difference(one, other, parts)) for one, other in combinations(videos, 2))
        if pair := next((Pair(*pair) for pair in pairs if pair[2]), None):
            found.append(pair)
    return found


def _difference(one: Video, other: Video, parts: Mapping[int, Mapping[str, str]]) -> str:
    if one.class_name != other.class_name:
        return f"of the classes {one.class_name} and {other.class_name}"
    for split, part_of in sorted(parts.items()):
        places = part_of.get(one.id), part_of.get(other.id)
        if None not in places and places[0] != places[1]:
            return f"in {places[0]} and {places[1]} of split {split}"
    return ""


def described(same: Sequence[Sequence[Video]], found: Sequence[Pair]) -> dict[str, Any]:
    """What a data card shows, as plain values; empty where no content comes twice."""
    if not same:
        return {}
    return {
        "duplicates": {
            "contents": len(same),
            "videos": sum(map(len, same)),
            "across_parts_or_classes": len(found),
            "first": str(found[0]) if found else f"{same[0][0].id} and {same[0][1].id}",
        }
    }
