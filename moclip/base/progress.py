"""Progress of long work: a bar on a terminal, plain lines elsewhere, nothing where INFO messages are not wanted.

Whether it shows follows the logging level alone, so a program that says nothing of logging sees nothing.
"""

import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

log = logging.getLogger(__name__)

LINE_SECONDS = 10.0  # between two lines where there is no terminal
_place: ContextVar[str] = ContextVar("place", default="")
_STAGE = "DVC_STAGE"  # DVC says so to what it runs
_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
_LINE = "{desc}: {n_fmt}/{total_fmt}{unit} ({percentage:.0f} %), {rate_noinv_fmt}, {remaining} left{postfix}"
_LAST = "{desc}: {n_fmt}/{total_fmt}{unit} in {elapsed}, {rate_noinv_fmt}{postfix}"


@contextmanager
def one_of(unit: str, number: int, count: int) -> Iterator[None]:
    """Say in all lines of a block which of several it works on: `training 3 of 15`. Of one alone nothing is said."""
    token = _place.set(f"{unit} {number} of {count}" if count > 1 else "")
    try:
        yield
    finally:
        _place.reset(token)


class Progress(tqdm):
    """tqdm with counts, rate and time left, in the form that standard error can show.

    Used as tqdm is: around an iterable, or as a context manager with `total` and `update`. Without a terminal a line is
    logged every `LINE_SECONDS`, and one at the end.
    """

    monitor_interval = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        shown = log.isEnabledFor(logging.INFO)
        self.in_lines = not _has_room_for_a_bar()
        unit = options.get("unit", "it")
        if unit != "B":
            options["unit"] = f" {unit}"
        if self.in_lines:
            # The text goes to the log instead.
            options |= {"file": io.StringIO(), "mininterval": LINE_SECONDS, "bar_format": _LINE}
        else:
            options |= {"file": sys.stderr, "dynamic_ncols": True, "bar_format": _BAR}
        # Stages of DVC run side by side: each line says whose it is.
        if place := _place.get():
            options["desc"] = f"{options.get('desc') or ''} ({place})"
        if stage := os.environ.get(_STAGE, "").rpartition(":")[2]:
            options["desc"] = f"{stage}: {options.get('desc') or ''}".removesuffix(": ")
        # Whether it is time for some text is asked at every update (miniters), so that no thread need ask too.
        options["miniters"] = 1
        super().__init__(*args, **{**options, "disable": options.get("disable") or not shown})

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        """Show the state; called by tqdm when it is time, and by `close`, which has set `disable`."""
        if not self.in_lines:
            return super().display(msg, pos)
        if self.disable or self.n > self.initial:
            log.info("%s", self.format_meter(**{**self.format_dict, "bar_format": _LAST if self.disable else _LINE}))
        return True

    @property
    def seconds(self) -> float:
        """Since the start; at least a millisecond, so that one can divide by it."""
        return max(float(self.format_dict["elapsed"]), 1e-3)


# tqdm's own lock is one of processes too, which here share no bar: a process that is killed leaves it behind.
Progress.set_lock(threading.RLock())


def _has_room_for_a_bar() -> bool:
    """Whether standard error is a terminal that states its width; some of CI state none."""
    return sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0
