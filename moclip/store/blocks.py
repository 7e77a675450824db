"""Arrays of many videos in one directory, block by block: rows by video id, read without loading it.

    meta.json | blocks.npz | index/000.index and on | blocks/000/000000.block and on

A block holds some videos in the order of the manifest: of each array, the rows of its videos end to end. Whoever makes
a block needs no other: blocks are made in any order, by any process, and one that is there is finished. `blocks.npz`
has the SHA-256 and the size of each, a page of `index/` says where the videos of 1,000 blocks lie, and `meta.json` has
the digests of these tables. Pages and blocks are mapped, and read when they are touched. An index that is lost is made
again of the blocks, by `join`.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import StoreError
from moclip.base.files import atomic_path, fingerprint, read_json, read_npz, sha256_file, write_json, write_npz
from moclip.store.arrays import Mapped, kind_name, map_arrays, write_arrays
from moclip.store.spool import let_go

FORMAT = "moclip-blocks"
FORMAT_VERSION = 3  # of all stores of blocks; 3: pages of the index are mapped, and motion lies in blocks too
BLOCK_VIDEOS = 128
BLOCKS_PER_PAGE = 1000
REMEDY = "run the stage that makes it again"
_TABLE = "blocks.npz"
_OPEN_BLOCKS = 64
_PLACES_KEPT = 1 << 16
_PLACE = ("row", "block", "first", "count", "id_end")  # of a page, beside `key`, `id` and the columns of the store


@dataclass(frozen=True)
class Block:
    """What a store knows of one block."""

    sha256: str
    videos: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class Header:
    """What a block says of itself.

    Attributes:
        ids: Of its videos.
        counts: Rows of each.
        flat: Values of each in the arrays that are flat, by array.
        columns: Names of the arrays that have one value a video.
        about: What is the same in all blocks of a store.
        stamp: What it was made of, as whoever made it says.
    """

    ids: list[str]
    counts: list[int]
    flat: dict[str, list[int]]
    columns: list[str]
    about: dict[str, Any]
    stamp: str


def parts(count: int, size: int | None = None) -> list[range]:
    """Positions in the manifest of the videos of each block; `size` is `BLOCK_VIDEOS` where none is given."""
    size = size or BLOCK_VIDEOS
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def block_name(number: int) -> str:
    """File name of a block, in whatever directory."""
    return f"{number:06d}.block"


def write_block(
    path: Path,
    ids: Sequence[str],
    rows: Mapping[str, Sequence[np.ndarray]],
    *,
    flat: Mapping[str, Sequence[np.ndarray]] | None = None,
    columns: Mapping[str, np.ndarray] | None = None,
    about: Mapping[str, Any] | None = None,
    stamp: str = "",
    flush: bool = True,
) -> None:
    """Write a block, atomically.

    Args:
        path: The file.
        ids: Of its videos.
        rows: For each array, its rows (t, ...) by video; all arrays of a video have as many.
        flat: For each array whose rows differ in shape from video to video, its values (n,) by video.
        columns: Arrays (videos,) that have one value a video.
        about: JSON-able facts that all blocks of a store share.
        stamp: Stands for what the block was made of.
        flush: As of `moclip.base.files.atomic_path`.

    Raises:
        StoreError: a video has more rows in one array than in another, or none, or a value is not finite.
    """
    flat, columns = flat or {}, columns or {}
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
    sizes = {name: [len(one) for one in of_videos] for name, of_videos in flat.items()}
    header = Header(list(ids), counts, sizes, sorted(columns), dict(about or {}), stamp)
    arrays = {**rows, **flat, **{name: [column] for name, column in columns.items()}}
    write_arrays(path, arrays, asdict(header), flush=flush)


_Read = tuple[Header, dict[str, np.ndarray]]


def read_block(path: Path) -> _Read:
    """What a block says of itself, and its arrays, mapped.

    Raises:
        StoreError: it is missing, torn, or another's.
    """
    return _checked(path, map_arrays(path, REMEDY), REMEDY)


def _checked(path: Path, mapped: Mapped, remedy: str) -> _Read:
    try:
        header = Header(**mapped.facts)
        lengths = {**dict.fromkeys(mapped.arrays, sum(header.counts)), **{n: sum(v) for n, v in header.flat.items()}}
        lengths |= dict.fromkeys(header.columns, len(header.ids))
        fits = all(len(array) == lengths[name] for name, array in mapped.arrays.items())
    except (TypeError, AttributeError) as error:
        raise StoreError(f"{path}: torn or foreign ({error}); {remedy}") from error
    if not fits or lengths.keys() != mapped.arrays.keys():
        raise StoreError(f"{path}: torn or foreign (its arrays are not of its videos); {remedy}")
    return header, mapped.arrays


def join(
    path: Path,
    blocks: Sequence[Path],
    made_by: Mapping[str, Any],
    *,
    name: str = FORMAT,
    digests: Sequence[str] | None = None,
) -> None:
    """Make a store of finished blocks, in this order: `path` appears, or replaces an older one, when all is in it.

    Args:
        path: The directory to make.
        blocks: Files that `write_block` wrote. They are linked into the store where the disk allows, else copied.
        made_by: JSON-able facts of how the arrays were made. Nothing that changes between equal runs.
        name: Of the format, by which one kind of store is told from another.
        digests: SHA-256 of each block, where it is known; else all are read.

    Raises:
        StoreError: there is no block, one is missing or torn, an id stands twice, or blocks differ in their arrays.
    """
    if not blocks:
        raise StoreError(f"{path}: a store needs at least one video")
    with atomic_path(path) as temporary:
        entries: list[Block] = []
        common: dict[str, Any] = {}
        for start in range(0, len(blocks), BLOCKS_PER_PAGE):
            numbers = range(start, min(start + BLOCKS_PER_PAGE, len(blocks)))
            taken = [_taken(blocks[number], temporary / _place(number)) for number in numbers]
            common = common or _described(*taken[0])
            _refuse_others(path, start, taken, common)
            page = {name: [column] for name, column in _page(taken, start).items()}
            write_arrays(temporary / _page_name(start // BLOCKS_PER_PAGE), page, {})
            for number, (header, _) in zip(numbers, taken, strict=True):
                file = temporary / _place(number)
                digest = digests[number] if digests else sha256_file(file)
                entries.append(Block(digest, len(header.ids), sum(header.counts), file.stat().st_size))
        _refuse_twice(path, temporary)
        columns = {name: np.array([getattr(entry, name) for entry in entries]) for name in Block.__dataclass_fields__}
        write_npz(temporary / _TABLE, **columns)
        files = [temporary / _TABLE, *_pages_in(temporary)]
        meta = {
            "format": name,
            "format_version": FORMAT_VERSION,
            **common,
            "made_by": dict(made_by),
            "videos": sum(entry.videos for entry in entries),
            "blocks": len(entries),
            "files": {file.relative_to(temporary).as_posix(): sha256_file(file) for file in files},
        }
        write_json(temporary / "meta.json", meta | {"digest": fingerprint(meta)})


def _place(number: int) -> Path:
    return Path("blocks", f"{number // BLOCKS_PER_PAGE:03d}", block_name(number))


def _page_name(number: int) -> str:
    return f"index/{number:03d}.index"


def _pages_in(store: Path) -> list[Path]:
    return sorted((store / "index").iterdir())


def _taken(source: Path, target: Path) -> _Read:
    """A block that is brought to its place in a store, and read there."""
    if not source.is_file():
        raise StoreError(f"{source}: missing; {REMEDY}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
    return read_block(target)


def _described(header: Header, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What all blocks of a store have in common: type and shape of a row by array, and more."""
    kinds = {name: {"dtype": kind_name(arrays[name]), "row": list(arrays[name].shape[1:])} for name in sorted(arrays)}
    return {
        "arrays": {name: kind for name, kind in kinds.items() if name not in header.columns},
        "columns": {name: kinds[name]["dtype"] for name in header.columns},
        "flat": sorted(header.flat),
        "about": header.about,
    }


def _refuse_others(path: Path, start: int, blocks: Sequence[_Read], common: Mapping[str, Any]) -> None:
    for number, (header, arrays) in enumerate(blocks, start):
        for word, found in _described(header, arrays).items():
            if found != common[word]:
                raise StoreError(f"{path}: block {number} has the {word} {found}, the first one {common[word]}")


def _key(video: str) -> int:
    """Eight bytes that stand for an id."""
    return int.from_bytes(blake2b(video.encode(), digest_size=8).digest(), "little")


def _page(blocks: Sequence[_Read], number: int) -> dict[str, np.ndarray]:
    """The columns of a page whose first block has this number: a row a video; `key` is sorted, `row` says of which."""
    ids = [video for header, _ in blocks for video in header.ids]
    texts = [video.encode() for video in ids]
    keys = np.array([_key(video) for video in ids], np.uint64)
    order = np.argsort(keys, kind="stable")
    sizes = [len(header.ids) for header, _ in blocks]
    counts = {"": [header.counts for header, _ in blocks]}
    counts |= {f"{name}_": [header.flat[name] for header, _ in blocks] for name in sorted(blocks[0][0].flat)}
    return {
        "key": keys[order],
        "row": order.astype(np.int32),
        "id": np.frombuffer(b"".join(texts), np.uint8),
        "id_end": np.cumsum([len(text) for text in texts]),
        "block": np.repeat(np.arange(number, number + len(blocks), dtype=np.int32), sizes),
        **{f"{name}first": np.concatenate([np.cumsum([0, *own[:-1]]) for own in of]) for name, of in counts.items()},
        **{f"{name}count": np.concatenate([np.array(own, np.int64) for own in of]) for name, of in counts.items()},
        **{name: np.concatenate([arrays[name] for _, arrays in blocks]) for name in blocks[0][0].columns},
    }


def _refuse_twice(path: Path, store: Path) -> None:
    """Refuse an id that stands twice in a store that is being made; ids are compared where keys are equal."""
    pages = [map_arrays(file, REMEDY).arrays for file in _pages_in(store)]
    keys, times = np.unique(np.concatenate([page["key"] for page in pages]), return_counts=True)
    seen: set[str] = set()
    for page in pages:
        for row in page["row"][np.isin(page["key"], keys[times > 1])].tolist():
            if (video := _id(page, row)) in seen:
                raise StoreError(f"{path}: id '{video}' stands twice; ids must be unique")
            seen.add(video)


def _id(page: Mapping[str, np.ndarray], row: int) -> str:
    return _ids(page, row, row + 1)[0]


def _ids(page: Mapping[str, np.ndarray], first: int, end: int) -> list[str]:
    ends = page["id_end"][first:end].tolist()
    starts = [int(page["id_end"][first - 1]) if first else 0, *ends[:-1]]
    text = page["id"][starts[0] : ends[-1]].tobytes()
    return [
        text[start - starts[0] : stop - starts[0]].decode(errors="replace")
        for start, stop in zip(starts, ends, strict=True)
    ]


class BlockStore:
    """A reader of one store. Opening checks that no block is missing or torn; a page of the index, and a block, is
    checked when it is first touched, and reading touches only the bytes asked for.
    """

    def __init__(self, path: Path, remedy: str = REMEDY, *, name: str = FORMAT) -> None:
        """Open a store.

        Args:
            path: Its directory.
            remedy: What errors say that one is to do.
            name: Of the format.

        Raises:
            StoreError: it is missing, of another format, torn, or its tables were changed.
        """
        self.path, self.remedy, self.name = path, remedy, name
        self.meta = self._read_meta()
        self._pages = sum(file.startswith("index/") for file in self.meta["files"])
        self._page = lru_cache(None)(self._open_page)
        self._block = lru_cache(_OPEN_BLOCKS)(self._open_block)
        self._found = lru_cache(_PLACES_KEPT)(self._find)
        self._check_blocks()

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process opens the store itself: a memory map would travel as a copy of all bytes.
        return _again, (type(self), self.path, self.remedy, self.name)

    def __len__(self) -> int:
        return int(self.meta["videos"])

    def __contains__(self, video: object) -> bool:
        return isinstance(video, str) and self._found(video) is not None

    @property
    def ids(self) -> list[str]:
        """Video ids in the order of the manifest."""
        return [video for page in self._all_pages() for video in _ids(page, 0, len(page["key"]))]

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for all content and its description."""
        return str(self.meta["digest"])

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

    def column(self, name: str) -> np.ndarray:
        """One value of each video, (videos,): `count`, the number of its rows, or a column that blocks have."""
        return np.concatenate([page[name] for page in self._all_pages()])

    def value(self, name: str, video: str) -> Any:
        """The value of one video in a column.

        Raises:
            StoreError: the video is not there.
        """
        number, row = self._at(video)
        return self._page(number)[name][row]

    def rows(self, name: str, ids: Sequence[str]) -> Iterator[np.ndarray]:
        """Rows (t, ...) of an array, video by video in this order.

        Raises:
            StoreError: there is no such array, a video is not there (it is named), or a block is that of others.
        """
        if name not in self.arrays:
            raise StoreError(f"{self.path}: has no '{name}' (has {sorted(self.arrays)}); {self.remedy}")
        if missing := [video for video in ids if self._found(video) is None]:
            raise StoreError(
                f"{self.path}: lacks {len(missing)} of {len(ids)} videos, first {missing[0]}; {self.remedy}"
            )
        for video in ids:
            yield np.array(self.mapped(name, video))

    def mapped(self, name: str, video: str) -> np.ndarray:
        """Rows of an array of one video, or its values where the array is flat: read-only, and read when touched.

        Raises:
            StoreError: the video is not there, or a block is that of others.
        """
        number, row = self._at(video)
        page, of = self._page(number), f"{name}_" if name in self.meta["flat"] else ""
        first, count, block = (int(page[column][row]) for column in (f"{of}first", f"{of}count", "block"))
        return self._block(block)[name][first : first + count]

    def _at(self, video: str) -> tuple[int, int]:
        if (found := self._found(video)) is None:
            raise StoreError(f"{self.path}: lacks {video}; {self.remedy}")
        return found

    def _find(self, video: str) -> tuple[int, int] | None:
        """Page and row of a video."""
        key = np.uint64(_key(video))
        for number, page in enumerate(self._all_pages()):
            first, end = (int(np.searchsorted(page["key"], key, side)) for side in ("left", "right"))
            for row in page["row"][first:end].tolist():
                if _id(page, row) == video:
                    return number, row
        return None

    def _all_pages(self) -> Iterator[dict[str, np.ndarray]]:
        return map(self._page, range(self._pages))

    def _open_page(self, number: int) -> dict[str, np.ndarray]:
        name = _page_name(number)
        self._check_file(name)
        page = map_arrays(self.path / name, self.remedy).arrays
        if fault := self._fault(page):
            raise StoreError(f"{self.path / name}: column '{fault}' is not of these videos; {self.remedy}")
        let_go(page["key"])  # looking through all of it was to check it
        return {column: values.view(np.ndarray) for column, values in page.items()}  # mapped yet, and faster to ask

    def _fault(self, page: Mapping[str, np.ndarray]) -> str | None:
        """The first column that no index of these blocks would have; None where all is well."""
        flat = [f"{name}_{word}" for name in self.meta["flat"] for word in ("first", "count")]
        for name in ("key", *_PLACE, *flat, *self.meta["columns"]):
            if name not in page or page[name].shape != page["key"].shape or not page[name].size:
                return name
        for name, kind in self.meta["columns"].items():
            if kind_name(page[name]) != kind:
                return str(name)
        most = {"row": len(page["key"]), "block": int(self.meta["blocks"]), "id_end": len(page.get("id", ())) + 1}
        for name in (*_PLACE, *flat):
            if page[name].dtype.kind != "i" or page[name].min() < 0 or page[name].max() >= most.get(name, 2**53):
                return name
        return "id_end" if (np.diff(page["id_end"]) < 0).any() else None

    def _open_block(self, number: int) -> dict[str, np.ndarray]:
        path, page = self.path / _place(number), self._page(number // BLOCKS_PER_PAGE)
        header, arrays = _checked(path, map_arrays(path, self.remedy), self.remedy)
        first, end = np.searchsorted(page["block"], [number, number + 1]).tolist()
        said = {"": header.counts, **{f"{name}_": counts for name, counts in header.flat.items()}}
        if header.ids != _ids(page, first, end) or any(
            of not in said or page[f"{of}count"][first:end].tolist() != said[of]
            for of in ("", *(f"{name}_" for name in self.meta["flat"]))
        ):
            raise StoreError(f"{path}: holds other videos than its index says; {self.remedy}")
        if any(found != self.meta[word] for word, found in _described(header, arrays).items()):
            raise StoreError(f"{path}: holds other arrays than meta.json says; {self.remedy}")
        return arrays

    def _read_meta(self) -> dict[str, Any]:
        if not self.path.is_dir():
            raise StoreError(f"{self.path}: no such store; {self.remedy}")
        meta = read_json(self.path / "meta.json")
        if not isinstance(meta, dict) or meta.get("format") != self.name:
            raise StoreError(f"{self.path}: no store of this kind (meta.json names no '{self.name}'); {self.remedy}")
        if meta.get("format_version") != FORMAT_VERSION:
            version = meta.get("format_version")
            raise StoreError(f"{self.path}: format version {version}, this reads {FORMAT_VERSION}; {self.remedy}")
        stated = meta.pop("digest", None)
        if stated != fingerprint(meta):
            raise StoreError(f"{self.path}: meta.json was changed after it was written; {self.remedy}")
        if not _is_meta(meta):
            raise StoreError(f"{self.path}: meta.json does not describe the store's files; {self.remedy}")
        return meta | {"digest": stated}

    def _check_file(self, name: str) -> None:
        file = self.path / name
        if not file.is_file() or sha256_file(file) != self.meta["files"][name]:
            raise StoreError(f"{file}: missing, or not what was written; {self.remedy}")

    def _check_blocks(self) -> None:
        self._check_file(_TABLE)
        sizes = read_npz(self.path / _TABLE, "bytes")["bytes"]
        if sizes.shape != (self.meta["blocks"],):
            raise StoreError(f"{self.path / _TABLE}: is not of {self.meta['blocks']} blocks; {self.remedy}")
        for number, size in enumerate(sizes):
            file = self.path / _place(number)
            if not file.is_file() or file.stat().st_size != size:
                there = file.stat().st_size if file.is_file() else "no"
                raise StoreError(f"{file}: torn, {there} bytes where {size} belong; {self.remedy}")


def _again(kind: type[BlockStore], path: Path, remedy: str, name: str) -> BlockStore:
    return kind(path, remedy, name=name)


def _is_meta(meta: Mapping[str, Any]) -> bool:
    """Whether it has what `join` writes: counts, descriptions, and as many pages as blocks need, by their names."""
    blocks = meta.get("blocks")
    if type(blocks) is not int or blocks < 1 or type(meta.get("videos")) is not int:
        return False
    kinds = {"arrays": dict, "columns": dict, "about": dict, "made_by": dict, "flat": list, "files": dict}
    if any(not isinstance(meta.get(name), kind) for name, kind in kinds.items()):
        return False
    pages = {_page_name(number) for number in range(-(-blocks // BLOCKS_PER_PAGE))}
    return set(meta["files"]) == {_TABLE, *pages} and all(isinstance(name, str) for name in meta["flat"])
