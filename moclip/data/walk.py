"""The videos below a folder, and what else lies there, each by its cause: nothing is left out without a word."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moclip.base.errors import DataError, shown
from moclip.base.files import VIDEO_SUFFIXES
from moclip.video.file.shard import is_tar, members, tar_of

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

    def take(self, path: Path, litter: Sequence[str]) -> None:
        """Take a file as a video, or leave it by its ending, or by a name of its way that is `litter`."""
        if any(map(is_litter, litter)):
            self.leave(HIDDEN, path)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            self.videos.append(path)
        else:
            self.leave(NO_VIDEO, path)

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
    """All videos below a folder, which may lie in a tar; links to folders are followed."""
    found = Found()
    if tar := tar_of(root):
        for name in members(tar):
            if (path := tar / name).is_relative_to(root):
                found.take(path, path.relative_to(root).parts)
    else:
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
        else:
            found.take(path, ())


def class_folders(base: Path) -> tuple[list[Path], Found]:
    """Folders directly below `base`, if that is there, and what lies beside them.

    Where there are none, those in tars directly below it; several may have one, so that its name comes again.

    Raises:
        DataError: a tar cannot be used, or is compressed.
    """
    there = sorted(base.iterdir()) if base.is_dir() else []
    folders, beside = [path for path in there if path.is_dir() and not is_litter(path.name)], Found()
    tars = [] if folders else [path for path in there if is_tar(path) and not is_litter(path.name)]
    for path in there:
        if is_litter(path.name):
            beside.leave(HIDDEN, path)
        elif path not in folders and path not in tars:
            beside.leave("beside the folders of classes, so of no class", path)
    for tar in tars:
        inner, rest = _folders_in(tar)
        folders += inner
        beside.add(rest)
    return sorted(folders, key=lambda folder: folder.name), beside


def _folders_in(tar: Path) -> tuple[list[Path], Found]:
    """Folders directly in a tar, and what lies beside them."""
    folders, beside = {}, Found()
    for name in members(tar):
        top, is_deeper, _ = name.partition("/")
        if is_litter(top):
            beside.leave(HIDDEN, tar / name)
        elif is_deeper:
            folders[top] = tar / top
        else:
            beside.leave("in a tar and there in no folder, so of no class", tar / name)
    return list(folders.values()), beside


def no_folder(base: Path) -> str:
    """What is wrong with a place where a folder is looked for."""
    if base.exists():
        return "is no folder"
    above = next(parent for parent in base.parents if parent.is_dir())
    return f"is not there (of its path, {above} is)"


def files_by_class(folders: Iterable[Path]) -> tuple[dict[str, list[Path]], Found]:
    """Videos of each class by its name, however deep they lie in its folders, and what else lies there.

    Their order is that of their ways in these folders, whether they lie in one or in those of several tars.

    Raises:
        DataError: a folder has no video.
    """
    ways: dict[str, list[tuple[tuple[str, ...], Path]]] = {}
    rest = Found()
    for folder in folders:
        found = walk_named(folder)
        if not found.videos:
            beside = "; ".join(found.lines())
            raise DataError(
                f"class {folder.name}: {folder} holds no video{f' ({beside})' if beside else ''}; fill it or remove it"
            )
        ways.setdefault(folder.name, []).extend((path.relative_to(folder).parts, path) for path in found.videos)
        rest.add(Found(left_out=found.left_out))
    return {name: [path for _, path in sorted(own)] for name, own in ways.items()}, rest


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
