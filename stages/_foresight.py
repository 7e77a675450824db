"""What a later stage would refuse of the videos, refused when they are listed: hours before, for a large data set.

It moves no number and shapes no output, so nothing here is a dependency of the stage; the later stages refuse it too.
"""

from collections.abc import Mapping, Sequence

from moclip.base.errors import DataError, ParamsError
from moclip.data.dataset import Dataset
from moclip.data.manifest import Video
from moclip.data.splits import Member
from moclip.data.ucf101 import LISTS
from moclip.heads.registry import HEADS, MOTION, chosen_on_validation
from moclip.motion.grid import grid_shape
from moclip.params.data import DataParams
from moclip.params.heads.motion_vit import MotionVitParams
from moclip.params.motion import MotionParams
from moclip.video.reencode import HEIGHT, WIDTH
from stages._entry import all_params, section
from stages._networks import OWN, SHARED, is_transformer, network_params


def check_given(dataset: Dataset) -> None:
    """Refuse splits that a data set does not have.

    Raises:
        ParamsError: the parameter `splits` names one.
    """
    if lacking := [split for split in _asked() if split not in dataset.train]:
        there = sorted(dataset.train)
        raise ParamsError(
            f"splits: {lacking[0]} is asked for, and {dataset.name} has split {', '.join(map(str, there))} alone, "
            f"which its folders give; set splits: {there}"
        )


def check_parts(members: Mapping[int, Sequence[Member]], data: DataParams) -> None:
    """Refuse a split that cannot be trained, chosen on or tested.

    Raises:
        DataError: a part is empty; names it, where it comes from, and the parameter that empties it.
    """
    for split in _asked():
        parts = {member.part for member in members[split]}
        for part in ("train", "test"):
            if part not in parts:
                raise DataError(f"split {split}: its {part} part is empty: {_why(split, part, data)}")
        if "val" not in parts and (choosers := chosen_on_validation(all_params())):
            raise DataError(
                f"split {split}: its validation part is empty (data.val_groups: {data.val_groups}), and there is "
                f"something to choose on it ({', '.join(choosers)}); raise data.val_groups, bring more groups, or "
                "choose otherwise"
            )


def check_grids(videos: Sequence[Video]) -> None:
    """Refuse videos whose vectors a network would be given as they lie, and cannot take so.

    Raises:
        DataError: two videos have grids of two sizes, or a Transformer cannot cut a grid into its patches; names video
            and parameter.
    """
    networks = {head if head in OWN else SHARED for head in all_params()["heads"] if MOTION in HEADS[head].streams}
    as_they_lie = [head for head in sorted(networks) if network_params(head).input_px is None]
    if not as_they_lie or not videos:
        return
    grids: dict[tuple[int, int], Video] = {}
    for video in videos:
        grids.setdefault(_grid(video), video)
    (grid, first), *others = grids.items()
    for head in as_they_lie:
        name = "motion_vit" if is_transformer(head) else "motion_net"
        if others:
            other, second = others[0]
            raise DataError(
                f"{second.path} has a grid of {_by(other)} cells, {first.path} one of {_by(grid)}, and {head} takes "
                f"grids of one size; set {name}.input_px to bring them to one"
            )
        patch = section("motion_vit", MotionVitParams).patch
        if is_transformer(head) and any(side % patch for side in grid):
            raise DataError(
                f"{first.path} has a grid of {_by(grid)} cells, and {head} cuts it into patches of {patch} x {patch}, "
                f"which leaves cells over; set {name}.input_px to a multiple of {name}.patch, or another patch"
            )


def _grid(video: Video) -> tuple[int, int]:
    motion = section("motion", MotionParams)
    width, height = (WIDTH, HEIGHT) if motion.source == "reencoded" else (video.width, video.height)
    return grid_shape(width, height, motion.cell_px)


def _by(sides: tuple[int, int]) -> str:
    return " x ".join(map(str, sides))


def _asked() -> list[int]:
    return [int(split) for split in all_params().get("splits", [])]


def _why(split: int, part: str, data: DataParams) -> str:
    """What emptied a part, and what to do about it."""
    chosen = [
        f"data.{name}"
        for name, narrows in (
            ("classes", data.classes is not None),
            ("clips_per_class", data.clips_per_class is not None),
            ("subset", data.subset == "present"),
            ("short_videos", data.short_videos == "drop"),
        )
        if narrows
    ]
    lists = {
        "hmdb51": f"<class>_test_split{split}.txt",
        **dict.fromkeys(("demo", "folder", "ucf101"), f"{LISTS}/{part}list{split:02d}.txt"),
    }
    left = f"{lists.get(data.source, f'the list of {part} {split}')} names no video that is taken"
    if chosen:
        return f"{left}, by {' and '.join(chosen)}; widen that, or take {split} out of `splits`"
    return f"{left}; mend the list, or take {split} out of `splits`"
