"""What each video is, measured from its file: the rows of the manifest."""

from collections.abc import Iterable
from functools import partial
from operator import attrgetter
from pathlib import Path

from moclip.base.errors import DataError
from moclip.base.work import Work, gather
from moclip.data.dataset import Clip
from moclip.data.manifest import Video
from moclip.video.bounded.worker import CRASHED, Held
from moclip.video.decode import probe
from moclip.video.file.shard import find


def measure(clips: Iterable[Clip], root: Path, *, damaged: bool = False, jobs: int | None = None) -> list[Video]:
    """Hash and probe every video, in parallel over files; `jobs` None takes every core.

    With `damaged`, of a video that is damaged or cut off what decodes before that is taken.

    Raises:
        DataError: lists every video that cannot be read, each with its reason.
    """
    tasks = sorted(clips, key=lambda clip: clip.id)
    rule = f"of {len(tasks)} videos cannot be used; replace or remove them"
    work = Work(
        "measure",
        "video",
        refuse=lambda bad: DataError(f"{len(bad)} {rule}:\n" + "\n".join(bad)),
        crashed=lambda clip: f"{clip.path}: {CRASHED}",
    )
    return gather(tasks, Held(partial(_measure, root=root, damaged=damaged), attrgetter("path")), work, jobs=jobs)


def _measure(clip: Clip, root: Path, damaged: bool) -> Video:
    info, place = probe(clip.path, damaged=damaged), find(clip.path)
    assert place is not None, "it was read"
    return Video(
        id=clip.id,
        class_name=clip.class_name,
        group=clip.group,
        path=clip.path.relative_to(root).as_posix(),
        bytes=place.size,
        sha256=place.sha256(),
        codec=info.codec,
        fps=round(info.fps, 6),
        width=info.width,
        height=info.height,
        frames=info.frames,
        damage=info.damage,
        note=info.note,
    )
