"""What the system holds this process to while it decodes one video: address space, processor time, and a clock.

A process that breaks a limit of time ends, whatever it is doing; memory that is refused is an error in the decoder.
Only processes that decode and do nothing else call `hold`. Systems without these calls leave the limits to the
decoder's own checks, which see frames and time between packets alone.
"""

import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moclip.video.bounded.limits import MIB, Limits

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

OPENING_MIB = 320  # for headers and tables: a film of ten hours takes 60 MB, and pictures that are looked at the rest
GRACE_S = 2.0  # the decoder's own clock is asked first, since it says more
_PAGES, _STATUS = Path("/proc/self/statm"), Path("/proc/self/status")

_base: int | None = None  # bytes of address space that this process had before its first video


def is_held() -> bool:
    """Whether this process decodes under the system's limits."""
    return _base is not None


@contextmanager
def hold(limits: Limits) -> Iterator[None]:
    """Bind this process for the length of one video."""
    global _base  # noqa: PLW0603 - a property of the process
    if _base is None:
        _base = _address_space()
    _bound_memory(_base + limits.memory_mib * MIB)
    _bound_processor(limits.seconds + GRACE_S)
    _set_alarm(limits.seconds + GRACE_S)
    try:
        yield
    finally:
        _set_alarm(0)
        _bound_memory(None)


@contextmanager
def opening() -> Iterator[None]:
    """Bind memory more tightly while a file is opened, when FFmpeg makes its tables before anybody can look at them."""
    if _base is None or resource is None:
        yield
        return
    before, _ = resource.getrlimit(resource.RLIMIT_AS)
    tight = _address_space() + OPENING_MIB * MIB
    _bound_memory(tight if before == resource.RLIM_INFINITY else min(before, tight))
    try:
        yield
    finally:
        _bound_memory(before)


@contextmanager
def paused() -> Iterator[None]:
    """Stop the alarm while another process works on what was decoded."""
    left = signal.setitimer(signal.ITIMER_REAL, 0)[0] if is_held() and hasattr(signal, "setitimer") else 0.0
    try:
        yield
    finally:
        if left:
            _set_alarm(left)


def peak_mb() -> float:
    """Most memory that this process had so far, in MB (Linux); `ru_maxrss` would count what started it."""
    (line,) = (line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1000


def ended_by(exit_code: int | None, limits: Limits) -> str:
    """Why a process that was held has ended."""
    if exit_code is not None and -exit_code in _TIME:
        return limits.refusal("seconds", f"decoding took more than {limits.seconds:g} s")
    is_signal = exit_code is not None and -exit_code in set(signal.Signals)
    how = signal.Signals(-(exit_code or 0)).name if is_signal else f"status {exit_code}"
    return f"its decoder crashes ({how}). Leave it out, or convert it once with a tool that reads it"


_TIME = tuple(int(getattr(signal, name)) for name in ("SIGALRM", "SIGXCPU") if hasattr(signal, name))


def _address_space() -> int:
    try:
        return int(_PAGES.read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):  # no /proc: what it has is not known, so that the limit stands above it
        return 4 << 30


def _bound_memory(limit: int | None) -> None:
    if resource is not None:
        _set_soft(resource.RLIMIT_AS, limit)


def _bound_processor(seconds: float) -> None:
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _set_soft(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + seconds) + 1)


def _set_soft(kind: int, limit: int | None) -> None:
    """Set a limit that may be raised again, at most to what whoever started this allows."""
    hard = resource.getrlimit(kind)[1]
    unbounded = resource.RLIM_INFINITY
    wanted = unbounded if limit is None or limit == unbounded else limit
    resource.setrlimit(kind, (hard if wanted == unbounded or (hard != unbounded and wanted > hard) else wanted, hard))


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
