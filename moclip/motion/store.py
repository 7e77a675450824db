"""The motion of many videos in one directory, read without loading it: a store of blocks (`moclip.store.blocks`).

A block holds `mv`, flat, and `state` of its clips, and columns of their sizes, rates and counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.files import fingerprint, sha256_bytes
from moclip.motion.grid import MotionGrid, grid_shape
from moclip.store.arrays import kind_name
from moclip.store.blocks import BlockStore, join, read_block, write_block

FORMAT = "moclip-motion-store"
BLOCK_VIDEOS = 512  # of UCF101 30 MB, of ten-second clips 110 MB
UNITS = "int8 half pixels of the shown frame per frame (see distance), (dx, dy) of the content, x right, y down"

_ARRAYS = {"mv": {"dtype": "I8", "row": []}, "state": {"dtype": "U8", "row": []}}
_COLUMNS = {"width": np.int32, "height": np.int32, "fps": np.float64, "clipped": np.int64, "field_blocks": np.int64}
_COLUMN_KINDS = {name: kind_name(np.zeros(0, kind)) for name, kind in _COLUMNS.items()}
_LARGEST_PX = 1 << 16
_AGAIN = "extract the motion again (`dvc repro extract_motion`)"


@dataclass(frozen=True)
class ClipInfo:
    """What the index says of one clip."""

    frames: int
    gh: int
    gw: int
    width: int
    height: int
    fps: float
    clipped: int


@dataclass(frozen=True)
class OneClip:
    """A clip that was just read, where a store is asked for: whatever the id, it is this one."""

    grid: MotionGrid

    def info(self, video_id: str) -> ClipInfo:
        """What an index would say of it."""
        frames, gh, gw = self.grid.mv.shape[:3]
        return ClipInfo(frames, gh, gw, self.grid.width, self.grid.height, self.grid.fps, self.grid.clipped)

    def clip(self, video_id: str) -> MotionGrid:
        """The clip."""
        return self.grid


def write_motion(path: Path, clips: Sequence[tuple[str, MotionGrid]], stamp: str, *, flush: bool = True) -> None:
    """Write a block of clips, atomically.

    Args:
        path: The file.
        clips: Ids and grids in the order of the store, at least one, all of one cell size.
        stamp: Stands for what they were made of.
        flush: As of `moclip.base.files.atomic_path`.

    Raises:
        StoreError: two cell sizes.
    """
    cell_px = clips[0][1].cell_px
    for video, grid in clips:
        if grid.cell_px != cell_px:
            raise StoreError(f"{video}: cells of {grid.cell_px} px in a store of {cell_px}")
    write_block(
        path,
        [video for video, _ in clips],
        {"state": [grid.state for _, grid in clips]},
        flat={"mv": [grid.mv.reshape(-1) for _, grid in clips]},
        columns={name: np.array([getattr(grid, name) for _, grid in clips], kind) for name, kind in _COLUMNS.items()},
        about={"cell_px": cell_px, "units": UNITS},
        stamp=stamp,
        flush=flush,
    )


def join_motion(
    path: Path, blocks: Sequence[Path], made_by: Mapping[str, Any], digests: Sequence[str] | None = None
) -> None:
    """Make a store of blocks that `write_motion` wrote; arguments and errors as of `moclip.store.blocks.join`."""
    join(path, blocks, made_by, name=FORMAT, digests=digests)


def read_clip(path: Path) -> tuple[MotionGrid, str]:
    """The clip of a block that holds one, and the block's stamp; its motion is mapped.

    Raises:
        StoreError: it is missing, torn, or another's.
    """
    header, arrays = read_block(path)
    values = {name: arrays[name][0].item() for name in _COLUMNS}
    return _grid(arrays["mv"], arrays["state"], int(header.about["cell_px"]), values), header.stamp


def _grid(mv: np.ndarray, state: np.ndarray, cell_px: int, values: Mapping[str, Any]) -> MotionGrid:
    shape = (len(state), *grid_shape(values["width"], values["height"], cell_px), 2)
    return MotionGrid(mv=mv.reshape(shape), state=state, cell_px=cell_px, **values)


class MotionStore:
    """A reader of one store; opening checks that no block is missing or torn, reading touches only what is asked for.

    The content of the blocks is not compared with their digests: that would read all of it.
    """

    def __init__(self, path: Path) -> None:
        """Open a store.

        Raises:
            StoreError: it is missing, of another format, torn, or its tables were changed.
        """
        self.path = path
        self._blocks = BlockStore(path, _AGAIN, name=FORMAT)
        meta = self._blocks.meta
        described = (meta["arrays"], meta["columns"], meta["flat"])
        if described != (_ARRAYS, _COLUMN_KINDS, ["mv"]) or not 1 <= self.cell_px <= _LARGEST_PX:
            raise StoreError(f"{path / 'meta.json'}: does not describe a motion store; {_AGAIN}")

    @classmethod
    def open(cls, path: Path) -> "MotionStore":
        """The same as `MotionStore(path)`."""
        return cls(path)

    def __reduce__(self) -> tuple[type["MotionStore"], tuple[Path]]:
        # A worker process opens the store itself: a memory map would travel as a copy of all bytes.
        return type(self), (self.path,)

    def __len__(self) -> int:
        return len(self._blocks)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._blocks

    @property
    def ids(self) -> list[str]:
        """Video ids in the order in which they were written."""
        return self._blocks.ids

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for all content and its description."""
        return self._blocks.digest

    @property
    def made_by(self) -> Mapping[str, Any]:
        """How the motion was made."""
        return self._blocks.made_by

    @property
    def cell_px(self) -> int:
        """Side of a cell in pixels of the decoded frame."""
        found = self._blocks.meta["about"].get("cell_px")
        return found if type(found) is int else 0

    def column(self, name: str) -> np.ndarray:
        """One number of each clip, (n,): `count`, which is of its frames, `width`, `height`, `fps`, `clipped` or
        `field_blocks`.
        """
        return self._blocks.column(name)

    def info(self, video_id: str) -> ClipInfo:
        """Size and rate of a clip; StoreError names an id that is not there."""
        values = self._values(video_id)
        gh, gw = grid_shape(values["width"], values["height"], self.cell_px)
        frames = int(self._blocks.value("count", video_id))
        sizes = {name: values[name] for name in ("width", "height", "fps", "clipped")}
        return ClipInfo(frames=frames, gh=gh, gw=gw, **sizes)

    def clip(self, video_id: str) -> MotionGrid:
        """The whole motion of a clip, read-only and mapped, not loaded.

        Raises:
            StoreError: no such id, or what is stored of it is torn.
        """
        values = self._values(video_id)
        mv, state = (self._blocks.mapped(name, video_id) for name in ("mv", "state"))
        try:
            return _grid(mv, state, self.cell_px, values)
        except ValueError as error:
            raise StoreError(f"{self.path}: motion of '{video_id}' is not of its size; {_AGAIN}") from error

    def window(self, video_id: str, start: int, length: int) -> MotionGrid:
        """The frames from `start` on; `clipped` still counts the whole clip.

        Raises:
            StoreError: no such id, or the frames do not all lie in the clip.
        """
        whole = self.clip(video_id)
        if start < 0 or length < 1 or start + length > len(whole.mv):
            raise StoreError(
                f"{self.path}: frames {start} to {start + length - 1} of '{video_id}' were asked for,"
                f" which has {len(whole.mv)}"
            )
        return replace(whole, mv=whole.mv[start : start + length], state=whole.state[start : start + length])

    def _values(self, video_id: str) -> dict[str, Any]:
        if video_id not in self._blocks:
            raise StoreError(f"{self.path}: has no motion of '{video_id}'; {_AGAIN}")
        values = {name: self._blocks.value(name, video_id).item() for name in _COLUMNS}
        if not all(1 <= values[name] <= _LARGEST_PX for name in ("width", "height")):
            raise StoreError(f"{self.path}: size of '{video_id}' is no picture's; {_AGAIN}")
        return values


def same_motion(store: MotionStore) -> list[list[str]]:
    """Ids of clips that have the same motion in every frame, those of one motion together; clips at rest are left out.

    Two containers of one stream have it, and hardly ever two recordings.
    """
    by_motion: dict[str, list[str]] = {}
    for video_id in store.ids:
        grid = store.clip(video_id)
        if grid.mv.any():
            digest = fingerprint(grid.mv.shape, sha256_bytes(np.ascontiguousarray(grid.mv)))
            by_motion.setdefault(digest, []).append(video_id)
    return [ids for ids in by_motion.values() if len(ids) > 1]
