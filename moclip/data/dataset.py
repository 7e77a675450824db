"""From videos that were found to the parts of the splits; nothing is dropped without a word."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moclip.base.errors import DataError
from moclip.base.files import fingerprint
from moclip.data.manifest import Video
from moclip.data.splits import Member, check_disjoint, hold_out
from moclip.data.walk import class_folders, no_folder, walk_named

SPLITS = (1, 2, 3)
PART = " (part)"  # ends the name of a data set that lacks some of its videos


@dataclass(frozen=True)
class Clip:
    """A video that was found: its class, its group, its file."""

    id: str
    class_name: str
    group: str
    path: Path


@dataclass(frozen=True)
class Dataset:
    """Videos with classes in index order, and the train and test part of each split, by its number.

    `val` is None where a validation part is to be drawn from the train part; else it is given as it is.
    """

    name: str
    complete: bool
    classes: list[str]
    clips: dict[str, Clip]
    train: dict[int, list[str]]
    test: dict[int, list[str]]
    val: dict[int, list[str]] | None = None


def spread(class_of: Mapping[str, str], clips_per_class: int) -> set[str]:
    """So many ids of each class, drawn by a hash of the name: the same for all, and over all groups."""
    by_class: dict[str, list[str]] = {}
    for stem, name in class_of.items():
        by_class.setdefault(name, []).append(stem)
    order = {stem: fingerprint(stem) for stem in class_of}
    return {stem for stems in by_class.values() for stem in sorted(stems, key=order.__getitem__)[:clips_per_class]}


def drop_short(dataset: Dataset, videos: Sequence[Video], frames: int) -> tuple[Dataset, list[str]]:
    """Take videos with fewer than `frames` frames out of the clips and of every list, as the paper's code does.

    Returns:
        The data set, a part of itself where a video left it, and the ids of those videos, sorted.

    Raises:
        DataError: no video is left.
    """
    short = {video.id for video in videos if video.frames < frames}
    if short == dataset.clips.keys():
        raise DataError(f"data.short_frames: all {len(short)} videos have fewer than {frames} frames; lower it")
    if not short:
        return dataset, []

    def without(part: Mapping[int, list[str]]) -> dict[int, list[str]]:
        return {split: [stem for stem in stems if stem not in short] for split, stems in part.items()}

    kept = replace(
        dataset,
        name=dataset.name if dataset.name.endswith(PART) else f"{dataset.name}{PART}",
        complete=False,
        clips={stem: clip for stem, clip in dataset.clips.items() if stem not in short},
        train=without(dataset.train),
        test=without(dataset.test),
        val=None if dataset.val is None else without(dataset.val),
    )
    return kept, sorted(short)


def assign_parts(dataset: Dataset, val_groups: int, seed: int) -> dict[int, list[Member]]:
    """The splits with train, val and test parts; validation is given, or holds whole groups of the train list.

    Raises:
        DataError: a group stands in two parts, or a complete data set has a class without training
            videos.
    """
    label = {name: index for index, name in enumerate(dataset.classes)}
    labels = {clip.id: label[clip.class_name] for clip in dataset.clips.values()}
    splits = {}
    for split in dataset.train:
        train = {stem: (labels[stem], dataset.clips[stem].group) for stem in dataset.train[split]}
        held = hold_out(train, val_groups, (seed, split)) if dataset.val is None else dataset.val[split]
        if both := sorted(train.keys() & set(dataset.test[split])):
            raise DataError(f"split {split}: {both[0]} is listed both for training and for testing")
        parts = dict.fromkeys(train, "train") | dict.fromkeys(held, "val")
        parts |= dict.fromkeys(dataset.test[split], "test")
        members = [Member(stem, labels[stem], part, dataset.clips[stem].group) for stem, part in sorted(parts.items())]
        check_disjoint(f"split {split}", members)
        _check_coverage(dataset, split, members)
        splits[split] = members
    return splits


def _check_coverage(dataset: Dataset, split: int, members: Sequence[Member]) -> None:
    if not dataset.complete:
        return
    trained = Counter(member.label for member in members if member.part == "train")
    for label, name in enumerate(dataset.classes):
        if not trained[label]:
            raise DataError(
                f"split {split}: class {name} has no training video left; lower data.val_groups or bring more groups"
            )


def chosen_classes(index: Sequence[str], classes: Sequence[str] | None) -> list[str]:
    """The classes of `data.classes` in the order of the index; None takes all.

    Raises:
        DataError: one of them is not in the index.
    """
    if classes is None:
        return list(index)
    if unknown := [name for name in classes if name not in index]:
        raise DataError(f"data.classes: {unknown[0]} is not among the {len(index)} classes")
    return [name for name in index if name in classes]


def video_files(base: Path, classes: Iterable[str], index: Iterable[str]) -> dict[str, Path]:
    """Videos below `base` in the folders of these classes, however deep, by their stems; what else lies there is told.

    Args:
        base: Folder of the folders of classes.
        classes: Those to look into; one may be missing.
        index: All classes that are known; folders of no other are looked into.

    Raises:
        DataError: two files have one stem.
    """
    if not base.is_dir():
        return {}  # a video that is listed and missing is named with the folder
    folders, rest = class_folders(base)
    known, wanted = set(index), set(classes)
    for folder in folders:
        if folder.name not in known:
            rest.leave("a folder of no class in the index", folder)
        elif folder.name in wanted:
            rest.add(walk_named(folder))
    rest.tell()
    return by_stem(rest.videos)


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Videos by their stems.

    Raises:
        DataError: two have one stem.
    """
    files: dict[str, Path] = {}
    for path in paths:
        if path.stem in files:
            raise DataError(f"{path} and {files[path.stem]} have the same stem; rename one")
        files[path.stem] = path
    return files


def united(lists: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Class by video id of all lists together.

    Raises:
        DataError: two lists give a video two classes.
    """
    class_of: dict[str, str] = {}
    for stem, name in (item for listed in lists for item in listed.items()):
        if class_of.setdefault(stem, name) != name:
            raise DataError(f"{stem} is of class {class_of[stem]} in one list, of {name} in another")
    return class_of


def refuse_gaps(base: Path, class_of: Mapping[str, str], files: Mapping[str, Path], present: bool) -> None:
    """Hold the videos of a folder against those of the lists; with `present` it may lack some.

    Raises:
        DataError: listed videos are missing, lie in the folder of another class, or a video is in no list.
    """
    missing = [stem for stem in class_of if stem not in files]
    if missing and (not present or len(missing) == len(class_of)):
        first = min(f"{class_of[stem]}/{stem}" for stem in missing)
        remedy = "complete the folder, or set data.subset: present to run on the part that is there"
        if len(missing) == len(class_of):
            place = "" if base.is_dir() else f", which {no_folder(base)}"
            remedy = (
                f"the lists are of other videos, or data.root does not name the folder that holds {base.name}{place}"
            )
        raise DataError(
            f"{base}: {len(missing)} of {len(class_of)} listed videos are missing, first {first}.avi; {remedy}"
        )
    for stem, path in files.items():
        if stem in class_of and path.relative_to(base).parts[0] != class_of[stem]:
            raise DataError(f"{path}: the lists give it the class {class_of[stem]}; move it or mend the lists")
    if extra := sorted(set(files) - set(class_of)):
        raise DataError(
            f"{base}: {len(extra)} videos are in no list, first {files[extra[0]]}; remove them or mend the lists"
        )
