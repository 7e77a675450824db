"""Arrays of many videos in one directory, block by block: rows by video id, read without loading it.

    meta.json | blocks.npz | index/000.npz and on | blocks/000/000000.block and on

A block holds `BLOCK_VIDEOS` videos in the order of the manifest, as one safetensors file: of each array, the rows of
its videos end to end. Whoever makes a block needs no other: blocks are made in any order, by any process, and one that
is there is finished. `blocks.npz` has the SHA-256 and the size of each, a page of `index/` the ids of 1,000 blocks.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from moclip.base.errors import StoreError
from moclip.base.files import atomic_path, fingerprint, read_json, read_npz, sha256_file, write_json, write_npz

FORMAT = "moclip-blocks"
FORMAT_VERSION = 1
BLOCK_VIDEOS = 128
BLOCKS_PER_PAGE = 1000
_FACTS = "moclip"  # one entry of metadata alone: safetensors writes several in random order
_OPEN_BLOCKS = 64


@dataclass(frozen=True)
class Block:
    """What a store knows of one block."""

    sha256: str
    videos: int
    rows: int
    bytes: int


def parts(count: int) -> list[range]:
    """Positions in the manifest of the videos of each block."""
    return [range(start, min(start + BLOCK_VIDEOS, count)) for start in range(0, count, BLOCK_VIDEOS)]


def block_name(number: int) -> str:
    """File name of a block, in whatever directory."""
    return f"{number:06d}.block"


def write_block(path: Path, ids: Sequence[str], rows: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write a block, atomically.

    Args:
        path: The file.
        ids: Of its videos.
        rows: For each array, its rows (t, ...) by video; all arrays of a video have as many.

    Raises:
        StoreError: a video has more rows in one array than in another, or none, or a value is not finite.
    """
    lengths = {name: [len(one) for one in of_videos] for name, of_videos in rows.items()}
    counts = next(iter(lengths.values()))
    if any(found != counts for found in lengths.values()) or len(counts) != len(ids):
        raise StoreError(f"{path.name}: arrays differ in their rows by video: {lengths}")
    for video, count in zip(ids, counts, strict=True):
        if not count:
            raise StoreError(f"{path.name}: {video} has no row")
    for name, of_videos in rows.items():
        for video, array in zip(ids, of_videos, strict=True):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise StoreError(f"{path.name}: '{name}' of {video} is not finite in {array.dtype}")
    arrays = {name: np.ascontiguousarray(np.concatenate(of_videos)) for name, of_videos in rows.items()}
    facts = {"ids": list(ids), "counts": counts}
    with atomic_path(path) as temporary:
        save_file(arrays, temporary, metadata={_FACTS: json.dumps(facts, separators=(",", ":"))})


def join(path: Path, blocks: Sequence[Path], made_by: Mapping[str, Any]) -> None:
    """Make a store of finished blocks, in this order: `path` appears, or replaces an older one, when all is in it.

    Args:
        path: The directory to make.
        blocks: Files that `write_block` wrote. They are linked into the store where the disk allows, else copied.
        made_by: JSON-able facts of how the arrays were made. Nothing that changes between equal runs.

    Raises:
        StoreError: there is no block, one is missing or torn, an id stands twice, or blocks differ in their arrays.
    """
    if not blocks:
        raise StoreError(f"{path}: a store needs at least one video")
    with atomic_path(path) as temporary:
        entries: list[Block] = []
        arrays: dict[str, Any] = {}
        ids: list[str] = []
        places: list[tuple[int, int, int]] = []
        for number, block in enumerate(blocks):
            place = temporary / _place(number)
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(block, place)
            facts, of_block = _read_header(place)
            arrays = arrays or of_block
            if of_block != arrays:
                raise StoreError(f"{path}: block {number} has the arrays {of_block}, the first one {arrays}")
            first = np.cumsum([0, *facts["counts"]])
            ids += facts["ids"]
            places += [(number, int(first[k]), count) for k, count in enumerate(facts["counts"])]
            entries.append(Block(sha256_file(place), len(facts["ids"]), int(first[-1]), place.stat().st_size))
        if len(set(ids)) != len(ids):
            raise StoreError(f"{path}: an id stands twice")
        _write_index(temporary, ids, places, entries)
        files = {
            name.relative_to(temporary).as_posix(): sha256_file(name)
            for name in sorted([temporary / "blocks.npz", *(temporary / "index").glob("*.npz")])
        }
        meta = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "arrays": arrays,
            "made_by": dict(made_by),
            "videos": len(ids),
            "blocks": len(entries),
            "files": files,
        }
        write_json(temporary / "meta.json", meta | {"digest": fingerprint(meta)})


def _place(number: int) -> Path:
    return Path("blocks", f"{number // BLOCKS_PER_PAGE:03d}", block_name(number))


def _link(source: Path, target: Path) -> None:
    if not source.is_file():
        raise StoreError(f"{source}: missing; run the stage that makes it again")
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _read_header(path: Path) -> tuple[Any, dict[str, Any]]:
    """Ids and counts of a block, and its arrays: type and shape of a row by name."""
    block = _opened(path)
    slices = {name: block.get_slice(name) for name in sorted(block.keys())}
    arrays = {name: {"dtype": one.get_dtype(), "row": list(one.get_shape()[1:])} for name, one in slices.items()}
    return _facts(block), arrays


def _opened(path: Path) -> Any:
    try:
        block = safe_open(path, framework="np")
        _facts(block)
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as error:
        raise StoreError(f"{path}: torn or foreign ({error}); run the stage that makes it again") from error
    return block


def _facts(block: Any) -> Any:
    return json.loads(block.metadata()[_FACTS])


def _write_index(root: Path, ids: Sequence[str], places: Sequence[tuple[int, int, int]], blocks: list[Block]) -> None:
    columns = {name: np.array([getattr(block, name) for block in blocks]) for name in Block.__dataclass_fields__}
    write_npz(root / "blocks.npz", **columns)
    pages = np.array([number for number, _, _ in places]) // BLOCKS_PER_PAGE
    for page in range(int(pages[-1]) + 1):
        chosen = np.flatnonzero(pages == page)
        block, first, count = np.array(places)[chosen].T
        write_npz(root / "index" / f"{page:03d}.npz", ids=np.array(ids)[chosen], block=block, first=first, count=count)


class BlockStore:
    """A reader of one store; opening checks that it is whole, reading touches only the bytes asked for."""

    def __init__(self, path: Path, remedy: str = "run the stage that makes it again") -> None:
        """Open a store.

        Raises:
            StoreError: it is missing, of another format, torn, or its index was changed.
        """
        self.path, self.remedy = path, remedy
        self.meta = self._read_meta()
        pages = [read_npz(path / name, "ids", "block", "first", "count") for name in self._pages()]
        self._ids = np.concatenate([page["ids"] for page in pages])
        self._block, self._first, self._count = (
            np.concatenate([page[name] for page in pages]) for name in ("block", "first", "count")
        )
        self._row = {str(video): row for row, video in enumerate(self._ids)}
        self._open = lru_cache(_OPEN_BLOCKS)(self._open_block)
        self._check_blocks()

    def __reduce__(self) -> tuple[type["BlockStore"], tuple[Path, str]]:
        return type(self), (self.path, self.remedy)

    @property
    def ids(self) -> list[str]:
        """Video ids in the order of the manifest."""
        return list(self._row)

    @property
    def made_by(self) -> Mapping[str, Any]:
        """How the arrays were made."""
        found: Mapping[str, Any] = self.meta["made_by"]
        return found

    @property
    def arrays(self) -> Mapping[str, Any]:
        """Type and shape of a row, by array."""
        found: Mapping[str, Any] = self.meta["arrays"]
        return found

    def rows(self, name: str, ids: Sequence[str]) -> Iterator[np.ndarray]:
        """Rows (t, ...) of an array, video by video in this order.

        Raises:
            StoreError: there is no such array, a video is not there (it is named), or a block is that of others.
        """
        if name not in self.arrays:
            raise StoreError(f"{self.path}: has no '{name}' (has {sorted(self.arrays)}); {self.remedy}")
        if missing := [video for video in ids if video not in self._row]:
            raise StoreError(
                f"{self.path}: lacks {len(missing)} of {len(ids)} videos, first {missing[0]}; {self.remedy}"
            )
        for row in (self._row[video] for video in ids):
            first = int(self._first[row])
            yield self._open(int(self._block[row])).get_slice(name)[first : first + int(self._count[row])]

    def _open_block(self, number: int) -> Any:
        path = self.path / _place(number)
        block = _opened(path)
        first, end = np.searchsorted(self._block, [number, number + 1])
        if _facts(block) != {"ids": self._ids[first:end].tolist(), "counts": self._count[first:end].tolist()}:
            raise StoreError(f"{path}: holds other videos than its index says; {self.remedy}")
        return block

    def _pages(self) -> list[str]:
        return sorted(name for name in self.meta["files"] if name.startswith("index/"))

    def _read_meta(self) -> dict[str, Any]:
        if not self.path.is_dir():
            raise StoreError(f"{self.path}: no such store; {self.remedy}")
        meta = read_json(self.path / "meta.json")
        if not isinstance(meta, dict) or meta.get("format") != FORMAT:
            raise StoreError(f"{self.path}: no store of blocks (meta.json names no format '{FORMAT}'); {self.remedy}")
        if meta.get("format_version") != FORMAT_VERSION:
            version = meta.get("format_version")
            raise StoreError(f"{self.path}: format version {version}, this reads {FORMAT_VERSION}; {self.remedy}")
        stated = meta.pop("digest", None)
        if stated != fingerprint(meta):
            raise StoreError(f"{self.path}: meta.json was changed after it was written; {self.remedy}")
        files = meta.get("files")
        if not isinstance(files, dict) or any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
            raise StoreError(f"{self.path}: meta.json does not list the store's files; {self.remedy}")
        for name, digest in files.items():
            file = self.path / name
            if not file.is_file() or sha256_file(file) != digest:
                raise StoreError(f"{file}: missing, or not what was written; {self.remedy}")
        return meta | {"digest": stated}

    def _check_blocks(self) -> None:
        for number, size in enumerate(read_npz(self.path / "blocks.npz", "bytes")["bytes"]):
            file = self.path / _place(number)
            if not file.is_file() or file.stat().st_size != size:
                there = file.stat().st_size if file.is_file() else "no"
                raise StoreError(f"{file}: torn, {there} bytes where {size} belong; {self.remedy}")
