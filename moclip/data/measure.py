"""What each video is, measured from its file: the rows of the manifest."""

from collections.abc import Iterable
from pathlib import Path

from joblib import Parallel, delayed

from moclip.base.errors import DataError, MoclipError
from moclip.base.files import sha256_file
from moclip.base.progress import Progress
from moclip.data.dataset import Clip
from moclip.data.manifest import Video
from moclip.video.decode import probe


def measure(clips: Iterable[Clip], root: Path, *, jobs: int = -1) -> list[Video]:
    """Hash and probe every video, in parallel over files.

    Raises:
        DataError: lists every video that cannot be read, each with its reason.
    """
    tasks = sorted(clips, key=lambda clip: clip.id)
    results = Parallel(n_jobs=jobs, return_as="generator")(delayed(_measure)(clip, root) for clip in tasks)
    outcomes = list(Progress(results, total=len(tasks), desc="measure", unit="video"))
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
