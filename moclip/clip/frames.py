"""What CLIP sees of a video's frames, each apart, in a store of blocks that survives an interruption."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from moclip.base.work import Work
from moclip.clip.cache import Part, finish_by, held_by, images, part_of, pictures_of
from moclip.clip.encoder import Encoder
from moclip.clip.tokens import pooled, residual, spatial_tokens
from moclip.cluster.engine import Engine
from moclip.data.manifest import Video
from moclip.params.frames import FramesParams
from moclip.store.blocks import block_name, join, parts, write_block
from moclip.video.frames import segment_points
from moclip.video.rate import constant_rate

Array = Literal["global", "grid", "residual"]
POINTS = "points"
FRAMES_HELD = 512  # decoded frames that are in memory at once
GIB, MINUTE_S = 1 << 30, 60.0

Encode = Callable[[Sequence[np.ndarray], "_Forecast"], np.ndarray]

log = logging.getLogger(__name__)


def made_by(array: Array, params: FramesParams) -> dict[str, Any]:
    """The parameters that an array hangs on: what a reader holds against its own."""
    own = {"global": (), "grid": ("grid", "path"), "residual": ("cut",)}[array]
    return {"array": array, "rule": params.rule, **{name: getattr(params, name) for name in own}}


def made_at(every_s: float) -> dict[str, Any]:
    """As `made_by`, of the features of frames at a constant rate."""
    return {"array": "global", "rule": f"every:{every_s:g}"}


def cache_frames(
    encoder: Encoder,
    videos: Sequence[Video],
    root: Path,
    work: Path,
    out: Path,
    array: Array,
    params: FramesParams,
    *,
    batch_images: int,
    provenance: Mapping[str, Any],
    cluster: Engine | None = None,
) -> None:
    """Write the store of one array: `points` int32 (t,) and the array float16 (t, ...) of each video.

    Args:
        encoder: The frozen CLIP.
        videos: Rows of the manifest; each file is checked against its row before it is opened.
        root: Directory that the rows' paths are relative to.
        work: Directory for finished blocks; it belongs to this encoder, these videos and these parameters alone.
        out: The store.
        array: `global`, what `Encoder.images` gives of each frame; `grid`, its tokens; `residual`, its stream.
        params: Which frames, and what of them.
        batch_images: Images per forward pass.
        provenance: JSON-able facts for the store, beside the parameters.
        cluster: As of `moclip.clip.cache.image_features`.

    Raises:
        DataError: lists every video of a block that is missing, changed or unreadable.
        ParamsError: the encoder has no such array.
    """
    points = {video.id: segment_points(video.frames, params.count) for video in videos}
    encode = partial(_encoded, partial(frame_values, encoder, array, params), batch_images)
    facts = {**provenance, **made_by(array, params)}
    _cache(encode, encoder, array, videos, points, root, work, out, facts, cluster)


def cache_at_rate(
    encoder: Encoder,
    videos: Sequence[Video],
    root: Path,
    work: Path,
    out: Path,
    every_s: float,
    *,
    batch_images: int,
    provenance: Mapping[str, Any],
    cluster: Engine | None = None,
) -> None:
    """Write the store of what `Encoder.images` gives at a constant rate, `moclip.video.rate.constant_rate`.

    It has the arrays `points` and `global`, as that of `cache_frames`, whose arguments and errors it has too; a video
    has as many rows as it has steps of `every_s` seconds."""
    points = {video.id: constant_rate(video.frames, video.fps, every_s) for video in videos}
    encode = partial(_encoded, partial(_half, encoder), batch_images)
    facts = {**provenance, **made_at(every_s)}
    _cache(encode, encoder, "global", videos, points, root, work, out, facts, cluster)


def _half(encoder: Encoder, frames: Sequence[np.ndarray]) -> np.ndarray:
    return encoder.images(frames).astype(np.float16)


def _cache(
    encode: Encode,
    encoder: Encoder,
    array: Array,
    videos: Sequence[Video],
    points: Mapping[str, np.ndarray],
    root: Path,
    work: Path,
    out: Path,
    facts: Mapping[str, Any],
    cluster: Engine | None,
) -> None:
    said = _Forecast(sum(map(len, points.values())))
    blocks = [part_of(number, videos[own.start : own.stop], points) for number, own in enumerate(parts(len(videos)))]
    make = partial(_make, encode, array, root, said)
    with held_by(cluster, work) as shelf:
        progress = Work("frames", "image", size=images)
        finished = finish_by(cluster, encoder, blocks, _block_name, make, shelf, progress)
        join(out, finished.files, facts)


def _block_name(part: Part) -> str:
    return block_name(part.number)


def _make(encode: Encode, array: Array, root: Path, said: "_Forecast", part: Part, block: Path) -> None:
    rows: dict[str, list[np.ndarray]] = {POINTS: [], array: []}
    for some in _held_at_once(part.videos, part.frames):
        found = encode([picture for video in pictures_of(some, part.frames, root) for picture in video], said)
        rows[POINTS] += [part.frames[video.id].astype(np.int32) for video in some]
        rows[array] += np.split(found, np.cumsum([len(part.frames[video.id]) for video in some])[:-1])
    write_block(block, [video.id for video in part.videos], rows)


def _held_at_once(videos: Sequence[Video], points: Mapping[str, np.ndarray]) -> Iterator[list[Video]]:
    """The videos in turns of at most `FRAMES_HELD` frames, or of one video."""
    some: list[Video] = []
    for video in videos:
        if some and sum(len(points[one.id]) for one in [*some, video]) > FRAMES_HELD:
            yield some
            some = []
        some.append(video)
    yield some


@dataclass
class _Forecast:
    """Says once, after the first batch, how large the store will be and how long it takes."""

    images: int
    is_said: bool = False

    def after(self, count: int, seconds: float, values: np.ndarray) -> None:
        if not self.is_said:
            size, minutes = self.images * values[0].nbytes / GIB, self.images * seconds / count / MINUTE_S
            log.info(
                "%d images of %s: %.2f GiB, about %.1f minutes at %.0f images/s, decoding apart",
                *(self.images, values.shape[1:], size, minutes, count / seconds),
            )
        self.is_said = True


def _encoded(
    values: Callable[[Sequence[np.ndarray]], np.ndarray],
    batch_images: int,
    pictures: Sequence[np.ndarray],
    said: _Forecast,
) -> np.ndarray:
    found = []
    for start in range(0, len(pictures), batch_images):
        batch, begun = pictures[start : start + batch_images], time.perf_counter()
        found.append(values(batch))
        said.after(len(batch), time.perf_counter() - begun, found[-1])
    return np.concatenate(found)


@torch.inference_mode()
def frame_values(encoder: Encoder, array: Array, params: FramesParams, frames: Sequence[np.ndarray]) -> np.ndarray:
    """The array of RGB frames (h, w, 3) uint8, float16 (n, ...).

    Raises:
        ParamsError: the encoder has no such array.
    """
    if array == "global":
        return encoder.images(frames).astype(np.float16)
    model = encoder.model.backbone
    of: Mapping[str, Callable[[Tensor], Tensor]] = {
        "grid": lambda pixels: pooled(spatial_tokens(model, pixels, params.path), params.grid),
        "residual": lambda pixels: residual(model, pixels, params.cut),
    }
    pixels = encoder.pixels(frames)
    with encoder.compute.autocast():
        values = of[array](pixels)
    return values.half().cpu().numpy()
