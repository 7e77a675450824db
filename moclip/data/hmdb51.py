"""HMDB51: a list of flags for each class and split, and scenes in place of groups."""

import re
from collections.abc import Sequence
from pathlib import Path

from moclip.base.errors import DataError
from moclip.data.dataset import (
    PART,
    SPLITS,
    Clip,
    Dataset,
    chosen_classes,
    refuse_gaps,
    spread,
    united,
    video_files,
)
from moclip.data.lists import read_flags
from moclip.data.walk import no_folder

HMDB51_LISTS = "testTrainMulti_7030_splits"
HMDB51_VIDEOS = "hmdb51_org"


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
        place = "" if folder.is_dir() else f" {no_folder(folder)}; data.root must name the folder that holds it, and it"
        raise DataError(f"{folder}:{place} needs <class>_test_split<k>.txt for two classes at least, k from 1 to 3")
    if gaps := [f"{name}_test_split{k}.txt" for name in index for k in SPLITS if (name, k) not in found]:
        raise DataError(f"{folder}: {len(gaps)} lists are missing, first {gaps[0]}")
    chosen = chosen_classes(index, classes)
    flags = {split: {name: read_flags(found[name, split]) for name in chosen} for split in SPLITS}
    class_of = united(dict.fromkeys(flags[split][name], name) for split in SPLITS for name in chosen)
    kept = spread(class_of, clips_per_class or len(class_of))
    files = video_files(base / HMDB51_VIDEOS, chosen, index)
    files = {stem: path for stem, path in files.items() if stem in kept or stem not in class_of}
    refuse_gaps(base / HMDB51_VIDEOS, {stem: class_of[stem] for stem in sorted(kept)}, files, present)
    clips = {stem: Clip(stem, class_of[stem], scene_of(stem), files[stem]) for stem in sorted(kept) if stem in files}
    complete = len(clips) == len(class_of) and len(chosen) == len(index)
    train, test = (
        {
            split: [stem for stem, name in class_of.items() if stem in clips and flags[split][name].get(stem) == flag]
            for split in SPLITS
        }
        for flag in (1, 2)
    )
    return Dataset("hmdb51" if complete else f"hmdb51{PART}", complete, chosen, clips, train, test)


def scene_of(video_id: str) -> str:
    """The stem of an HMDB51 clip without its last number, which counts the clips of one scene.

    Raises:
        DataError: the id does not end in a number.
    """
    match = re.fullmatch(r"(.+)_\d+", video_id)
    if not match:
        raise DataError(f"{video_id}: not of the form <scene>_<number>, so it has no group")
    return match[1]
