"""From a folder of videos to classes, manifest and splits; nothing is dropped without a word."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from moclip.errors import DataError, MoclipError
from moclip.files import sha256_file
from moclip.manifest import Video
from moclip.splits import (
    Listed,
    Member,
    check_disjoint,
    group_of,
    hold_out,
    read_class_index,
    read_list,
)
from moclip.video import probe

SPLITS = (1, 2, 3)
LISTS = "ucfTrainTestlist"
VIDEOS = "UCF-101"
SUFFIXES = frozenset([".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"])


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


def find_ucf101(base: Path, name: str, *, classes: Sequence[str] | None = None, present: bool = False) -> Dataset:
    """Read a folder in UCF101's layout: videos below `UCF-101`, class index and lists beside it.

    Args:
        base: Folder that holds `UCF-101` and `ucfTrainTestlist`.
        name: What the results are called; a part is called `<name> (part)`.
        classes: Take only these classes; None takes all of the index.
        present: Take the listed videos that are there, instead of refusing an incomplete folder.

    Raises:
        DataError: lists and folder disagree, with counts and the first name concerned.
    """
    index = read_class_index(base / LISTS / "classInd.txt")
    chosen = _chosen(index, classes)
    train, test = (_read_lists(base / LISTS, part, index, chosen) for part in ("train", "test"))
    listed = _by_id(video for split in SPLITS for video in [*train[split], *test[split]])
    files = _video_files(base / VIDEOS, chosen)
    _refuse_gaps(base / VIDEOS, listed, files, present)
    clips = {
        video.id: Clip(video.id, video.class_name, group_of(*_names(video)), files[video.id])
        for video in listed.values()
        if video.id in files
    }
    complete = len(clips) == len(listed) and len(chosen) == len(index)
    return Dataset(
        name if complete else f"{name} (part)",
        complete,
        chosen,
        clips,
        {split: _ids(train[split], clips) for split in SPLITS},
        {split: _ids(test[split], clips) for split in SPLITS},
    )


def find_folder(base: Path, *, classes: Sequence[str] | None, group_pattern: str, seed: int) -> Dataset:
    """Read one folder of videos per class; test parts are drawn from the seed and keep groups whole.

    A group is named by the first capture of `group_pattern` in the file's stem. Equal names are one
    group even across classes: that may be coarser than needed, but never lets a recording leak.

    Raises:
        DataError: fewer than two classes, a stem without group or used twice, or too few groups.
    """
    folders = [path.name for path in sorted(base.iterdir()) if path.is_dir()] if base.is_dir() else []
    if len(folders) < 2:
        raise DataError(f"{base}: needs one folder of videos per class, two at least; has {folders}")
    chosen = _chosen(folders, classes)
    files = _video_files(base, chosen)
    clips = {stem: Clip(stem, path.parent.name, _group_by(group_pattern, stem), path) for stem, path in files.items()}
    test = _draw_tests(clips, seed)
    train = {split: [stem for stem in clips if stem not in set(test[split])] for split in SPLITS}
    return Dataset(f"folder {base.name}", True, chosen, clips, train, test)


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


def measure(clips: Iterable[Clip], root: Path, *, jobs: int = -1) -> list[Video]:
    """Hash and probe every video, in parallel over files.

    Raises:
        DataError: lists every video that cannot be read, each with its reason.
    """
    tasks = sorted(clips, key=lambda clip: clip.id)
    results = Parallel(n_jobs=jobs, return_as="generator")(delayed(_measure)(clip, root) for clip in tasks)
    outcomes = list(tqdm(results, total=len(tasks), desc="measure", unit="video"))
    if bad := [outcome for outcome in outcomes if isinstance(outcome, str)]:
        raise DataError(f"{len(bad)} of {len(tasks)} videos cannot be used; replace or remove them:\n" + "\n".join(bad))
    return [outcome for outcome in outcomes if isinstance(outcome, Video)]


def _measure(clip: Clip, root: Path) -> Video | str:
    try:
        info = probe(clip.path)
    except MoclipError as error:
        return str(error)
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
            if path.suffix.lower() not in SUFFIXES:
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


def _names(video: Listed) -> tuple[str, str]:
    return video.id, video.class_name


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
