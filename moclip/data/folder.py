"""Videos of one's own: a folder of each class, split by lists in UCF101's form, by folders, or with tests drawn.

Folders `train`, `val` and `test` that hold folders of classes are the split that they name.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sklearn.model_selection import StratifiedGroupKFold

from moclip.base.errors import DataError
from moclip.data.dataset import SPLITS, Clip, Dataset, chosen_classes, spread
from moclip.data.ucf101 import LISTS, Lists, by_lists
from moclip.data.walk import Found, class_folders, files_by_class, no_folder, walk
from moclip.video.file.shard import is_tar, tar_of, without_tar

log = logging.getLogger(__name__)

# Names of folders that stand for a part, in small letters.
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
_GIVEN = 1  # number of a split that folders give


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

    Where the folders of classes lie in folders of parts instead, those are the one split, number 1. Of `train` and
    `val` alone, `val` tests, and validation is drawn from `train`.

    A group is named by the first capture of `group_pattern` in the file's stem. Equal names are one
    group even across classes: that may be coarser than needed, but never lets a recording leak.

    Raises:
        DataError: fewer than two classes, a class without videos, a stem without group, two videos that would have one
            id, too few groups, or lists and folder disagree.
    """
    name = f"folder {base.name}"
    if (base / LISTS).is_dir():
        lists = Lists(base, classes, clips_per_class)
        return by_lists(base, name, lists, lambda stem, _: _group_by(group_pattern, stem), present)
    folders, beside = class_folders(base)
    if parts := _parts(base, folders):
        return _given_split(base, name, parts, classes, clips_per_class, group_pattern, beside)
    names = list(dict.fromkeys(folder.name for folder in folders))
    if len(names) < 2:
        place = "" if base.is_dir() else f" {no_folder(base)};"
        raise DataError(
            f"{base}:{place} needs one folder of videos per class, two at least; has "
            f"{names}; data.root must name the folder that holds these"
        )
    chosen = chosen_classes(names, classes)
    found, rest = files_by_class(folder for folder in folders if folder.name in chosen)
    beside.add(rest)
    beside.tell()
    rows = [(class_name, path) for class_name, paths in found.items() for path in paths]
    id_of = _ids(base, [path for _, path in rows])
    class_of = {id_of[path]: class_name for class_name, path in rows}
    kept = class_of.keys() if clips_per_class is None else spread(class_of, clips_per_class)
    clips = {
        id_of[path]: Clip(id_of[path], of, _group_by(group_pattern, path.stem), path)
        for of, path in rows
        if id_of[path] in kept
    }
    test = _draw_tests(clips, seed)
    train = {split: [stem for stem in clips if stem not in set(test[split])] for split in SPLITS}
    return Dataset(name, True, chosen, clips, train, test)


def _parts(base: Path, folders: Iterable[Path]) -> dict[str, Path]:
    """Folders of parts by the part; empty where the folders are those of classes.

    Raises:
        DataError: two folders stand for one part, something lies beside them, or a part is missing.
    """
    parts: dict[str, Path] = {}
    others = []
    for folder in folders:
        part = _PARTS.get(folder.name.lower())
        if part is None or not _has_folders(folder):
            others.append(folder)
        elif tar := tar_of(folder):
            raise DataError(f"{tar}: has parts of a split in it; put tars with folders of classes into {folder.name}/")
        elif part in parts:
            raise DataError(f"{folder} and {parts[part]} both stand for the part {part}; rename or join them")
        else:
            parts[part] = folder
    if not parts or (others and len(parts) == 1):  # one class may be called Train
        return {}
    named = ", ".join(sorted(folder.name for folder in parts.values()))
    if others:
        raise DataError(
            f"{base}: {others[0].name} lies beside {named}, which are parts of a split with a folder of each class in "
            "them; move it elsewhere, or fill it likewise"
        )
    if "train" not in parts or len(parts) == 1:
        raise DataError(
            f"{base}: has {named} alone, and a split needs train with val or test; bring the missing part, or let "
            f"data.root name {base.name}/{named} to have tests drawn"
        )
    return parts


def _has_folders(folder: Path) -> bool:
    """Whether folders of classes may lie in it, or tars that have them."""
    if tar_of(folder):
        return any(len(path.relative_to(folder).parts) > 1 for path in walk(folder).videos)
    return any(path.is_dir() or is_tar(path) for path in folder.iterdir() if not path.name.startswith("."))


def _given_split(
    base: Path,
    name: str,
    parts: Mapping[str, Path],
    classes: Sequence[str] | None,
    clips_per_class: int | None,
    group_pattern: str,
    rest: Found,
) -> Dataset:
    """The split that folders give."""
    if "test" not in parts:
        log.info("%s: %s tests, and validation is drawn from %s", base, parts["val"].name, parts["train"].name)
        parts = {"train": parts["train"], "test": parts["val"]}
    inner: dict[str, list[Path]] = {}
    for part, folder in parts.items():
        inner[part], beside = class_folders(folder)
        rest.add(beside)
    index = sorted({folder.name for folder in inner["train"]})
    if len(index) < 2:
        raise DataError(f"{parts['train']}: needs one folder of videos per class, two at least; has {index}")
    chosen = chosen_classes(index, classes)
    rows: list[tuple[str, str, Path]] = []  # part, class, file
    for part, folders in inner.items():
        if unknown := [folder for folder in folders if folder.name not in index]:
            raise DataError(f"{unknown[0]}: a class that is not in {parts['train']}; bring it there, or remove it here")
        found, beside = files_by_class(folder for folder in folders if folder.name in chosen)
        rows += [(part, class_name, path) for class_name, paths in found.items() for path in paths]
        rest.add(beside)
    rest.tell()
    id_of = _ids(base, [path for _, _, path in rows])
    class_of = {id_of[path]: class_name for _, class_name, path in rows}
    kept = class_of.keys() if clips_per_class is None else spread(class_of, clips_per_class)
    rows = [row for row in rows if id_of[row[2]] in kept]
    groups = _groups(group_pattern, {id_of[path]: path.stem for _, _, path in rows})
    clips = {id_of[path]: Clip(id_of[path], of, groups[id_of[path]], path) for _, of, path in rows}
    listed = {part: {_GIVEN: [id_of[path] for of, _, path in rows if of == part]} for part in parts}
    return Dataset(name, True, chosen, clips, listed["train"], listed["test"], listed.get("val"))


def _ids(base: Path, paths: Sequence[Path]) -> dict[Path, str]:
    """Ids by path: stems, and of those that come up again, in other classes or parts, the way to them too.

    Raises:
        DataError: two files have one id.
    """
    times = Counter(path.stem for path in paths)

    def id_of(path: Path) -> str:
        way = without_tar(path).relative_to(base).with_suffix("").parts
        return path.stem if times[path.stem] == 1 else "-".join(way)

    ids = {path: id_of(path) for path in paths}
    first: dict[str, Path] = {}
    for path, named in ids.items():
        if (other := first.setdefault(named, path)) != path:
            raise DataError(f"{path} and {other} would both have the id {named}; rename one")
    return ids


def _groups(pattern: str, stems: Mapping[str, str]) -> dict[str, str]:
    """Groups by id where folders give the split: of names without any group, each video is one of its own."""
    if any(re.search(pattern, stem) for stem in stems.values()):
        return {named: _group_by(pattern, stem) for named, stem in stems.items()}
    log.warning(
        "data.group_pattern %s finds no group in any of %d names, so each video counts as a recording of its own; what "
        "is drawn for validation may be of a recording that trains",
        pattern,
        len(stems),
    )
    return {named: named for named in stems}


def _group_by(pattern: str, stem: str) -> str:
    match = re.search(pattern, stem)
    if not match or not match[1]:
        raise DataError(
            f"{stem}: data.group_pattern {pattern} finds no group in this name; clips without a "
            "group could leak from train to test. Set it to what in your names tells one recording from another; "
            "data.group_pattern: (.*) takes each video as a recording of its own"
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
