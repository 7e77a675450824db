"""Pictures of videos in a store of blocks: RGB as it was decoded, uncompressed, so that nobody decodes it again.

A block holds `rgb`, flat, and `point` of its videos, the positions of their pictures among the decoded frames, and
columns of their sizes. Axes: t picture, h and w pixels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from moclip.base.errors import StoreError
from moclip.store.blocks import BlockStore, join, read_block, write_block

FORMAT = "moclip-pictures"
_SIZE = ("height", "width")
_AGAIN = "`dvc repro -f extract_motion` keeps them again, and clip.keep_frames: null decodes the videos instead"


class Pictures(NamedTuple):
    """Pictures of one video: `points` int32 (t,), ascending, and `rgb` uint8 (t, h, w, 3)."""

    points: np.ndarray
    rgb: np.ndarray


def write_pictures(path: Path, videos: Sequence[tuple[str, Pictures]], stamp: str, *, flush: bool = True) -> None:
    """Write a block, atomically.

    Args:
        path: The file.
        videos: Ids and pictures in the order of the store, at least one of each.
        stamp: Stands for what they were made of.
        flush: As of `moclip.base.files.atomic_path`.
    """
    sizes = np.array([of.rgb.shape[1:3] for _, of in videos], np.int32)
    write_block(
        path,
        [video for video, _ in videos],
        {"point": [of.points.astype(np.int32) for _, of in videos]},
        flat={"rgb": [of.rgb.reshape(-1) for _, of in videos]},
        columns=dict(zip(_SIZE, np.ascontiguousarray(sizes.T), strict=True)),
        stamp=stamp,
        flush=flush,
    )


def read_pictures(path: Path) -> tuple[Pictures, str]:
    """The pictures of a block that holds one video, mapped, and the block's stamp.

    Raises:
        StoreError: it is missing, torn, or another's.
    """
    header, arrays = read_block(path)
    height, width = (int(arrays[side][0]) for side in _SIZE)
    return Pictures(arrays["point"], arrays["rgb"].reshape(-1, height, width, 3)), header.stamp


def pictures_in(folder: Path) -> Path:
    """The store in a directory that has its blocks too."""
    return folder / "store"


def join_pictures(
    path: Path, blocks: Sequence[Path], made_by: Mapping[str, Any], digests: Sequence[str] | None = None
) -> None:
    """Make a store of blocks that `write_pictures` wrote; arguments and errors as of `moclip.store.blocks.join`."""
    join(path, blocks, made_by, name=FORMAT, digests=digests)


class PictureStore:
    """A reader of one store, which other processes open anew; opening checks that no block is missing or torn."""

    def __init__(self, path: Path) -> None:
        """Open a store.

        Raises:
            StoreError: it is missing, of another format, torn, or its tables were changed.
        """
        self.path = path
        self._blocks = BlockStore(path, _AGAIN, name=FORMAT)

    def of(self, video: str, points: np.ndarray) -> np.ndarray:
        """Pictures of a video at these positions, in any order, uint8 (len(points), h, w, 3).

        Raises:
            StoreError: the video, or its picture at one of them, is not there.
        """
        there = self._blocks.mapped("point", video)
        rows = np.searchsorted(there, points)
        if (rows == len(there)).any() or (there[rows] != points).any():
            raise StoreError(f"{self.path}: has frames {there.tolist()} of {video}, not {points.tolist()}; {_AGAIN}")
        height, width = (int(self._blocks.value(side, video)) for side in _SIZE)
        found: np.ndarray = self._blocks.mapped("rgb", video).reshape(-1, height, width, 3)[rows]
        return np.asarray(found)
