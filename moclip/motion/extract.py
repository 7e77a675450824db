"""The motion of many videos into one store: parallel over files, safe to kill and start again.

Each video's grid is kept in the work directory as soon as it is done, so a later call takes it from there. The store is
written from these files at the end, in the order of the videos.
"""

import json
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from moclip.base.errors import ParamsError, VideoError
from moclip.base.files import fingerprint, remove, sha256_file
from moclip.base.locks import alone_in
from moclip.base.progress import Progress
from moclip.motion.grid import CELL_SIZES_PX, REFERENCES, MotionGrid, check_choice, rasterise
from moclip.motion.store import MotionStore, write_store
from moclip.video import decode as video
from moclip.video import reencode

log = logging.getLogger(__name__)

SOURCES = ("original", "reencoded")
_QUEUED_PER_JOB = 4  # enough that no process waits for the next video


@dataclass(frozen=True)
class VideoFile:
    """A video to extract; `sha256` is what its bytes must hash to, None where nobody has said."""

    id: str
    path: Path
    sha256: str | None = None


@dataclass(frozen=True)
class MotionOptions:
    """What shapes a grid: `moclip.motion.grid.rasterise` says how, `moclip.video.reencode` what "reencoded" means."""

    cell_px: int = 16
    reference: str = "backward"
    source: str = "original"

    def __post_init__(self) -> None:
        check_choice("cell_px", self.cell_px, CELL_SIZES_PX)
        check_choice("reference", self.reference, REFERENCES)
        check_choice("source", self.source, SOURCES)


@dataclass(frozen=True)
class ExtractSummary:
    """What a call did: `decoded` videos were read now, the others were found finished."""

    videos: int
    decoded: int
    frames: int
    clipped_cells: int


class _Task(NamedTuple):
    video: VideoFile
    finished: Path
    options: MotionOptions


class _Outcome(NamedTuple):
    frames: int
    failure: str | None


def read_grid(
    path: Path, options: MotionOptions, scratch: Path | None = None, middle: video.Middle | None = None
) -> MotionGrid:
    """The motion of one video.

    Args:
        path: A video file.
        options: Grid, reference and source.
        scratch: Where a re-encoded video may lie for the time being; default is the system's place.
        middle: Keeps the video's middle frame on the way.

    Raises:
        VideoError: the video cannot be read, with its name, the reason and a remedy.
    """
    if options.source == "original":
        return rasterise(video.stream_motion(path, middle=middle), options.cell_px, options.reference)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".") as folder:
        encoded = Path(folder) / "reencoded.avi"
        fps = reencode.reencode(path, encoded, middle)
        try:
            grid = rasterise(video.stream_motion(encoded), options.cell_px, options.reference)
        except VideoError as error:
            raise VideoError(str(error).replace(str(encoded), f"{path}, re-encoded")) from error
        return replace(grid, fps=fps)


def extract(videos: Sequence[VideoFile], out: Path, work: Path, options: MotionOptions, *, jobs: int) -> ExtractSummary:
    """Extract the motion of `videos` into a store at `out`.

    Args:
        videos: In the order that the store is to have.
        out: The store's directory; it appears when everything is in it.
        work: A directory for finished videos. Calls that share it wait for each other and share what is done. It may
            be removed whenever no call is running; what it held is then decoded again.
        options: What shapes the grids.
        jobs: Worker processes; 1 works in this process. The store does not depend on it.

    Raises:
        VideoError: videos cannot be used; the message lists all of them. `out` is left as it was.
        ParamsError: no videos, an id twice, or `jobs` below 1.
    """
    _check_request(videos, jobs)
    made_by = {**asdict(options), **video.versions()}
    shelf = work / fingerprint(made_by)
    shelf.mkdir(parents=True, exist_ok=True)
    tasks = [_Task(item, shelf / f"{fingerprint(item.id)}.grid", options) for item in videos]
    with alone_in(shelf, "another extraction works in %s; waiting, to use what it finishes"):
        # Hidden names are of files in the making, left by a call that was killed.
        for left_over in shelf.glob(".*"):
            remove(left_over)
        waiting = [task for task in tasks if not _is_finished(task)]
        log.info("%d of %d videos were finished before", len(tasks) - len(waiting), len(tasks))
        _run(waiting, len(tasks), jobs)
        kept = Progress(tasks, desc="store", unit="video")
        write_store(out, ((task.video.id, _read(task.finished)) for task in kept), made_by)
    counts = MotionStore.open(out).meta["counts"]
    return ExtractSummary(len(tasks), len(waiting), counts["frames"], counts["clipped_cells"])


def _check_request(videos: Sequence[VideoFile], jobs: int) -> None:
    ids = [item.id for item in videos]
    if not ids:
        raise ParamsError("no videos to extract motion from")
    most_common, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise ParamsError(f"id '{most_common}' comes {times} times; ids must be unique")
    if jobs < 1:
        raise ParamsError(f"jobs must be 1 or more, got {jobs}")


def _run(tasks: Sequence[_Task], total: int, jobs: int) -> None:
    """Finish the tasks; afterwards one error lists every video that failed."""
    failures: dict[str, str] = {}
    frames = 0
    outcomes = ((task, _work(task)) for task in tasks) if jobs == 1 else _spread(tasks, jobs)
    with Progress(total=len(tasks), desc="motion", unit="video", disable=not tasks) as bar:
        for task, outcome in outcomes:
            frames += outcome.frames
            if outcome.failure is not None:
                failures[task.video.id] = outcome.failure
            bar.set_postfix_str(f"{frames / bar.seconds:.0f} frames/s, {len(failures)} bad", False)
            bar.update()
    if failures:
        lines = [failures[task.video.id] for task in tasks if task.video.id in failures]
        raise VideoError(f"{len(lines)} of {total} videos cannot be used:\n  " + "\n  ".join(lines))


def _work(task: _Task) -> _Outcome:
    """Finish one video; a video that cannot be used is an outcome, not an error, so that all get listed."""
    path, stated = task.video.path, task.video.sha256
    try:
        if not path.is_file():
            raise VideoError(f"{path}: no such file. Bring it back, or leave it out of the lists.")
        sha256 = sha256_file(path)
        if stated not in (None, sha256):
            raise VideoError(
                f"{path}: its bytes are not those of the manifest (SHA-256 {sha256[:12]}..., "
                f"stated {stated[:12]}...). Restore it, or prepare the manifest again."
            )
        grid = read_grid(path, task.options, task.finished.parent)
    except VideoError as error:
        return _Outcome(0, str(error))
    _keep(task.finished, grid, sha256)
    return _Outcome(len(grid.mv), None)


def _keep(finished: Path, grid: MotionGrid, sha256: str) -> None:
    facts = {
        "sha256": sha256,
        "clipped": grid.clipped,
        "cell_px": grid.cell_px,
        "width": grid.width,
        "height": grid.height,
        "fps": grid.fps,
    }
    content = save({"mv": grid.mv, "state": grid.state}, {"facts": json.dumps(facts)})
    # Not flushed to disk one by one, which would cost a fifth of the time: a file that a power failure tore
    # is found out when it is read, and its video decoded again.
    temporary = finished.with_name(f".{finished.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(finished)


def _is_finished(task: _Task) -> bool:
    try:
        with safe_open(task.finished, "np") as file:
            kept = json.loads(file.metadata()["facts"])["sha256"]
    except (OSError, SafetensorError):
        return False
    stated = task.video.sha256
    if stated is None and task.video.path.is_file():
        stated = sha256_file(task.video.path)
    return bool(kept == stated)


def _read(finished: Path) -> MotionGrid:
    with safe_open(finished, "np") as file:
        facts = json.loads(file.metadata()["facts"])
        del facts["sha256"]
        return MotionGrid(mv=file.get_tensor("mv"), state=file.get_tensor("state"), **facts)


def _spread(tasks: Sequence[_Task], jobs: int) -> Iterator[tuple[_Task, _Outcome]]:
    """Outcomes as they come from `jobs` processes; a video that kills its process is found and named."""
    waiting = deque(tasks)
    flying: dict[Future[_Outcome], _Task] = {}
    pool = _pool(jobs)
    try:
        while waiting or flying:
            _submit(pool, waiting, flying, _QUEUED_PER_JOB * jobs)
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            if not flying or any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                suspects = list(flying.values())
                flying.clear()
                pool = _pool(jobs)
                yield from ((task, _in_own_process(task)) for task in suspects)
            for future in done & flying.keys():
                yield flying.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, waiting: deque[_Task], flying: dict[Future[_Outcome], _Task], most: int) -> None:
    """Hand on tasks until `most` are under way; none to a pool that has lost a process."""
    while waiting and len(flying) < most:
        try:
            with _deaf_to_ctrl_c():
                future = pool.submit(_work, waiting[0])
        except BrokenProcessPool:
            return
        flying[future] = waiting.popleft()


def _in_own_process(task: _Task) -> _Outcome:
    with _pool(1) as pool:
        try:
            with _deaf_to_ctrl_c():
                future = pool.submit(_work, task)
            return future.result()
        except BrokenProcessPool:
            path = task.video.path
            return _Outcome(0, f"{path}: its decoder crashes. Leave it out of the lists.")


def _pool(jobs: int) -> ProcessPoolExecutor:
    # Not forked: the calling process may run threads, of PyTorch for one.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Workers that start here never see Ctrl-C, not even while they import: the parent sees it, and ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
