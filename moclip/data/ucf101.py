"""UCF101: its lists, the groups in its names, and the published numbers that tell the whole of it from a part."""

import re
from collections.abc import Callable, Mapping, Sequence
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
from moclip.data.lists import read_class_index, read_list
from moclip.data.walk import no_folder

LISTS = "ucfTrainTestlist"
LIST_FILES = ("classInd.txt", *(f"{part}list{split:02d}.txt" for part in ("train", "test") for split in SPLITS))
VIDEOS = "UCF-101"
# Train and test videos of each official split; with other numbers, a result is a part's.
UCF101_COUNTS: Mapping[int, tuple[int, int]] = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}
UCF101_TEST_VIDEOS: Mapping[int, int] = {split: test for split, (_, test) in UCF101_COUNTS.items()}
UCF101_CLASSES = 101
_GROUP = re.compile(r"^v_.+_(g\d+)_c\d+$")


class Lists:
    """Class index and lists in UCF101's form, cut down to the chosen classes and to so many clips of each."""

    def __init__(self, base: Path, classes: Sequence[str] | None, clips_per_class: int | None) -> None:
        folder = base / LISTS
        if not folder.is_dir():
            raise DataError(
                f"{folder / 'classInd.txt'}: cannot be read as a list: {LISTS} {no_folder(folder)}; data.root must "
                f"name the folder that holds {VIDEOS} and {LISTS}"
            )
        self.index = read_class_index(folder / "classInd.txt")
        self.chosen = chosen_classes(self.index, classes)
        self.whole = len(self.chosen) == len(self.index) and clips_per_class is None
        self.train, self.test = (self._read(folder, part) for part in ("train", "test"))
        every = self.class_of()
        kept = every if clips_per_class is None else spread(every, clips_per_class)
        self.left_out = every.keys() - kept
        for lists in (self.train, self.test):
            for split in SPLITS:
                lists[split] = {stem: name for stem, name in lists[split].items() if stem in kept}

    def _read(self, folder: Path, part: str) -> dict[int, dict[str, str]]:
        return {
            split: {
                stem: name
                for stem, name in read_list(folder / f"{part}list{split:02d}.txt", self.index).items()
                if name in self.chosen
            }
            for split in SPLITS
        }

    def class_of(self) -> dict[str, str]:
        """Class of every listed video by its id."""
        return united(lists[split] for split in SPLITS for lists in (self.train, self.test))


def listed_videos(
    base: Path, *, classes: Sequence[str] | None = None, clips_per_class: int | None = None
) -> dict[str, str]:
    """Class by id of the videos that the lists in `base` name; of each class at most so many, as `spread` draws."""
    return Lists(base, classes, clips_per_class).class_of()


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
    return by_lists(base / VIDEOS, name, Lists(base, classes, clips_per_class), group_of, present)


def by_lists(base: Path, name: str, lists: Lists, group: Callable[[str, str], str], present: bool) -> Dataset:
    """Read videos below `base` that lists in UCF101's form name; `group` gives one's group from its id and class.

    Raises:
        DataError: as `find_ucf101`.
    """
    class_of = lists.class_of()
    files = {
        stem: path for stem, path in video_files(base, lists.chosen, lists.index).items() if stem not in lists.left_out
    }
    refuse_gaps(base, class_of, files, present)
    clips = {stem: Clip(stem, of, group(stem, of), files[stem]) for stem, of in class_of.items() if stem in files}
    complete = len(clips) == len(class_of) and lists.whole
    return Dataset(
        name if complete else f"{name}{PART}",
        complete,
        lists.chosen,
        clips,
        *(
            {split: [stem for stem in part[split] if stem in clips] for split in SPLITS}
            for part in (lists.train, lists.test)
        ),
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


def group_of(video_id: str, class_name: str) -> str:
    """The recording that a UCF101 clip was cut from, unique over classes: `YoYo_g01`.

    Raises:
        DataError: the id is not of UCF101's form `v_<Class>_g<group>_c<clip>`.
    """
    match = _GROUP.match(video_id)
    if not match:
        raise DataError(f"{video_id}: not of the form v_<Class>_g<group>_c<clip>, so it has no group")
    return f"{class_name}_{match[1]}"
