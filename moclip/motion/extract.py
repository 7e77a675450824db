"""The motion of many videos into one store: parallel over files, safe to kill and start again.

Each video's grid is kept in the work directory as soon as it is done, so a later call takes it from there. Blocks of
the store are written from these files, in the order of the videos, and joined at the end.
"""

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from moclip.base.errors import ParamsError, StoreError, VideoError
from moclip.base.files import atomic_path, fingerprint, remove_left_overs, sha256_file, temporary_name
from moclip.base.parallel import cores
from moclip.base.progress import Progress
from moclip.base.work import Finished, Work, alone_in, finish
from moclip.cluster.engine import Engine
from moclip.motion.grid import CELL_SIZES_PX, DISTANCES, REFERENCES, MotionGrid, check_choice, rasterise
from moclip.motion.store import BLOCK_VIDEOS, MotionStore, join_motion, read_clip, write_motion
from moclip.store.blocks import FORMAT_VERSION, block_name, parts, read_block
from moclip.store.disks import scratch
from moclip.store.spool import Spool, pieces
from moclip.store.table import Rows
from moclip.video import decode as video
from moclip.video import reencode
from moclip.video.bounded.worker import CRASHED, Held, stream
from moclip.video.vectors import MotionVectors

log = logging.getLogger(__name__)

REENCODED = "reencoded"
SOURCES = ("original", REENCODED)


@dataclass(frozen=True)
class VideoFile:
    """A video to extract; `sha256` is what its bytes must hash to, None where nobody has said.

    Of one that is `damaged`, as the manifest says, what decodes before the damage is taken.
    """

    id: str
    path: Path
    sha256: str | None = None
    damaged: bool = False


@dataclass(frozen=True)
class MotionOptions:
    """What shapes a grid: `moclip.motion.grid.rasterise` says how, `moclip.video.reencode` what "reencoded" means."""

    cell_px: int = 16
    reference: str = "backward"
    source: str = "original"
    distance: str = "nearest"

    def __post_init__(self) -> None:
        check_choice("cell_px", self.cell_px, CELL_SIZES_PX)
        check_choice("reference", self.reference, REFERENCES)
        check_choice("source", self.source, SOURCES)
        check_choice("distance", self.distance, DISTANCES)


@dataclass(frozen=True)
class ExtractSummary:
    """What a call did: `decoded` videos were read now, the others were found finished."""

    videos: int
    decoded: int
    frames: int
    clipped_cells: int


def read_grid(
    path: Path,
    options: MotionOptions,
    scratch: Path | None = None,
    middle: video.Middle | None = None,
    *,
    damaged: bool = False,
) -> MotionGrid:
    """The motion of one video.

    Args:
        path: A video file.
        options: Grid, reference and source.
        scratch: Where a re-encoded video, and the grid of a long one, may lie for the time being; default is the
            system's place.
        middle: Keeps the video's middle frame on the way.
        damaged: Take what decodes before the first damage.

    Raises:
        VideoError: the video cannot be read, with its name, the reason and a remedy.
    """
    if options.source == "original":
        return _rasterise(video.stream_motion(path, middle=middle, damaged=damaged), options, scratch)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=temporary_name("reencoded")) as folder:
        encoded = Path(folder) / "reencoded.avi"
        fps = reencode.reencode(path, encoded, middle, damaged=damaged)
        try:
            grid = _rasterise(video.stream_motion(encoded), options, scratch)
        except VideoError as error:
            raise VideoError(str(error).replace(str(encoded), f"{path}, re-encoded")) from error
        return replace(grid, fps=fps)


@dataclass(frozen=True)
class Seen:
    """What one pass over a video gives.

    Attributes:
        frames: How many there are.
        codec: Of the file.
        fps: Frames per second as the file states them, 0 where it does not.
        grid: Its motion, where it was asked for.
        picture: Its middle frame, uint8 (h, w, 3), where that was asked for.
    """

    frames: int
    codec: str
    fps: float
    grid: MotionGrid | None = None
    picture: np.ndarray | None = None


def look(path: Path, options: MotionOptions | None, *, middle: bool = False) -> Seen:
    """One pass over a video, by a process that the system holds to the limits (`moclip.video.bounded`).

    Args:
        path: A video file, of whomever.
        options: How motion is read; None, where nobody asks for it, so that the codec need not have any.
        middle: Keep the middle frame.

    Raises:
        VideoError: the video cannot be read, crashes its decoder, or takes more than the limits allow.
    """
    with Spool() as spool, closing(stream(path, _passed, path, options, middle)) as parts:
        for part in parts:
            if isinstance(part, Seen):
                seen = part
            else:
                spool.append(part)
        return seen if seen.grid is None else replace(seen, grid=replace(seen.grid, mv=spool.array()))


def _passed(path: Path, options: MotionOptions | None, middle: bool) -> Iterator[np.ndarray | Seen]:
    """Pieces of a grid's `mv`, and then all the rest, since a long film's grid is held by neither process."""
    codec, fps = video.glance(path)
    kept = video.Middle() if middle else None
    if options is None:
        grid, frames = None, video.count_frames(path, kept)
    else:
        whole = read_grid(path, options, middle=kept)
        yield from pieces(whole.mv)
        grid, frames = replace(whole, mv=whole.mv[:0]), len(whole.mv)
    yield Seen(frames, codec, fps, grid, kept.picture(path, frames) if kept else None)


def _rasterise(runs: Iterable[MotionVectors], options: MotionOptions, folder: Path | None) -> MotionGrid:
    return rasterise(runs, options.cell_px, options.reference, options.distance, folder=folder)


def extract(
    videos: Sequence[VideoFile],
    out: Path,
    work: Path,
    options: MotionOptions,
    *,
    jobs: int,
    cluster: Engine | None = None,
) -> ExtractSummary:
    """Extract the motion of `videos` into a store at `out`.

    Args:
        videos: In the order that the store is to have.
        out: The store's directory; it appears when everything is in it.
        work: A directory for finished videos. Calls that share it wait for each other and share what is done. It may
            be removed whenever no call is running; what it held is then decoded again.
        options: What shapes the grids.
        jobs: Worker processes; 1 works in this process. The store does not depend on it.
        cluster: Makes the blocks, by all cores of each node, which see the videos and `work` at the same paths; where
            it is one share of several, that is all it does.

    Raises:
        NodeError: a node has another decoder, or the scheduler is gone.
        SharedOutError: a share is done.
        VideoError: videos cannot be used; the message lists all of them. `out` is left as it was.
        ParamsError: no videos, an id twice, or `jobs` below 1.
    """
    _check_request(videos, jobs)
    facts = made_by(options)
    place, doing = work / fingerprint(facts, FORMAT_VERSION), "extracts the same"
    if cluster:
        with cluster.hold(place, doing) as shelf:
            made = _made_by_nodes(videos, shelf, options, cluster)
            files = cluster.seen(_files(videos, shelf))
            join_motion(out, files, facts, [block.sha256 for block in made])
        return _summary(out, sum(block.decoded for block in made))
    with alone_in(place, doing) as shelf:
        files = _files(videos, shelf)
        blocks = [(file, videos[own.start : own.stop]) for file, own in zip(files, _parts(len(videos)), strict=True)]
        waiting = [(file, own) for file, own in blocks if not _is_made(file, own, facts)]
        grids = _grids([item for _, own in waiting for item in own], len(videos), shelf, options, jobs)
        kept = iter(grids.files)
        for file, own in Progress(waiting, desc="store", unit="block"):
            _write_block(file, own, list(islice(kept, len(own))), facts)
        join_motion(out, files, facts)
    return _summary(out, grids.made)


@dataclass(frozen=True)
class BlockTask:
    """A block that a node is to make: `videos` without the folder `root`, so that the message is small."""

    file: Path
    root: Path
    videos: Sequence[tuple[str, str, str | None, bool]]
    options: MotionOptions


@dataclass(frozen=True)
class MadeBlock:
    """What came of it: its digest and how many videos were decoded for it, or why it was not made."""

    sha256: str
    decoded: int
    bad: tuple[str, ...] = ()


class BadVideosError(VideoError):
    """Videos that cannot be used, all of them."""

    def __init__(self, messages: Sequence[str], count: int) -> None:
        super().__init__(f"{len(messages)} of {count} videos cannot be used:\n  " + "\n  ".join(messages))
        self.messages = tuple(messages)


def _made_by_nodes(
    videos: Sequence[VideoFile], shelf: Path, options: MotionOptions, cluster: Engine
) -> list[MadeBlock]:
    root = Path(os.path.commonpath({item.path.parent for item in videos}))
    rows = Rows(lambda place: _below(root, videos[place]), range(len(videos)))
    tasks = [
        BlockTask(file, root, rows[own.start : own.stop], options)
        for file, own in zip(_files(videos, shelf), _parts(len(videos)), strict=True)
    ]
    progress = Work("motion", "video", size=lambda task: len(task.videos))
    made = cluster.gather(tasks, make_block, progress, partial(made_by, options))
    if bad := [message for block in made for message in block.bad]:
        raise BadVideosError(bad, len(videos))
    return made


def _below(root: Path, item: VideoFile) -> tuple[str, str, str | None, bool]:
    return item.id, str(item.path.relative_to(root)), item.sha256, item.damaged


def make_block(task: BlockTask) -> MadeBlock:
    """Make a block on this machine, unless it is there. Videos that cannot be used are an answer, not an error.

    Raises:
        StoreError: the block is there and has other bytes: two machines do not decode alike.
    """
    videos = [VideoFile(id_, task.root / path, sha256, damaged) for id_, path, sha256, damaged in task.videos]
    facts = made_by(task.options)
    if _is_made(task.file, videos, facts):
        return MadeBlock(sha256_file(task.file), 0)
    remove_left_overs(scratch())
    with tempfile.TemporaryDirectory(dir=scratch(), prefix=temporary_name("grids")) as shelf:
        try:
            grids = _grids(videos, len(videos), Path(shelf), task.options, cores())
        except BadVideosError as error:
            return MadeBlock("", 0, error.messages)
        with atomic_path(task.file) as block:
            _write_block(block, videos, grids.files, facts)
            digest = sha256_file(block)
            if _is_made(task.file, videos, facts) and sha256_file(task.file) != digest:
                raise StoreError(f"{task.file}: another node made it of the same videos, with other bytes")
        return MadeBlock(digest, grids.made)


def made_by(options: MotionOptions) -> dict[str, Any]:
    """What a store says of how it was made: the options, and versions of the decoder."""
    return {**asdict(options), **video.versions()}


def _parts(count: int) -> list[range]:
    return parts(count, BLOCK_VIDEOS)


def _files(videos: Sequence[VideoFile], shelf: Path) -> list[Path]:
    return [shelf / block_name(number) for number in range(len(_parts(len(videos))))]


def _is_made(file: Path, videos: Sequence[VideoFile], facts: Mapping[str, Any]) -> bool:
    """Whether a block is there that was made of the bytes that the videos must have."""
    return _has_stamp(file, _stamp(facts, [item.sha256 for item in videos]), [item.id for item in videos])


def _grids(videos: Sequence[VideoFile], count: int, shelf: Path, options: MotionOptions, jobs: int) -> Finished:
    """A file with the grid of each video; of `count`, all that cannot be used are listed in one error."""
    motion = Work(
        "motion",
        "video",
        counts="frames",
        refuse=lambda bad: BadVideosError(bad, count),
        crashed=lambda item: f"{item.path}: {CRASHED}. Leave it out of the lists.",
    )
    keep = Held(partial(_keep_grid, options=options), attrgetter("path"))
    return finish(videos, _file_name, keep, shelf, motion, jobs=jobs, is_finished=_is_finished)


def _write_block(file: Path, videos: Sequence[VideoFile], grids: Sequence[Path], facts: Mapping[str, Any]) -> None:
    """Write a block of finished grids, unless it is there."""
    clips, digests = zip(*map(read_clip, grids), strict=True)
    ids, stamp = [item.id for item in videos], _stamp(facts, digests)
    if not _has_stamp(file, stamp, ids):
        write_motion(file, list(zip(ids, clips, strict=True)), stamp)


def _stamp(facts: Mapping[str, Any], sha256: Sequence[str | None]) -> str:
    """Of a block: how it was made, and of which bytes."""
    return fingerprint(facts, sha256)


def _has_stamp(file: Path, stamp: str | None, ids: Sequence[str]) -> bool:
    try:
        header, _ = read_block(file)
    except StoreError:
        return False
    return header.stamp == stamp and header.ids == list(ids)


def _summary(out: Path, decoded: int) -> ExtractSummary:
    store = MotionStore.open(out)
    lost = store.column("field_blocks")
    if lost.any():
        first = int(np.flatnonzero(lost)[0])
        log.warning(
            "%d videos lose blocks that are coded as fields (interlaced), %d in all; first %s, %d blocks",
            *(np.count_nonzero(lost), lost.sum(), store.ids[first], lost[first]),
        )
    return ExtractSummary(len(store), decoded, int(store.column("count").sum()), int(store.column("clipped").sum()))


def _check_request(videos: Sequence[VideoFile], jobs: int) -> None:
    ids = [item.id for item in videos]
    if not ids:
        raise ParamsError("no videos to extract motion from")
    most_common, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise ParamsError(f"id '{most_common}' comes {times} times; ids must be unique")
    if jobs < 1:
        raise ParamsError(f"jobs must be 1 or more, got {jobs}")


def _file_name(item: VideoFile) -> str:
    return f"{fingerprint(item.id)}.grid"


def _keep_grid(item: VideoFile, file: Path, options: MotionOptions) -> int:
    """Decode a video and keep its grid; returns its number of frames."""
    if not item.path.is_file():
        raise VideoError(
            f"{item.path}: no such file. `dvc repro -f download` brings the videos, which DVC's cache never holds."
        )
    sha256 = sha256_file(item.path)
    if item.sha256 not in (None, sha256):
        raise VideoError(
            f"{item.path}: its bytes are not those of the manifest (SHA-256 {sha256[:12]}..., "
            f"stated {item.sha256[:12]}...). Restore it, or prepare the manifest again."
        )
    grid = read_grid(item.path, options, file.parent, damaged=item.damaged)
    # Flushing to disk one by one would cost a fifth of the time; `_is_finished` finds what a power failure tore.
    write_motion(file, [(item.id, grid)], sha256, flush=False)
    return len(grid.mv)


def _is_finished(item: VideoFile, file: Path) -> bool:
    stated = item.sha256
    if stated is None and file.is_file() and item.path.is_file():
        stated = sha256_file(item.path)
    return _has_stamp(file, stated, [item.id])
