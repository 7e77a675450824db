"""What a later stage would refuse of the videos, refused when they are listed: hours before, for a large data set.

It moves no number and shapes no output, so nothing here is a dependency of the stage; the later stages refuse it too.
"""

from collections.abc import Mapping, Sequence

from moclip.base.errors import DataError, ParamsError
from moclip.data.dataset import Dataset
from moclip.data.splits import Member
from moclip.data.ucf101 import LISTS
from moclip.heads.registry import chosen_on_validation
from moclip.params.data import DataParams
from stages._entry import all_params


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
    name = f"<class>_test_split{split}.txt" if data.source == "hmdb51" else f"{LISTS}/{part}list{split:02d}.txt"
    left = f"{name} names no video that is taken"
    if chosen:
        return f"{left}, by {' and '.join(chosen)}; widen that, or take {split} out of `splits`"
    return f"{left}; mend the list, or take {split} out of `splits`"
