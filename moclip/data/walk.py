"""The videos below a folder, and what else lies there, each by its cause: nothing is left out without a word."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moclip.base.errors import DataError, shown
from moclip.base.files import VIDEO_SUFFIXES

log = logging.getLogger(__name__)

HIDDEN = "hidden, as litter of other programs is"
NO_VIDEO = f"no video by its ending (videos end in {' '.join(sorted(VIDEO_SUFFIXES))})"
LOOP = "a link to a folder that it lies in"
_ARCHIVER = "__MACOSX"  # what macOS packs beside the files of an archive


@dataclass
class Found:
    """What was found: videos in the order of their names, and the rest by its cause."""

    videos: list[Path] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)

    def leave(self, cause: str, path: Path) -> None:
        """Note that a path is left out."""
        self.left_out.setdefault(cause, []).append(path)

    def add(self, other: "Found") -> None:
        """Take in what was found elsewhere."""
        self.videos += other.videos
        for cause, paths in other.left_out.items():
            for path in paths:
                self.leave(cause, path)

    def lines(self) -> list[str]:
        """A line for each cause, with count and first name."""
        return [f"{counted(paths)} left out: {cause}" for cause, paths in sorted(self.left_out.items())]

    def tell(self) -> None:
        """Say what is left out."""
        for line in self.lines():
            log.warning("%s", line)


def counted(paths: list[Path]) -> str:
    """How many there are, and the first."""
    return f"{len(paths)} file{'s' if len(paths) > 1 else ''}, first {shown(min(paths))},"


def is_litter(name: str) -> bool:
    """Whether other programs leave things of this name beside videos."""
    return name.startswith(".") or name == _ARCHIVER


def walk(root: Path) -> Found:
    """All videos below a folder; links to folders are followed."""
    found = Found()
    _walk(root, found, (_identity(root),))
    return found


def walk_named(root: Path) -> Found:
    """The same for what a table is made of.

    Raises:
        DataError: names are not UTF-8, which tables could not hold.
    """
    found = walk(root)
    if odd := [path for path in found.videos if not _is_utf8(path)]:
        raise DataError(f"{root}: {len(odd)} names are not UTF-8, first {shown(odd[0])}; rename them")
    return found


def _walk(folder: Path, found: Found, above: tuple[tuple[int, int], ...]) -> None:
    for path in sorted(folder.iterdir()):
        if is_litter(path.name):
            found.leave(HIDDEN, path)
        elif path.is_dir():
            if (own := _identity(path)) in above:
                found.leave(LOOP, path)
            else:
                _walk(path, found, (*above, own))
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            found.videos.append(path)
        else:
            found.leave(NO_VIDEO, path)


def class_folders(base: Path) -> tuple[list[Path], Found]:
    """Folders directly below `base`, if that is there, and what lies beside them."""
    folders, beside = [], Found()
    for path in sorted(base.iterdir()) if base.is_dir() else ():
        if is_litter(path.name):
            beside.leave(HIDDEN, path)
        elif path.is_dir():
            folders.append(path)
        else:
            beside.leave("beside the folders of classes, so of no class", path)
    return folders, beside


def no_folder(base: Path) -> str:
    """What is wrong with a place where a folder is looked for."""
    if base.exists():
        return "is no folder"
    above = next(parent for parent in base.parents if parent.is_dir())
    return f"is not there (of its path, {above} is)"


def files_by_class(folders: Mapping[str, Path]) -> tuple[dict[str, list[Path]], Found]:
    """Videos of each class by its name, however deep they lie in its folder, and what else lies there.

    Raises:
        DataError: a folder has no video.
    """
    files, rest = {}, Found()
    for name, folder in folders.items():
        found = walk_named(folder)
        if not found.videos:
            beside = "; ".join(found.lines())
            raise DataError(
                f"class {name}: {folder} holds no video{f' ({beside})' if beside else ''}; fill it or remove it"
            )
        files[name] = found.videos
        rest.add(Found(left_out=found.left_out))
    return files, rest


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
