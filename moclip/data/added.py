"""What lies beside the videos of a manifest and is not in it: nothing else looks at the disk once it is written."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from moclip.data.hmdb51 import HMDB51_LISTS
from moclip.data.ucf101 import LISTS
from moclip.data.walk import walk
from moclip.video.file.shard import is_tar, tar_of

REMEDY = "dvc repro -f download"
"""What takes them in: DVC knows the manifest, not the folder."""

# Parameters of `data` by which videos are left out, and what leaves none out.
_NARROWING = {"clips_per_class": None, "short_videos": "keep"}


def added_videos(root: Path, listed: Iterable[tuple[str, str]], data: Mapping[str, Any]) -> list[str]:
    """Paths relative to `root` of videos that no row names, sorted; none where parameters leave videos out.

    Args:
        root: Folder that the rows' paths are relative to.
        listed: Path and class of each row.
        data: The section `data` of the parameters, as far as it is known.
    """
    rows = list(listed)
    if any(data.get(name, none) != none for name, none in _NARROWING.items()):
        return []
    known, classes = {path for path, _ in rows}, {name for _, name in rows}
    new = set()
    for folder in _bases(root, {_base(path, name) for path, name in rows}):
        closed = data.get("classes") is not None or _has_lists(folder)
        for path in walk(folder).videos if folder.is_dir() or tar_of(folder) else ():
            way = path.relative_to(folder).parts
            if len(way) > 1 and (not closed or way[0] in classes):
                new.add(path.relative_to(root).as_posix())
    return sorted(new - known)


def _bases(root: Path, known: Iterable[PurePosixPath]) -> list[Path]:
    """Folders and tars in which videos are looked for: new tars may lie beside those that are known."""
    folders = {root / base for base in known}
    beside = {place for folder in folders if tar_of(folder) for place in folder.parent.iterdir()}
    return sorted(folders | set(filter(is_tar, beside)))


def _base(path: str, class_name: str) -> PurePosixPath:
    """The folder of the folders of classes."""
    parents = PurePosixPath(path).parent
    for folder in (parents, *parents.parents):
        if folder.name == class_name:
            return folder.parent
    return parents.parent


def _has_lists(folder: Path) -> bool:
    """Whether lists say which classes there are."""
    return any((place / name).is_dir() for place in (folder, folder.parent) for name in (LISTS, HMDB51_LISTS))
