"""Image features of many videos, in chunks that survive an interruption.

Chunks lie in a working directory as `chunk-00000.npz`; a finished chunk is never encoded again.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from moclip.base.errors import DataError, MoclipError
from moclip.base.parallel import cores
from moclip.base.random import stream
from moclip.base.work import Finished, Work, alone_in, finish
from moclip.clip.encoder import Encoder, unit
from moclip.clip.neighbours import clip_features
from moclip.clip.top import Edges
from moclip.cluster.engine import Engine
from moclip.data.manifest import Video, checked_path
from moclip.store.features import read_features, write_features
from moclip.store.pictures import PictureStore
from moclip.video.bounded.worker import call
from moclip.video.crop import Box, cut_square
from moclip.video.decode import read_frames
from moclip.video.frames import evaluation_frames

CHUNK_VIDEOS = 128
BoxOf = Callable[[str, int], Box | None]
"""Where something moves in a frame of a video, by its id and the frame's number."""


def image_features(
    encoder: Encoder,
    videos: Sequence[Video],
    root: Path,
    work: Path,
    *,
    frame: str = "middle",
    seed: int = 0,
    batch_images: int,
    neighbours: Edges | None = None,
    peaks: Mapping[str, np.ndarray] | None = None,
    box_of: BoxOf | None = None,
    kept: PictureStore | None = None,
    cluster: Engine | None = None,
) -> tuple[list[str], np.ndarray]:
    """One feature per video: of one frame as CLIP gives it, or the mean of the unit features of several.

    Several frames count alike, whatever the length of their features; what compares or joins features scales each
    to unit length anyway.

    Args:
        encoder: The frozen CLIP.
        videos: Rows of the manifest; each file is checked against its row before it is opened.
        root: Directory that the rows' paths are relative to.
        work: Directory for finished chunks; it belongs to this encoder, these videos and this choice of frames alone.
        frame: Which frames, a rule of `moclip.video.frames.evaluation_frames`.
        seed: With the video's id, decides a random frame: the same in every run, whatever else is in the list.
        batch_images: Images per forward pass.
        neighbours: None, each frame is seen alone; else what stands in at both ends where frames see those beside them.
        peaks: Frames of each video, where its motion chooses them and no rule does; as many of each.
        box_of: What CLIP is to see of a frame is a square round this; without it the preprocessing takes the middle.
        kept: Has these frames of each video, so that none is decoded, or even there; a frame that it lacks is an error.
        cluster: Makes the chunks, by nodes that see the videos, the encoder's files and `work` at the same paths; where
            it is one share of several, that is all it does.

    Returns:
        Ids in the order of `videos`, and features (n, d) float32.

    Raises:
        DataError: lists every video of a chunk that is missing, changed or unreadable, or whose frames were not kept.
        SharedOutError: a share is done.
    """
    frames = peaks or {
        video.id: evaluation_frames(frame, video.frames, stream(seed, "frame", video.id)) for video in videos
    }
    size = max(1, CHUNK_VIDEOS // max(map(len, frames.values()), default=1))  # a chunk's frames are held at once
    starts = range(0, len(videos), size)
    parts = [part_of(number, videos[start : start + size], frames) for number, start in enumerate(starts)]
    encode = partial(_encode, encoder, root, batch_images, neighbours, box_of, kept)
    with held_by(cluster, work) as shelf:
        chunks = finish_by(cluster, encoder, parts, _chunk_name, encode, shelf, Work("CLIP", "image", size=images))
    found = [
        read_features(chunk).of([video.id for video in part.videos])
        for chunk, part in zip(chunks.files, parts, strict=True)
    ]
    return [video.id for video in videos], np.concatenate(found)


@dataclass(frozen=True)
class Part:
    """Some videos with the frames of each that CLIP is to see, by id: a task."""

    number: int
    videos: Sequence[Video]
    frames: Mapping[str, np.ndarray]


def part_of(number: int, videos: Sequence[Video], frames: Mapping[str, np.ndarray]) -> Part:
    """Some videos with their frames alone."""
    return Part(number, videos, {video.id: frames[video.id] for video in videos})


def images(part: Part) -> int:
    """How many frames CLIP is to see."""
    return sum(map(len, part.frames.values()))


def _chunk_name(part: Part) -> str:
    return f"chunk-{part.number:05d}.npz"


def _encode(
    encoder: Encoder,
    root: Path,
    batch_images: int,
    neighbours: Edges | None,
    box_of: BoxOf | None,
    kept: PictureStore | None,
    part: Part,
    chunk: Path,
) -> None:
    pictures = pictures_of(part.videos, part.frames, root, box_of, kept)
    values = _encoded(encoder, pictures, batch_images, neighbours)
    write_features(chunk, [video.id for video in part.videos], _averaged(values, len(pictures[0])))


def held_by(cluster: Engine | None, work: Path) -> AbstractContextManager[Path]:
    """The directory, kept for this process, or for those that work together."""
    doing = "encodes the same"
    return cluster.hold(work, doing) if cluster else alone_in(work, doing)


def finish_by(
    cluster: Engine | None,
    encoder: Encoder,
    parts: Sequence[Part],
    key: Callable[[Part], str],
    do: Callable[[Part, Path], None],
    shelf: Path,
    work: Work,
) -> Finished:
    """Make the file of each part that has none yet: here, or on nodes that compute as this encoder does."""
    if cluster is None:
        return finish(parts, key, do, shelf, work)
    on_gpu = encoder.compute.device.type == "cuda"
    return cluster.finish(parts, key, do, shelf, work, facts_of=encoder.host_facts, on_gpu=on_gpu)


def _encoded(
    encoder: Encoder, videos: Sequence[Sequence[np.ndarray]], batch_images: int, neighbours: Edges | None
) -> np.ndarray:
    """Features (n * frames, d) of the pictures of some videos; neighbours are never parted by a batch."""
    if neighbours is None:
        flat = [picture for video in videos for picture in video]
        batches = [flat[start : start + batch_images] for start in range(0, len(flat), batch_images)]
        return np.concatenate([encoder.images(batch) for batch in batches])
    size = max(1, batch_images // len(videos[0]))
    some = [videos[start : start + size] for start in range(0, len(videos), size)]
    return np.concatenate([clip_features(encoder, batch, neighbours) for batch in some]).reshape(
        -1, encoder.model.backbone.visual.output_dim
    )


def _averaged(values: np.ndarray, frames: int) -> np.ndarray:
    """Features (n * frames, d) to one a video, (n, d)."""
    return values if frames == 1 else unit(values).reshape(-1, frames, values.shape[1]).mean(axis=1)


def pictures_of(
    videos: Sequence[Video],
    frames: Mapping[str, np.ndarray],
    root: Path,
    box_of: BoxOf | None = None,
    kept: PictureStore | None = None,
) -> list[list[np.ndarray]]:
    """Frames (h, w, 3) of each video, or the square of each round its box; a file is decoded once, or not at all."""
    with ThreadPoolExecutor(cores()) as pool:
        outcomes = list(pool.map(lambda video: _frames(video, frames[video.id], root, box_of, kept), videos))
    if bad := [outcome for outcome in outcomes if isinstance(outcome, str)]:
        raise DataError(f"{len(bad)} videos cannot be used:\n" + "\n".join(bad))
    return [outcome for outcome in outcomes if not isinstance(outcome, str)]


def _frames(
    video: Video, indices: np.ndarray, root: Path, box_of: BoxOf | None, kept: PictureStore | None
) -> list[np.ndarray] | str:
    try:
        pictures = list(kept.of(video.id, indices) if kept else _decoded(video, indices, root))
    except MoclipError as error:
        return str(error)
    if box_of is None:
        return pictures
    return [cut_square(picture, box_of(video.id, at)) for picture, at in zip(pictures, indices.tolist(), strict=True)]


def _decoded(video: Video, indices: np.ndarray, root: Path) -> np.ndarray:
    path = checked_path(root, video)
    return call(path, read_frames, path, indices.tolist(), damaged=video.is_damaged)
