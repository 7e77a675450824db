"""The motion of many videos in one directory, read without loading it: int8 shards, an index, a digest.

`shard-000.npy` and on hold the grids of the clips end to end, `states.npy` their frame states, `index.npz` says where
each clip lies, and `meta.json` what the numbers mean, how they were made, and the size and SHA-256 of every file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.files import atomic_path, fingerprint, read_json, read_npz, sha256_bytes, sha256_file, write_json
from moclip.motion.grid import MotionGrid, grid_shape
from moclip.store.spool import pieces
from moclip.video.vectors import FrameState

FORMAT = "moclip-motion-store"
FORMAT_VERSION = 2  # 2: vectors of H.264 are divided by their distance, and follow crops and display matrices
SHARD_BYTES = 64 << 20  # bounds what the writer holds, and a file that a cache or an upload moves
UNITS = "int8 half pixels of the shown frame per frame (see distance), (dx, dy) of the content, x right, y down"

_COLUMNS = ("ids", "shard", "offset", "first", "frames", "width", "height", "fps", "clipped")
_ALWAYS = ("index.npz", "states.npy")
_LARGEST_PX = 1 << 16
_AGAIN = "Extract the motion again (`dvc repro extract_motion`)"


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


def write_store(
    path: Path,
    clips: Iterable[tuple[str, MotionGrid]],
    provenance: dict[str, Any],
    *,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a store as a whole: `path` appears, or replaces an older one, when everything is in it.

    Args:
        path: The directory to make.
        clips: Ids and grids in the order of the store, all of one cell size. Held one shard at a time.
        provenance: JSON-able facts for `meta.json`: how the motion was made. Nothing that changes between equal runs.
        shard_bytes: A shard ends before it would pass this; a longer clip has a shard to itself.

    Raises:
        StoreError: no clips, an id twice, or two cell sizes.
    """
    with atomic_path(path) as temporary:
        temporary.mkdir()
        writer = _Writer(temporary, shard_bytes)
        for video_id, grid in clips:
            writer.add(video_id, grid)
        writer.close(provenance)


class _Writer:
    def __init__(self, path: Path, shard_bytes: int) -> None:
        self.path = path
        self.shard_bytes = shard_bytes
        self.rows: dict[str, tuple[Any, ...]] = {}
        self.states: list[np.ndarray] = []
        self.frames = 0
        self.cell_px = 0
        self.files: dict[str, dict[str, Any]] = {}
        self.shards = 0
        self.waiting: list[np.ndarray] = []
        self.waiting_bytes = 0

    def add(self, video_id: str, grid: MotionGrid) -> None:
        if video_id in self.rows:
            raise StoreError(f"{self.path}: id '{video_id}' comes twice; ids must be unique")
        self.cell_px = self.cell_px or grid.cell_px
        if grid.cell_px != self.cell_px:
            raise StoreError(f"{video_id}: cells of {grid.cell_px} px in a store of {self.cell_px}")
        if self.waiting and self.waiting_bytes + grid.mv.nbytes > self.shard_bytes:
            self._flush()
        place = (video_id, self.shards, self.waiting_bytes, self.frames, len(grid.mv))
        self.rows[video_id] = (*place, grid.width, grid.height, grid.fps, grid.clipped)
        self.states.append(grid.state)
        self.frames += len(grid.mv)
        self.waiting.append(grid.mv.ravel())
        self.waiting_bytes += grid.mv.nbytes

    def _flush(self) -> None:
        name = shard_name(self.shards)
        with (self.path / name).open("wb") as file:
            kind = {"descr": "|i1", "fortran_order": False, "shape": (self.waiting_bytes,)}
            np.lib.format.write_array_header_1_0(file, kind)
            for part in chain.from_iterable(map(pieces, self.waiting)):
                file.write(part.data)
        self._note(name)
        self.shards += 1
        self.waiting, self.waiting_bytes = [], 0

    def _save(self, name: str, array: np.ndarray) -> None:
        np.save(self.path / name, array, allow_pickle=False)
        self._note(name)

    def _note(self, name: str) -> None:
        file = self.path / name
        self.files[name] = {"bytes": file.stat().st_size, "sha256": sha256_file(file)}

    def close(self, provenance: dict[str, Any]) -> None:
        if not self.rows:
            raise StoreError(f"{self.path}: a store needs at least one clip")
        self._flush()
        states = np.concatenate(self.states)
        self._save("states.npy", states)
        columns = zip(*self.rows.values(), strict=True)
        index = {name: np.array(column) for name, column in zip(_COLUMNS, columns, strict=True)}
        np.savez(self.path / "index.npz", allow_pickle=False, **index)
        self._note("index.npz")
        meta = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "units": UNITS,
            "cell_px": self.cell_px,
            "provenance": provenance,
            "counts": {
                "clips": len(self.rows),
                "frames": self.frames,
                "key_frames": int((states == FrameState.KEY).sum()),
                "frames_without_vectors": int((states == FrameState.NONE).sum()),
                "clipped_cells": int(index["clipped"].sum()),
            },
            "files": self.files,
        }
        write_json(self.path / "meta.json", meta | {"digest": fingerprint(meta)})


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:03d}.npy"


class MotionStore:
    """A reader of one store; opening checks that it is whole, reading touches only the bytes asked for.

    The content of the shards is not compared with their digests: that would read all of it.
    """

    def __init__(self, path: Path) -> None:
        """Open a store.

        Raises:
            StoreError: it is missing, of another format, torn, or its index was changed.
        """
        self.path = path
        self.meta = _read_meta(path)
        self._index = read_npz(path / "index.npz", *_COLUMNS)
        self._states = _read_array(path / "states.npy", np.uint8)
        _check_index(path, self.meta, self._index, len(self._states))
        self._row = {str(video_id): row for row, video_id in enumerate(self._index["ids"])}

    @classmethod
    def open(cls, path: Path) -> "MotionStore":
        """The same as `MotionStore(path)`."""
        return cls(path)

    def __reduce__(self) -> tuple[type["MotionStore"], tuple[Path]]:
        # A worker process opens the store itself: a memory map would travel as a copy of all bytes.
        return type(self), (self.path,)

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._row

    @property
    def ids(self) -> list[str]:
        """Video ids in the order in which they were written."""
        return list(self._row)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for all content and its description."""
        return str(self.meta["digest"])

    @property
    def cell_px(self) -> int:
        """Side of a cell in pixels of the decoded frame."""
        return int(self.meta["cell_px"])

    def info(self, video_id: str) -> ClipInfo:
        """Size and rate of a clip; StoreError names an id that is not there."""
        row = self._find(video_id)
        width, height = int(self._index["width"][row]), int(self._index["height"][row])
        gh, gw = grid_shape(width, height, self.cell_px)
        return ClipInfo(
            frames=int(self._index["frames"][row]),
            gh=gh,
            gw=gw,
            width=width,
            height=height,
            fps=float(self._index["fps"][row]),
            clipped=int(self._index["clipped"][row]),
        )

    def clip(self, video_id: str) -> MotionGrid:
        """The whole motion of a clip, read-only and mapped, not loaded."""
        return self.window(video_id, 0, self.info(video_id).frames)

    def window(self, video_id: str, start: int, length: int) -> MotionGrid:
        """The frames from `start` on; `clipped` still counts the whole clip.

        Raises:
            StoreError: no such id, or the frames do not all lie in the clip.
        """
        info = self.info(video_id)
        if start < 0 or length < 1 or start + length > info.frames:
            raise StoreError(
                f"{self.path}: frames {start} to {start + length - 1} of '{video_id}' were asked for,"
                f" which has {info.frames}"
            )
        row = self._row[video_id]
        cells = info.gh * info.gw * 2
        at = int(self._index["offset"][row]) + start * cells
        first = int(self._index["first"][row]) + start
        mv = self._shards[int(self._index["shard"][row])][at : at + length * cells]
        return MotionGrid(
            mv=mv.reshape(length, info.gh, info.gw, 2),
            state=self._states[first : first + length],
            clipped=info.clipped,
            cell_px=self.cell_px,
            width=info.width,
            height=info.height,
            fps=info.fps,
        )

    def _find(self, video_id: str) -> int:
        if video_id not in self._row:
            raise StoreError(f"{self.path}: has no motion of '{video_id}'. {_AGAIN}.")
        return self._row[video_id]

    @cached_property
    def _shards(self) -> list[np.ndarray]:
        names = [shard_name(number) for number in range(int(self._index["shard"][-1]) + 1)]
        shards = [_read_array(self.path / name, np.int8, mapped=True) for name in names]
        ends = self._index["offset"] + _cells(self._index, self.cell_px) * self._index["frames"]
        for name, shard, end in zip(names, shards, _furthest(ends, self._index["shard"]), strict=True):
            if len(shard) < end:
                raise StoreError(f"{self.path / name}: has {len(shard)} bytes where the index names {end}. {_AGAIN}.")
        return shards


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


def _read_meta(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise StoreError(f"{path}: no motion store there. {_AGAIN}.")
    meta = read_json(path / "meta.json")
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise StoreError(f"{path}: is not a motion store (meta.json names no format '{FORMAT}')")
    if meta.get("format_version") != FORMAT_VERSION:
        version = meta.get("format_version")
        raise StoreError(f"{path}: format version {version}, this reads {FORMAT_VERSION}. {_AGAIN}.")
    stated = meta.pop("digest", None)
    if stated != fingerprint(meta):
        raise StoreError(f"{path}: meta.json was changed after it was written. {_AGAIN}.")
    for name, facts in _files(path, meta).items():
        _check_size(path / name, facts)
    for name in _ALWAYS:
        _check_digest(path / name, meta["files"][name])
    return meta | {"digest": stated}


def _files(path: Path, meta: dict[str, Any]) -> dict[str, Any]:
    """The files that a store says it has: each by its plain name, with a size and a digest."""
    files, cell_px = meta.get("files"), meta.get("cell_px")
    files = files if isinstance(files, dict) else {}
    is_list = all(
        Path(name).name == name and isinstance(facts, dict) and type(facts.get("bytes")) is int and "sha256" in facts
        for name, facts in files.items()
    )
    if not is_list or not set(_ALWAYS) <= set(files) or type(cell_px) is not int or not 1 <= cell_px <= _LARGEST_PX:
        raise StoreError(f"{path / 'meta.json'}: does not list the files of a motion store. {_AGAIN}.")
    return files


def _read_array(path: Path, kind: type[np.generic], *, mapped: bool = False) -> np.ndarray:
    """A list of numbers of one kind; nothing pickled is loaded."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception as error:  # NumPy lets through what its reading of a forged header raises
        raise StoreError(f"{path}: cannot be read ({error}). {_AGAIN}.") from error
    if not isinstance(array, np.ndarray) or array.dtype != kind or array.ndim != 1:
        raise StoreError(f"{path}: is no list of {kind.__name__}. {_AGAIN}.")
    return array


def _check_index(path: Path, meta: dict[str, Any], index: dict[str, np.ndarray], states: int) -> None:
    """Refuse an index whose clips do not all lie inside the files that the store lists.

    Raises:
        StoreError: names the column.
    """
    shards = len(meta["files"]) - len(_ALWAYS)
    if fault := _foreign_column(index) or _column_out_of_range(index, shards, states):
        raise StoreError(f"{path / 'index.npz'}: column '{fault}' is not that of a motion store's clips. {_AGAIN}.")


def _foreign_column(index: dict[str, np.ndarray]) -> str | None:
    """The first column that is no list of its kind, as long as the others; `ids` also where one stands twice."""
    count = index["ids"].size
    for name, column in index.items():
        kinds = {"ids": "U", "fps": "fiu"}.get(name, "iu")
        if column.dtype.kind not in kinds or column.shape != (count,) or not count:
            return name
    return "ids" if len(set(index["ids"].tolist())) != count else None


def _column_out_of_range(index: dict[str, np.ndarray], shards: int, states: int) -> str | None:
    most = {"shard": shards - 1, "first": states, "frames": states, "width": _LARGEST_PX, "height": _LARGEST_PX}
    for name in _COLUMNS[1:]:
        least = 1 if name in ("frames", "width", "height") else 0
        if not ((index[name] >= least) & (index[name] <= most.get(name, 2**53))).all():
            return name
    if (index["first"] + index["frames"] > states).any():
        return "first"
    return "shard" if (np.diff(index["shard"].astype(np.int64)) < 0).any() else None


def _cells(index: dict[str, np.ndarray], cell_px: int) -> np.ndarray:
    """Numbers of each clip's frames: two a cell, (n,)."""
    grids = [grid_shape(int(w), int(h), cell_px) for w, h in zip(index["width"], index["height"], strict=True)]
    return np.array([2 * rows * columns for rows, columns in grids], dtype=np.int64)


def _furthest(ends: np.ndarray, shard: np.ndarray) -> list[int]:
    """The largest of the ends in each shard; 0 where it holds no clip."""
    furthest = [0] * (int(shard[-1]) + 1)
    for number, end in zip(shard.tolist(), ends.tolist(), strict=True):
        furthest[number] = max(furthest[number], end)
    return furthest


def _check_size(file: Path, facts: dict[str, Any]) -> None:
    if not file.is_file() or file.stat().st_size != facts["bytes"]:
        there = file.stat().st_size if file.is_file() else "no"
        raise StoreError(f"{file}: torn, {there} bytes where {facts['bytes']} belong. {_AGAIN}.")


def _check_digest(file: Path, facts: dict[str, Any]) -> None:
    if sha256_file(file) != facts["sha256"]:
        raise StoreError(f"{file}: its content differs from what was written. {_AGAIN}.")
