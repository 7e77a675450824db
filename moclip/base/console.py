"""How a command meets its user: how much it says, and how it ends when something goes wrong.

MOCLIP_QUIET=1 leaves warnings and errors alone, MOCLIP_VERBOSE=1 adds details and the traceback of every error; they
reach commands that other programs start, such as DVC's stages.
"""

import argparse
import logging
import os
import select
import sys
import traceback
from collections.abc import Callable
from typing import Any, Literal

from moclip.base.errors import MoclipError, explain
from moclip.base.outside.terminal import message, printable

Verbosity = Literal["quiet", "verbose"]
_VARIABLES: dict[Verbosity, str] = {"quiet": "MOCLIP_QUIET", "verbose": "MOCLIP_VERBOSE"}
_OURS = ("moclip", "stages", "__main__")

REFUSED, BUG, INTERRUPTED, PIPE_CLOSED = 1, 70, 130, 141  # 70 is EX_SOFTWARE, the others are a shell's


def is_verbose() -> bool:
    """Whether details and tracebacks are wanted; it wins over quiet."""
    return _is_set("verbose")


def _is_set(name: Verbosity) -> bool:
    return os.environ.get(_VARIABLES[name], "") not in ("", "0")


def choose(verbosity: Verbosity) -> None:
    """Take a choice for this process and those that it starts, in place of what the environment said."""
    for variable in _VARIABLES.values():
        os.environ.pop(variable, None)
    os.environ[_VARIABLES[verbosity]] = "1"


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Declare --quiet and --verbose, for `choose`; where neither is given, nothing is set."""
    # Suppressed, for the default of a sub-parser would undo what stood before the command.
    shared: dict[str, Any] = {"dest": "verbosity", "action": "store_const", "default": argparse.SUPPRESS}
    parser.add_argument("-q", "--quiet", const="quiet", help="no progress, only results and errors", **shared)
    parser.add_argument("-v", "--verbose", const="verbose", help="details, and the traceback of an error", **shared)


class _AboveBars(logging.Handler):
    """Writes to standard error without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        told = message(self.format(record))
        # Only a bar that is there can be torn: a first word waits for no import, nor for a package that is missing.
        if (progress := sys.modules.get("moclip.base.progress")) is None:
            sys.stderr.write(f"{told}\n")
        else:
            progress.Progress.write(told, file=sys.stderr)


def set_up_logging(form: str) -> None:
    """Send messages to standard error: of this project as much as is wanted, of libraries mostly warnings."""
    level = logging.DEBUG if is_verbose() else logging.WARNING if _is_set("quiet") else logging.INFO
    handler = _AboveBars()
    handler.setFormatter(logging.Formatter(form))
    logging.basicConfig(level=logging.INFO if is_verbose() else logging.WARNING, handlers=[handler])
    for name in _OURS:
        logging.getLogger(name).setLevel(level)


def run(work: Callable[[], int | None], more: str) -> int:
    """Do a command's work and return its exit status; whatever goes wrong is one message.

    Args:
        work: Returns its exit status, or None for 0.
        more: What to add to the command for a traceback, such as "--verbose".
    """
    try:
        try:
            return work() or 0
        finally:
            sys.stdout.flush()  # here, where a fault can still be handled
    except KeyboardInterrupt:
        return _end(INTERRUPTED, "interrupted")
    except BrokenPipeError as error:
        if not _reader_is_gone():
            return _bug(error, more)
        # What is still buffered is written at the end of the process, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except MoclipError as error:
        return _end(REFUSED, f"error: {error}")
    except ModuleNotFoundError as error:
        if (error.name or "moclip").split(".")[0] in _OURS:
            return _bug(error, more)
        return _end(REFUSED, f"error: {error}; `make setup` installs everything, `moclip doctor` lists what is missing")
    except OSError as error:
        told = explain(error)
        return _end(REFUSED, f"error: {told}") if told else _bug(error, more)
    except Exception as error:
        return _bug(error, more)


def _bug(error: Exception, more: str) -> int:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    hint = "report it with this traceback" if is_verbose() else f"run it again with {more} and report the traceback"
    return _end(BUG, f"internal error: {what}; this is a bug in moclip: {hint}")


def _end(status: int, told: str) -> int:
    if is_verbose():
        sys.stderr.write(printable(traceback.format_exc()))
    sys.stderr.write(f"{message(told)}\n")
    return status


def _reader_is_gone() -> bool:
    """Whether nobody reads standard output any more, as after `| head`."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # nothing to wait for: errors are always reported
    return any(event & select.POLLERR for _, event in output.poll(0))
