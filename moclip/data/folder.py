"""Videos of one's own: a folder of each class, with lists in UCF101's form or with tests drawn by the seed."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sklearn.model_selection import StratifiedGroupKFold

from moclip.base.errors import DataError
from moclip.data.dataset import SPLITS, Clip, Dataset, chosen_classes, spread, video_files
from moclip.data.ucf101 import LISTS, Lists, by_lists


def find_folder(
    base: Path,
    *,
    classes: Sequence[str] | None,
    clips_per_class: int | None = None,
    group_pattern: str,
    seed: int,
    present: bool = False,
) -> Dataset:
    """Read one folder of videos per class; lists beside them in UCF101's form split, else tests are drawn by the seed.

    A group is named by the first capture of `group_pattern` in the file's stem. Equal names are one
    group even across classes: that may be coarser than needed, but never lets a recording leak.

    Raises:
        DataError: fewer than two classes, a stem without group or used twice, too few groups, or lists and folder
            disagree.
    """
    name = f"folder {base.name}"
    if (base / LISTS).is_dir():
        lists = Lists(base, classes, clips_per_class)
        return by_lists(base, name, lists, lambda stem, _: _group_by(group_pattern, stem), present)
    folders = [path.name for path in sorted(base.iterdir()) if path.is_dir()] if base.is_dir() else []
    if len(folders) < 2:
        raise DataError(f"{base}: needs one folder of videos per class, two at least; has {folders}")
    chosen = chosen_classes(folders, classes)
    files = video_files(base, chosen)
    if clips_per_class is not None:
        kept = spread({stem: path.parent.name for stem, path in files.items()}, clips_per_class)
        files = {stem: path for stem, path in files.items() if stem in kept}
    clips = {stem: Clip(stem, path.parent.name, _group_by(group_pattern, stem), path) for stem, path in files.items()}
    test = _draw_tests(clips, seed)
    train = {split: [stem for stem in clips if stem not in set(test[split])] for split in SPLITS}
    return Dataset(name, True, chosen, clips, train, test)


def _group_by(pattern: str, stem: str) -> str:
    match = re.search(pattern, stem)
    if not match or not match[1]:
        raise DataError(
            f"{stem}: data.group_pattern {pattern!r} finds no group in this name; clips without a "
            "group could leak from train to test"
        )
    return match[1]


def _draw_tests(clips: Mapping[str, Clip], seed: int) -> dict[int, list[str]]:
    stems = sorted(clips)
    groups_of: dict[str, set[str]] = {}
    for clip in clips.values():
        groups_of.setdefault(clip.class_name, set()).add(clip.group)
    for name, groups in sorted(groups_of.items()):
        if len(groups) < len(SPLITS):
            raise DataError(f"class {name}: {len(groups)} groups; {len(SPLITS)} splits need as many")
    folds = StratifiedGroupKFold(len(SPLITS), shuffle=True, random_state=seed).split(
        stems, [clips[stem].class_name for stem in stems], [clips[stem].group for stem in stems]
    )
    return {split: [stems[i] for i in test] for split, (_, test) in zip(SPLITS, folds, strict=True)}
