"""What one video may cost to decode: numbers that every real clip stays far below, and how a refusal names them.

They hold for the whole process, as the system's own limits do, so that no reader of a video can leave them out.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

from moclip.base.errors import ParamsError, VideoError

GIB, MIB = 1 << 30, 1 << 20
SEPARATOR = "="
HOW = "raise it in params.yaml, or for a command with `--limit {name}=N`"


@dataclass(frozen=True)
class Limits:
    """Of one video.

    Attributes:
        pixels: Of a picture, width times height, also while a file is opened; beyond it picture buffers pass 1 GB.
        frames: That are decoded: 55 minutes at 30 frames a second.
        decoded_gib: Of all pictures as they are decoded: an hour of 480 x 360, or 10 minutes of 1920 x 1080.
        seconds: From opening a file to its end, of the decoding alone and not of what is made of its pictures.
        memory_mib: That the decoding process may take beside what it had before, where the system can bound it.
    """

    pixels: int = 1 << 24
    frames: int = 100_000
    decoded_gib: float = 45.0
    seconds: float = 600.0
    memory_mib: int = 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise ParamsError(f"limits.{field.name} is {value}; it must be a number above 0")

    def refusal(self, name: str, found: str) -> str:
        """Why a video is refused, as a sentence: what was found, the limit, its parameter, how it is raised."""
        limit = getattr(self, name)
        return f"{found}, the limit is {limit} (limits.{name}). If you trust the file, {HOW.format(name=name)}"


DEFAULTS = Limits()
FILMS = Limits(frames=4_000_000, decoded_gib=16_384.0, seconds=12 * 3600.0)
"""For long films, of which search holds no more than a few pictures."""

_NUMBERS: dict[Any, str] = {int: "whole number", float: "number"}
_current = DEFAULTS


def current() -> Limits:
    """The limits of this process."""
    return _current


def use(limits: Limits) -> None:
    """Set the limits of this process, and of the decoding processes that it starts."""
    global _current  # noqa: PLW0603 - a property of the process
    _current = limits


@contextmanager
def using(limits: Limits) -> Iterator[None]:
    """Set the limits for a block."""
    before = current()
    use(limits)
    try:
        yield
    finally:
        use(before)


def parse(texts: Sequence[str], base: Limits | None = None) -> Limits:
    """Limits from `NAME=NUMBER`; what is not named is as in `base`.

    Raises:
        ParamsError: no such limit, or no number above 0.

    >>> parse(["frames=10"]).frames
    10
    """
    kinds: dict[str, Any] = {field.name: type(getattr(DEFAULTS, field.name)) for field in fields(Limits)}
    found: dict[str, Any] = {}
    for text in texts:
        name, separator, number = text.partition(SEPARATOR)
        if not separator or name not in kinds:
            raise ParamsError(f"limit '{text}': must be NAME=NUMBER, with a NAME of {', '.join(kinds)}")
        try:
            found[name] = kinds[name](number)
        except ValueError as error:
            raise ParamsError(f"limit '{text}': '{number}' is no {_NUMBERS[kinds[name]]}") from error
    return replace(base or Limits(), **found)


class Clock:
    """The time that decoding takes, without what is done with its pictures meanwhile."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Time that does not count."""
        before = time.monotonic()
        try:
            yield
        finally:
            self._start += time.monotonic() - before

    @property
    def seconds(self) -> float:
        """That were taken."""
        return time.monotonic() - self._start


def out_of_time(name: object) -> VideoError:
    """The error of a video that took too long."""
    limits = current()
    return VideoError(f"{name}: {limits.refusal('seconds', f'decoding took more than {limits.seconds:g} s')}.")
