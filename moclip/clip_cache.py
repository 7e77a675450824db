"""Image features of many videos, in chunks that survive an interruption.

Chunks lie in a working directory as `chunk-00000.npz`; a finished chunk is never encoded again.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock

from moclip.clip import Encoder
from moclip.errors import DataError, MoclipError
from moclip.features import read_features, write_features
from moclip.manifest import Video, checked_path
from moclip.progress import Progress
from moclip.sampling import middle_frame
from moclip.video import read_frames

CHUNK_VIDEOS = 128


def image_features(
    encoder: Encoder, videos: Sequence[Video], root: Path, work: Path, *, batch_images: int
) -> tuple[list[str], np.ndarray]:
    """Features of the middle frame of every video.

    Args:
        encoder: The frozen CLIP.
        videos: Rows of the manifest; each file is checked against its row before it is opened.
        root: Directory that the rows' paths are relative to.
        work: Directory for finished chunks; it belongs to this encoder and these videos alone.
        batch_images: Images per forward pass.

    Returns:
        Ids in the order of `videos`, and features (n, d) float32.

    Raises:
        DataError: lists every video of a chunk that is missing, changed or unreadable.
    """
    parts = [videos[start : start + CHUNK_VIDEOS] for start in range(0, len(videos), CHUNK_VIDEOS)]
    work.mkdir(parents=True, exist_ok=True)
    chunks = [work / f"chunk-{number:05d}.npz" for number in range(len(parts))]
    # Two experiments that need the same features take turns; the second finds them done.
    with FileLock(work / "lock"):
        waiting = [(part, chunk) for part, chunk in zip(parts, chunks, strict=True) if not chunk.exists()]
        before = len(videos) - sum(len(part) for part, _ in waiting)
        with Progress(total=len(videos), initial=before, desc="CLIP", unit="video") as bar:
            for part, chunk in waiting:
                values = _encode(encoder, _middle_frames(part, root), batch_images, bar)
                write_features(chunk, [video.id for video in part], values)
    done = [read_features(chunk) for chunk in chunks]
    return [video.id for video in videos], np.concatenate(
        [chunk.of([video.id for video in part]) for chunk, part in zip(done, parts, strict=True)]
    )


def _encode(encoder: Encoder, frames: Sequence[np.ndarray], size: int, bar: Progress) -> np.ndarray:
    found = []
    for start in range(0, len(frames), size):
        found.append(encoder.images(frames[start : start + size]))
        bar.update(len(found[-1]))
    return np.concatenate(found)


def _middle_frames(videos: Sequence[Video], root: Path) -> list[np.ndarray]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda video: _middle_frame(video, root), videos))
    if bad := [outcome for outcome in outcomes if isinstance(outcome, str)]:
        raise DataError(f"{len(bad)} videos cannot be used:\n" + "\n".join(bad))
    return [outcome for outcome in outcomes if isinstance(outcome, np.ndarray)]


def _middle_frame(video: Video, root: Path) -> np.ndarray | str:
    try:
        frame: np.ndarray = read_frames(checked_path(root, video), [middle_frame(video.frames)])[0]
    except MoclipError as error:
        return str(error)
    return frame
