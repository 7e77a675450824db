"""Processes that decode: each works on one video after another, held by the system to the limits of one.

A file that somebody sent is opened there and nowhere else. What it can take away is a worker, and the next video gets a
new one.
"""

import atexit
import importlib
import logging
import multiprocessing
import os
import pickle
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from moclip.base.errors import MoclipError, VideoError
from moclip.base.parallel import end_with_parent, starting_workers
from moclip.video.bounded import limits as bounds
from moclip.video.bounded import system
from moclip.video.bounded.limits import Limits

R = TypeVar("R")
T = TypeVar("T")

CRASHED = "its decoder crashes, or hangs for longer than limits.seconds"
"""What is known of a video that ended one of many processes."""

_ITEM, _LOG, _DONE, _ERROR = "item", "log", "done", "error"
_LATE_S = 5.0  # the parent's own clock, should the system's be late: an item that does not come
Message = tuple[str, Any]


def call(path: Path, do: Callable[..., R], *args: Any, **options: Any) -> R:
    """What `do` gives, computed by a decoding process.

    Args:
        path: The video, which a refusal names if the process ends.
        do: A function of a module; it, its arguments and its result are pickled.
        args, options: Its arguments.

    Raises:
        VideoError: the process crashed, or took more time or memory than the limits allow.
        MoclipError, OSError: what `do` raises.
    """
    if system.is_held():
        return do(*args, **options)
    with _lent() as worker:
        *_, result = worker.ask(path, _whole, (do, args, options))
        return result


def stream(path: Path, do: Callable[..., Iterator[R]], *args: Any, **options: Any) -> Generator[R, None, None]:
    """The items that the generator `do` gives, as they come; what is done with them meanwhile takes none of its time.

    Args, errors: as for `call`.
    """
    if system.is_held():
        yield from do(*args, **options)
        return
    with _lent() as worker:
        yield from worker.ask(path, do, (*args,), options)


class Held(Generic[T, R]):
    """Work on one of many videos, for `moclip.base.work`: each of its processes is held to the limits while it works,
    and where it works in this process, a decoding process does it.

    Args:
        do: A function of a module, or a `partial` of one; its first argument is the task.
        path_of: The video of a task; a function of a module, too.
    """

    def __init__(self, do: Callable[..., R], path_of: Callable[[T], Path]) -> None:
        self.do, self.path_of, self.limits = do, path_of, bounds.current()

    def __call__(self, task: T, *rest: Any) -> R:
        """As the function.

        Raises:
            VideoError: more memory is needed than the limits allow; and as `call`, and the function.
        """
        path = self.path_of(task)
        if multiprocessing.parent_process() is None:
            with bounds.using(self.limits):
                return call(path, self.do, task, *rest)
        bounds.use(self.limits)
        try:
            with system.hold(self.limits):
                return self.do(task, *rest)
        except MemoryError as error:
            raise _out_of_memory(path) from error


def _whole(do: Callable[..., R], args: tuple[Any, ...], options: dict[str, Any]) -> Iterator[R]:
    yield do(*args, **options)


class _Worker:
    """One process and the pipe to it; used by one thread at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # not forked: the calling process may run threads
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _starting, starting_workers():
            self._process.start()
        theirs.close()
        self.is_idle = True

    def ask(
        self, path: Path, do: Callable[..., Iterator[R]], args: tuple[Any, ...], options: dict[str, Any] | None = None
    ) -> Iterator[R]:
        """Items of a generator that runs there."""
        limits = bounds.current()
        self.is_idle = False
        try:
            self._pipe.send_bytes(pickle.dumps((limits, str(Path.cwd()), do, args, options or {})))
            while (message := self._next(path, limits))[0] in (_ITEM, _LOG):
                if message[0] == _ITEM:
                    yield message[1]
                elif (logger := logging.getLogger(message[1].name)).isEnabledFor(message[1].levelno):
                    logger.handle(message[1])
        except (EOFError, ConnectionError) as error:
            raise VideoError(f"{path}: {self._end(limits)}.") from error
        self.is_idle = True
        if message[0] == _ERROR:
            raise _out_of_memory(path) if isinstance(message[1], MemoryError) else message[1]

    def _next(self, path: Path, limits: Limits) -> Message:
        if not self._pipe.poll(limits.seconds + system.GRACE_S + _LATE_S):
            raise bounds.out_of_time(path)  # the worker is busy yet, and goes
        message: Message = self._pipe.recv()
        return message

    def _end(self, limits: Limits) -> str:
        self._process.join(timeout=_LATE_S)
        return system.ended_by(self._process.exitcode, limits)

    @property
    def is_alive(self) -> bool:
        return self.is_idle and self._process.is_alive()

    def close(self) -> None:
        """End the process, whatever it does."""
        self._pipe.close()
        if self._process.is_alive():
            self._process.kill()
        self._process.join()


_idle: list[_Worker] = []
_lock = threading.Lock()
_starting = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # they are the parent's


def start_early() -> None:
    """Start a process that will be asked soon, so that it imports meanwhile."""
    if system.is_held():
        return
    with _lock:
        is_there = bool(_idle)
    if not is_there:
        worker = _Worker()
        with _lock:
            _idle.append(worker)


@contextmanager
def _lent() -> Iterator[_Worker]:
    """A worker that is idle, or a new one; back it goes unless it was left in the middle of something."""
    worker = _take()
    try:
        yield worker
    finally:
        if worker.is_alive:
            with _lock:
                _idle.append(worker)
        else:
            worker.close()


def _take() -> _Worker:
    with _lock:
        while _idle:
            if (worker := _idle.pop()).is_alive:
                return worker
            worker.close()
    return _Worker()


@atexit.register
def close_idle() -> None:
    """End the workers that nobody uses."""
    with _lock:
        while _idle:
            _idle.pop().close()


def _serve(pipe: Connection) -> None:
    """The life of a worker: one task after another, until the parent is gone."""
    end_with_parent()
    importlib.import_module("moclip.video.decode")  # before the first video comes
    logging.basicConfig(level=logging.INFO, handlers=[_Teller(pipe)])
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_answer(pipe, pipe.recv_bytes()))


def _answer(pipe: Connection, asked: bytes) -> Message:
    """Do what the parent asks; the last message."""
    try:
        limits, folder, do, args, options = pickle.loads(asked)
        os.chdir(folder)  # relative names count from where the parent is now
    except Exception as error:
        return _ERROR, _portable(error)
    bounds.use(limits)
    return _outcome(pipe, limits, do, args, options)


class _Teller(logging.Handler):
    """Hands on what is logged here."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, its arguments written out."""
        record.msg, record.args = record.getMessage(), None
        with system.paused():
            self.pipe.send((_LOG, record))


def _outcome(
    pipe: Connection, limits: Limits, do: Callable[..., Iterator[Any]], args: tuple[Any, ...], options: dict[str, Any]
) -> Message:
    """Send all items; the last message is returned, since limits hold no more when it is sent."""
    try:
        with system.hold(limits):
            for item in do(*args, **options):
                with system.paused():
                    pipe.send((_ITEM, item))
    except (MemoryError, Exception) as error:
        return _ERROR, _portable(error)
    return _DONE, None


def _out_of_memory(path: Path) -> VideoError:
    return VideoError(f"{path}: {bounds.current().refusal('memory_mib', 'it takes too much memory')}.")


def _portable(error: Exception) -> Exception:
    """An error that another process can raise, with where it came from."""
    with suppress(Exception):
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            if not isinstance(error, MoclipError):  # that says all in its message
                error.add_note("".join(traceback.format_exception(error)))
            return error
    return RuntimeError("".join(traceback.format_exception(error)))
