"""The motion of many videos into one store: parallel over files, safe to kill and start again.

Each video's grid is kept in the work directory as soon as it is done, so a later call takes it from there. Blocks of
the store are written from these files, in the order of the videos, and joined at the end. Frames that are asked for are
kept by the same pass, in blocks of the same videos.
"""

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from moclip.cluster.journal import Journal
from moclip.motion.grid import CELL_SIZES_PX, DISTANCES, REFERENCES, MotionGrid, check_choice, rasterise
from moclip.motion.store import BLOCK_VIDEOS, MotionStore, join_motion, read_clip, write_motion
from moclip.store.blocks import FORMAT_VERSION, block_name, parts, read_block
from moclip.store.disks import scratch
from moclip.store.pictures import Pictures, join_pictures, pictures_in, read_pictures, write_pictures
from moclip.store.spool import Spool, pieces
from moclip.store.table import Rows
from moclip.video import decode as video
from moclip.video import reencode
from moclip.video.bounded.worker import CRASHED, Held, stream
from moclip.video.file.shard import find
from moclip.video.vectors import MotionVectors

log = logging.getLogger(__name__)

REENCODED = "reencoded"
SOURCES = ("original", REENCODED)


@dataclass(frozen=True)
class VideoFile:
    """A video to extract; `sha256` is what its bytes must hash to, None where nobody has said.

    Of one that is `damaged`, as the manifest says, what decodes before the damage is taken. `keep` are positions of the
    frames that are kept beside its motion, ascending.
    """

    id: str
    path: Path
    sha256: str | None = None
    damaged: bool = False
    keep: tuple[int, ...] = ()


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
    middle: video.Watcher | None = None,
    *,
    damaged: bool = False,
) -> MotionGrid:
    """The motion of one video.

    Args:
        path: A video file.
        options: Grid, reference and source.
        scratch: Where a re-encoded video, and the grid of a long one, may lie for the time being; default is the
            system's place.
        middle: Keeps frames of the video on the way.
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
    pictures: Path | None = None,
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
        pictures: A directory that gets a store of the frames that each video is to `keep` (`PictureStore`), and has its
            blocks, which later calls take from there, whatever their options; all see it at the same path. Without it
            none are kept.

    Raises:
        NodeError: a node has another decoder, or the scheduler is gone.
        SharedOutError: a share is done.
        VideoError: videos cannot be used; the message lists all of them. `out` is left as it was.
        ParamsError: no videos, an id twice, or `jobs` below 1.
    """
    _check_request(videos, jobs, pictures is not None)
    if pictures:
        remove_left_overs(pictures)
    facts = made_by(options)
    place, doing = work / fingerprint(facts, FORMAT_VERSION), "extracts the same"
    if cluster:
        with cluster.hold(place, doing) as shelf:
            blocks = _blocks(videos, shelf, pictures)
            made = _made_by_nodes(blocks, options, cluster, cluster.journal(shelf))
            digests = list(zip(*(block.sha256 for block in made), strict=True))
            _join(out, blocks, facts, pictures, digests)
        return _summary(out, sum(block.decoded for block in made))
    with alone_in(place, doing) as shelf:
        blocks = _blocks(videos, shelf, pictures)
        waiting = [left for block in blocks if (left := block.unfinished(facts))]
        grids = _grids([item for block in waiting for item in block.videos], len(videos), shelf, options, jobs)
        kept = iter(grids.files)
        for block in Progress(waiting, desc="store", unit="block"):
            _write_block(block, list(islice(kept, len(block.videos))), facts)
        _join(out, blocks, facts, pictures)
    return _summary(out, grids.made)


@dataclass(frozen=True)
class Block:
    """Some videos in order: the file of their motion, and that of the frames that are kept of them, if any are."""

    file: Path
    pictures: Path | None
    videos: Sequence[VideoFile]

    @property
    def files(self) -> list[Path]:
        """Those that there are when it is finished."""
        return [self.file, *([self.pictures] if self.pictures else [])]

    @property
    def ids(self) -> list[str]:
        """Of its videos."""
        return [item.id for item in self.videos]

    def unfinished(self, facts: Mapping[str, Any]) -> "Block | None":
        """What is to do: the block, without frames where those are there already; None where all is there.

        A file counts that was made of the bytes that the videos must have.
        """
        stated = [item.sha256 for item in self.videos]
        if self.pictures and not _has_stamp(self.pictures, self.pictures_stamp(stated), self.ids):
            return self
        if _has_stamp(self.file, _stamp(facts, stated), self.ids):
            return None
        return Block(self.file, None, [replace(item, keep=()) for item in self.videos])

    def known(self, journal: Journal, facts: Mapping[str, Any]) -> "MadeBlock | None":
        """What is known of it where it is finished, so that nobody reads it."""
        if not self.file.exists() or any(item.sha256 is None for item in self.videos):
            return None
        found = journal.digests(self.key(facts), self.files)
        return MadeBlock(found, 0) if found else None

    def key(self, facts: Mapping[str, Any]) -> str:
        """Stands for what its files are made of, as far as it is stated."""
        videos = self.videos
        return fingerprint(facts, self.ids, [item.sha256 for item in videos], [item.keep for item in videos])

    def pictures_stamp(self, sha256: Sequence[str | None]) -> str:
        """Of the file of frames: which they are, and of which bytes."""
        return _stamp(video.versions(), [sha256, [item.keep for item in self.videos]])


@dataclass(frozen=True)
class BlockTask:
    """A block that a node is to make: `videos` without the folder `root`, so that the message is small."""

    file: Path
    pictures: Path | None
    root: Path
    videos: Sequence[tuple[str, str, str | None, bool, tuple[int, ...]]]
    options: MotionOptions

    @property
    def block(self) -> Block:
        """The block as this machine sees it."""
        videos = [
            VideoFile(id_, self.root / path, sha256, damaged, keep) for id_, path, sha256, damaged, keep in self.videos
        ]
        return Block(self.file, self.pictures, videos)


@dataclass(frozen=True)
class MadeBlock:
    """What came of it: digests of its files and how many videos were decoded for it, or why it was not made."""

    sha256: tuple[str, ...]
    decoded: int
    bad: tuple[str, ...] = ()


class BadVideosError(VideoError):
    """Videos that cannot be used, all of them."""

    def __init__(self, messages: Sequence[str], count: int) -> None:
        super().__init__(f"{len(messages)} of {count} videos cannot be used:\n  " + "\n  ".join(messages))
        self.messages = tuple(messages)


def _blocks(videos: Sequence[VideoFile], shelf: Path, pictures: Path | None) -> list[Block]:
    return [
        Block(shelf / name, pictures / name if pictures else None, videos[own.start : own.stop])
        for own, name in ((own, block_name(number)) for number, own in enumerate(parts(len(videos), BLOCK_VIDEOS)))
    ]


def _join(
    out: Path,
    blocks: Sequence[Block],
    facts: Mapping[str, Any],
    pictures: Path | None,
    digests: Sequence[Sequence[str] | None] = (None, None),
) -> None:
    """Make the stores of finished blocks; `digests` are those of the motion's blocks, and of the frames'."""
    if pictures:
        files = [block.pictures for block in blocks if block.pictures]
        join_pictures(pictures_in(pictures), files, video.versions(), digests[1])
    join_motion(out, [block.file for block in blocks], facts, digests[0])


def _made_by_nodes(
    blocks: Sequence[Block], options: MotionOptions, cluster: Engine, journal: Journal
) -> list[MadeBlock]:
    facts = made_by(options)
    known = {number: found for number, block in enumerate(blocks) if (found := block.known(journal, facts))}
    waiting = _tasks([block for number, block in enumerate(blocks) if number not in known], options)

    def keep(task: BlockTask, made: MadeBlock) -> None:
        if made.sha256:
            block = task.block
            journal.add(block.key(facts), block.files, made.sha256)

    progress = Work("motion", "video", size=lambda task: len(task.videos))
    made = cluster.gather(waiting, make_block, progress, partial(made_by, options), on_result=keep)
    if bad := [message for block in made for message in block.bad]:
        raise BadVideosError(bad, sum(len(block.videos) for block in blocks))
    cluster.seen([file for block in blocks for file in block.files])  # a share has not made them all, and ends here
    rest = iter(made)
    return [known.get(number) or next(rest) for number in range(len(blocks))]


def _tasks(blocks: Sequence[Block], options: MotionOptions) -> list[BlockTask]:
    root = _root(blocks) if blocks else ""
    return [
        BlockTask(
            block.file,
            block.pictures,
            Path(root),
            Rows(partial(_row, root, block.videos), range(len(block.videos))),
            options,
        )
        for block in blocks
    ]


def _root(blocks: Sequence[Block]) -> str:
    """The folder of all videos: what the first and the last name have in common, those between have too."""
    names = ([str(item.path) for item in block.videos] for block in blocks)
    ends = [end for own in names for end in (min(own), max(own))]
    return os.path.commonpath([Path(path).parent for path in (min(ends), max(ends))])


def _row(root: str, videos: Sequence[VideoFile], place: int) -> tuple[str, str, str | None, bool, tuple[int, ...]]:
    item = videos[place]
    return item.id, str(item.path).removeprefix(f"{root}/"), item.sha256, item.damaged, item.keep


def make_block(task: BlockTask) -> MadeBlock:
    """Make a block on this machine, unless it is there. Videos that cannot be used are an answer, not an error.

    Raises:
        StoreError: a file of it came meanwhile and has other bytes: two machines do not decode alike.
    """
    whole, facts = task.block, made_by(task.options)
    block, decoded = whole.unfinished(facts), 0
    if block is not None:
        remove_left_overs(scratch())
        with tempfile.TemporaryDirectory(dir=scratch(), prefix=temporary_name("grids")) as shelf:
            try:
                grids = _grids(block.videos, len(block.videos), Path(shelf), task.options, cores())
            except BadVideosError as error:
                return MadeBlock((), 0, error.messages)
            _write_block(block, grids.files, facts)
            decoded = grids.made
    return MadeBlock(tuple(map(sha256_file, whole.files)), decoded)


def made_by(options: MotionOptions) -> dict[str, Any]:
    """What a store says of how it was made: the options, and versions of the decoder."""
    return {**asdict(options), **video.versions()}


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


def _write_block(block: Block, grids: Sequence[Path], facts: Mapping[str, Any]) -> None:
    """Write a block of finished grids, and of the frames that were kept with them."""
    clips, digests = zip(*map(read_clip, grids), strict=True)
    if block.pictures:
        kept = list(map(_pictures_file, block.videos, grids))
        pictures = [found for found, _ in map(read_pictures, kept)]
        _write_once(block.pictures, block.ids, pictures, block.pictures_stamp(digests), write_pictures)
        for file in kept:
            file.unlink()  # they are large, and the block has them
    _write_once(block.file, block.ids, clips, _stamp(facts, digests), write_motion)


def _write_once(file: Path, ids: Sequence[str], values: Sequence[Any], stamp: str, write: Callable[..., None]) -> None:
    """Write a file, unless it is there.

    Raises:
        StoreError: it came meanwhile and has other bytes: two machines do not decode alike.
    """
    if _has_stamp(file, stamp, ids):
        return
    with atomic_path(file) as temporary:
        write(temporary, list(zip(ids, values, strict=True)), stamp, flush=False)
        if _has_stamp(file, stamp, ids) and sha256_file(file) != sha256_file(temporary):
            raise StoreError(f"{file}: another node made it of the same videos, with other bytes")


def _stamp(facts: Mapping[str, Any], of: Any) -> str:
    """Of a block: how it was made, and of which bytes."""
    return fingerprint(facts, of)


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


def _check_request(videos: Sequence[VideoFile], jobs: int, keeps: bool) -> None:
    ids = [item.id for item in videos]
    if not ids:
        raise ParamsError("no videos to extract motion from")
    most_common, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise ParamsError(f"id '{most_common}' comes {times} times; ids must be unique")
    if jobs < 1:
        raise ParamsError(f"jobs must be 1 or more, got {jobs}")
    if keeps and (idle := next((item.id for item in videos if not item.keep), None)):
        raise ParamsError(f"frames are to be kept, and none is named of '{idle}'")


def _file_name(item: VideoFile) -> str:
    return f"{fingerprint(item.id)}.grid"


def _pictures_file(item: VideoFile, grid: Path) -> Path:
    """What is kept of a video beside the file of its grid."""
    return grid.with_name(f"{fingerprint(item.id, item.keep)}.pictures")


def _keep_grid(item: VideoFile, file: Path, options: MotionOptions) -> int:
    """Decode a video, keep its grid and the frames that it is to keep; returns its number of frames."""
    place = find(item.path)
    if place is None:
        raise VideoError(
            f"{item.path}: no such file. `dvc repro -f download` brings the videos, which DVC's cache never holds."
        )
    sha256 = place.sha256()
    if item.sha256 not in (None, sha256):
        raise VideoError(
            f"{item.path}: its bytes are not those of the manifest (SHA-256 {sha256[:12]}..., "
            f"stated {item.sha256[:12]}...). Restore it, or prepare the manifest again."
        )
    chosen = video.Chosen(item.keep) if item.keep else None
    grid = read_grid(item.path, options, file.parent, chosen, damaged=item.damaged)
    if chosen:
        pictures = Pictures(np.array(item.keep), chosen.pictures(item.path))
        write_pictures(_pictures_file(item, file), [(item.id, pictures)], sha256, flush=False)
    # Flushing to disk one by one would cost a fifth of the time; `_is_finished` finds what a power failure tore.
    write_motion(file, [(item.id, grid)], sha256, flush=False)
    return len(grid.mv)


def _is_finished(item: VideoFile, file: Path) -> bool:
    stated = item.sha256
    if stated is None and file.is_file() and (place := find(item.path)):
        stated = place.sha256()
    files = [file, *([_pictures_file(item, file)] if item.keep else [])]
    return all(_has_stamp(one, stated, [item.id]) for one in files)
