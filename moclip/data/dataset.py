"""From a folder of videos to classes, manifest and splits; nothing is dropped without a word."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sklearn.model_selection import StratifiedGroupKFold

from moclip.base.errors import DataError
from moclip.base.files import VIDEO_SUFFIXES, fingerprint, sha256_file
from moclip.base.work import Work, gather
from moclip.data.manifest import Video
from moclip.data.splits import (
    Listed,
    Member,
    check_disjoint,
    group_of,
    hold_out,
    read_class_index,
    read_flags,
    read_list,
    scene_of,
)
from moclip.report.papers import UCF101_CLASSES, UCF101_COUNTS
from moclip.video.decode import probe

SPLITS = (1, 2, 3)
LISTS = "ucfTrainTestlist"
LIST_FILES = ("classInd.txt", *(f"{part}list{split:02d}.txt" for part in ("train", "test") for split in SPLITS))
VIDEOS = "UCF-101"
HMDB51_LISTS = "testTrainMulti_7030_splits"
HMDB51_VIDEOS = "hmdb51_org"
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
    """Videos with classes in index order, and three splits without a validation part."""

    name: str
    complete: bool
    classes: list[str]
    clips: dict[str, Clip]
    train: dict[int, list[str]]
    test: dict[int, list[str]]


def listed_videos(
    base: Path, *, classes: Sequence[str] | None = None, clips_per_class: int | None = None
) -> dict[str, Listed]:
    """Videos that the lists in `base` name, by id; of each class as many as `spread` draws, if a number is given."""
    return _by_id(_Lists(base, classes, clips_per_class).every())


class _Lists:
    """Class index and lists in UCF101's form, cut down to the chosen classes and to so many clips of each."""

    def __init__(self, base: Path, classes: Sequence[str] | None, clips_per_class: int | None) -> None:
        folder = base / LISTS
        self.index = read_class_index(folder / "classInd.txt")
        self.chosen = _chosen(self.index, classes)
        self.train, self.test = (_read_lists(folder, part, self.index, self.chosen) for part in ("train", "test"))
        self.whole = len(self.chosen) == len(self.index) and clips_per_class is None
        self.left_out: set[str] = set()
        if clips_per_class is not None:
            every = {video.id: video.class_name for video in self.every()}
            kept = spread(every, clips_per_class)
            self.left_out = every.keys() - kept
            for lists in (self.train, self.test):
                for split in SPLITS:
                    lists[split] = [video for video in lists[split] if video.id in kept]

    def every(self) -> list[Listed]:
        return [video for split in SPLITS for video in [*self.train[split], *self.test[split]]]


def spread(class_of: Mapping[str, str], clips_per_class: int) -> set[str]:
    """So many ids of each class, drawn by a hash of the name: the same for all, and over all groups."""
    by_class: dict[str, list[str]] = {}
    for stem, name in class_of.items():
        by_class.setdefault(name, []).append(stem)
    order = {stem: fingerprint(stem) for stem in class_of}
    return {stem for stems in by_class.values() for stem in sorted(stems, key=order.__getitem__)[:clips_per_class]}


def find_ucf101(
    base: Path,
    name: str,
    *,
    classes: Sequence[str] | None = None,
    clips_per_class: int | None = None,
    present: bool = False,
) -> Dataset:
    """Read a folder in UCF101's layout: videos below `UCF-101`, class index and lists beside it.

    Args:
        base: Folder that holds `UCF-101` and `ucfTrainTestlist`.
        name: What the results are called; a part is called `<name> (part)`.
        classes: Take only these classes; None takes all of the index.
        clips_per_class: Take so many clips of each class, as `spread` draws them; None takes all.
        present: Take the listed videos that are there, instead of refusing an incomplete folder.

    Raises:
        DataError: lists and folder disagree, with counts and the first name concerned.
    """
    lists = _Lists(base, classes, clips_per_class)
    return _of_lists(base / VIDEOS, name, lists, lambda video: group_of(video.id, video.class_name), present)


def _of_lists(base: Path, name: str, lists: _Lists, group: Callable[[Listed], str], present: bool) -> Dataset:
    listed = _by_id(lists.every())
    files = {stem: path for stem, path in _video_files(base, lists.chosen).items() if stem not in lists.left_out}
    _refuse_gaps(base, listed, files, present)
    clips = {
        video.id: Clip(video.id, video.class_name, group(video), files[video.id])
        for video in listed.values()
        if video.id in files
    }
    complete = len(clips) == len(listed) and lists.whole
    return Dataset(
        name if complete else f"{name}{PART}",
        complete,
        lists.chosen,
        clips,
        {split: _ids(lists.train[split], clips) for split in SPLITS},
        {split: _ids(lists.test[split], clips) for split in SPLITS},
    )


def check_official(dataset: Dataset) -> None:
    """Hold what passes for the whole of UCF101 against the published numbers of its lists.

    Raises:
        DataError: classes, or a split's videos, are other in number.
    """
    if not dataset.complete:
        return
    if len(dataset.classes) != UCF101_CLASSES:
        raise DataError(
            f"data.source ucf101: the class index has {len(dataset.classes)} classes, UCF101 has {UCF101_CLASSES}"
        )
    for split, counts in UCF101_COUNTS.items():
        found = len(dataset.train[split]), len(dataset.test[split])
        if found != counts:
            raise DataError(
                f"data.source ucf101: split {split} lists {found[0]} training and {found[1]} test videos, the official "
                f"lists {counts[0]} and {counts[1]}; bring the official lists back"
            )


def find_hmdb51(
    base: Path, *, classes: Sequence[str] | None = None, clips_per_class: int | None = None, present: bool = False
) -> Dataset:
    """Read a folder in HMDB51's layout: `hmdb51_org/<class>/*.avi`, lists in `testTrainMulti_7030_splits`.

    A list `<class>_test_split<k>.txt` flags each video of its class: 1 trains, 2 tests, 0 is unused in that split.
    There is no class index: classes are in alphabetical order. HMDB51 names no groups either; the stem without its
    last `_<number>` is taken for one, since that number counts the clips of a scene. Clips of one film in other scenes
    are not kept together by it.

    Raises:
        DataError: lists and folder disagree, with counts and the first name concerned.
    """
    folder = base / HMDB51_LISTS
    pattern = re.compile(r"(.+)_test_split([123])\.txt")
    found = {(m[1], int(m[2])): path for path in folder.glob("*.txt") if (m := pattern.fullmatch(path.name))}
    index = sorted({name for name, _ in found})
    if len(index) < 2:
        raise DataError(f"{folder}: needs <class>_test_split<k>.txt for two classes at least, k from 1 to 3")
    if gaps := [f"{name}_test_split{k}.txt" for name in index for k in SPLITS if (name, k) not in found]:
        raise DataError(f"{folder}: {len(gaps)} lists are missing, first {gaps[0]}")
    chosen = _chosen(index, classes)
    flags = {split: {name: read_flags(found[name, split]) for name in chosen} for split in SPLITS}
    listed = _by_id(Listed(stem, name) for split in SPLITS for name in chosen for stem in flags[split][name])
    kept = spread({stem: video.class_name for stem, video in listed.items()}, clips_per_class or len(listed))
    files = _video_files(base / HMDB51_VIDEOS, chosen)
    files = {stem: path for stem, path in files.items() if stem in kept or stem not in listed}
    _refuse_gaps(base / HMDB51_VIDEOS, {stem: listed[stem] for stem in sorted(kept)}, files, present)
    clips = {
        stem: Clip(stem, listed[stem].class_name, scene_of(stem), files[stem]) for stem in sorted(kept) if stem in files
    }
    complete = len(clips) == len(listed) and len(chosen) == len(index)
    parts = {
        flag: {
            split: [
                stem
                for stem, video in listed.items()
                if stem in clips and flags[split][video.class_name].get(stem) == flag
            ]
            for split in SPLITS
        }
        for flag in (1, 2)
    }
    return Dataset("hmdb51" if complete else f"hmdb51{PART}", complete, chosen, clips, parts[1], parts[2])


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
        lists = _Lists(base, classes, clips_per_class)
        return _of_lists(base, name, lists, lambda video: _group_by(group_pattern, video.id), present)
    folders = [path.name for path in sorted(base.iterdir()) if path.is_dir()] if base.is_dir() else []
    if len(folders) < 2:
        raise DataError(f"{base}: needs one folder of videos per class, two at least; has {folders}")
    chosen = _chosen(folders, classes)
    files = _video_files(base, chosen)
    if clips_per_class is not None:
        kept = spread({stem: path.parent.name for stem, path in files.items()}, clips_per_class)
        files = {stem: path for stem, path in files.items() if stem in kept}
    clips = {stem: Clip(stem, path.parent.name, _group_by(group_pattern, stem), path) for stem, path in files.items()}
    test = _draw_tests(clips, seed)
    train = {split: [stem for stem in clips if stem not in set(test[split])] for split in SPLITS}
    return Dataset(name, True, chosen, clips, train, test)


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
    kept = replace(
        dataset,
        name=dataset.name if dataset.name.endswith(PART) else f"{dataset.name}{PART}",
        complete=False,
        clips={stem: clip for stem, clip in dataset.clips.items() if stem not in short},
        train={split: [stem for stem in stems if stem not in short] for split, stems in dataset.train.items()},
        test={split: [stem for stem in stems if stem not in short] for split, stems in dataset.test.items()},
    )
    return kept, sorted(short)


def assign_parts(dataset: Dataset, val_groups: int, seed: int) -> dict[int, list[Member]]:
    """The three splits with train, val and test parts; validation holds whole groups of the train list.

    Raises:
        DataError: a group stands in two parts, or a complete data set has a class without training
            videos.
    """
    label = {name: index for index, name in enumerate(dataset.classes)}
    labels = {clip.id: label[clip.class_name] for clip in dataset.clips.values()}
    groups = {clip.id: clip.group for clip in dataset.clips.values()}
    splits = {}
    for split in SPLITS:
        train = {stem: (labels[stem], groups[stem]) for stem in dataset.train[split]}
        held = hold_out(train, val_groups, (seed, split))
        if both := sorted(train.keys() & set(dataset.test[split])):
            raise DataError(f"split {split}: {both[0]} is listed both for training and for testing")
        parts = dict.fromkeys(train, "train") | dict.fromkeys(held, "val")
        parts |= dict.fromkeys(dataset.test[split], "test")
        members = [Member(stem, labels[stem], part) for stem, part in sorted(parts.items())]
        check_disjoint(f"split {split}", members, groups)
        _check_coverage(dataset, split, members)
        splits[split] = members
    return splits


def measure(clips: Iterable[Clip], root: Path, *, jobs: int | None = None) -> list[Video]:
    """Hash and probe every video, in parallel over files; `jobs` None takes every core.

    Raises:
        DataError: lists every video that cannot be read, each with its reason.
    """
    tasks = sorted(clips, key=lambda clip: clip.id)
    rule = f"of {len(tasks)} videos cannot be used; replace or remove them"
    work = Work(
        "measure",
        "video",
        refuse=lambda bad: DataError(f"{len(bad)} {rule}:\n" + "\n".join(bad)),
        crashed=lambda clip: f"{clip.path}: its decoder crashes",
    )
    return gather(tasks, partial(_measure, root=root), work, jobs=jobs)


def _measure(clip: Clip, root: Path) -> Video:
    info = probe(clip.path)
    return Video(
        id=clip.id,
        class_name=clip.class_name,
        group=clip.group,
        path=clip.path.relative_to(root).as_posix(),
        bytes=clip.path.stat().st_size,
        sha256=sha256_file(clip.path),
        codec=info.codec,
        fps=round(info.fps, 6),
        width=info.width,
        height=info.height,
        frames=info.frames,
    )


def _chosen(index: Sequence[str], classes: Sequence[str] | None) -> list[str]:
    if classes is None:
        return list(index)
    if unknown := [name for name in classes if name not in index]:
        raise DataError(f"data.classes: {unknown[0]} is not among the {len(index)} classes")
    return [name for name in index if name in classes]


def _read_lists(folder: Path, part: str, index: Sequence[str], chosen: Sequence[str]) -> dict[int, list[Listed]]:
    return {
        split: [
            video for video in read_list(folder / f"{part}list{split:02d}.txt", index) if video.class_name in chosen
        ]
        for split in SPLITS
    }


def _video_files(base: Path, classes: Iterable[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name in classes:
        for path in sorted((base / name).glob("*")):
            if path.suffix.lower() not in VIDEO_SUFFIXES:
                continue
            if path.stem in files:
                raise DataError(f"{path} and {files[path.stem]} have the same stem; rename one")
            files[path.stem] = path
    return files


def _by_id(listed: Iterable[Listed]) -> dict[str, Listed]:
    videos: dict[str, Listed] = {}
    for video in listed:
        other = videos.setdefault(video.id, video)
        if other != video:
            raise DataError(f"{video.id} is of class {other.class_name} in one list, of {video.class_name} in another")
    return videos


def _refuse_gaps(base: Path, listed: Mapping[str, Listed], files: Mapping[str, Path], present: bool) -> None:
    missing = [video for stem, video in listed.items() if stem not in files]
    if missing and (not present or len(missing) == len(listed)):
        first = min(f"{video.class_name}/{video.id}" for video in missing)
        raise DataError(
            f"{base}: {len(missing)} of {len(listed)} listed videos are missing, first {first}.avi; "
            "complete the folder, or set data.subset: present to run on the part that is there"
        )
    for stem, path in files.items():
        if stem in listed and path.parent.name != listed[stem].class_name:
            raise DataError(f"{path}: the lists give it the class {listed[stem].class_name}; move it or mend the lists")
    if extra := sorted(set(files) - set(listed)):
        raise DataError(
            f"{base}: {len(extra)} videos are in no list, first {files[extra[0]]}; remove them or mend the lists"
        )


def _ids(listed: Iterable[Listed], clips: Mapping[str, Clip]) -> list[str]:
    return [video.id for video in listed if video.id in clips]


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


def _check_coverage(dataset: Dataset, split: int, members: Sequence[Member]) -> None:
    if not dataset.complete:
        return
    trained = Counter(member.label for member in members if member.part == "train")
    for label, name in enumerate(dataset.classes):
        if not trained[label]:
            raise DataError(
                f"split {split}: class {name} has no training video left; lower data.val_groups or bring more groups"
            )
