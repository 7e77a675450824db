"""The errors that a person is meant to read: what is wrong, the rule, and the remedy, in one message."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moclip.base.outside.terminal import name

# What a person can mend, told by the system's error number.
_REMEDIES = {
    errno.ENOSPC: "free some space, then run it again",
    errno.EDQUOT: "free some space, then run it again",
    errno.EFBIG: "choose a place that takes files of this size",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "check who may read and write it",
    errno.EPERM: "check who may read and write it",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "name a place in a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "name a place that links do not lead back to",
    errno.EMFILE: "raise the limit on open files, for example with `ulimit -n 4096`, then run it again",
    errno.ENFILE: "end other programs that hold many files open, then run it again",
    errno.EEXIST: "name another place, or remove it yourself first",
    errno.ENOTEMPTY: "name another place, or empty it yourself first",
    errno.EINVAL: "choose a name that this file system takes",
    errno.EILSEQ: "choose a name that this file system takes",
    errno.EIO: "check the disk, then run it again",
    errno.ESTALE: "check the network folder, then run it again",
    errno.ETXTBSY: "end the program that uses it, then run it again",
    errno.ENOMEM: "free some memory, then run it again",
    errno.ENODEV: "name a regular file",
    errno.ENXIO: "name a regular file",
    errno.ESPIPE: "name a regular file",
}


class MoclipError(Exception):
    """Base of all refusals; a stage prints its message without a traceback and exits with 1."""


class ParamsError(MoclipError):
    """A parameter is unknown, missing, of the wrong type or out of range."""


class PaperError(MoclipError):
    """A paper's file cannot be read, breaks a rule, or is of the same paper as another."""


class DataError(MoclipError):
    """Lists, class index, manifest and files on disk do not agree."""


class VideoError(MoclipError):
    """A video cannot be opened, decoded, or has no motion vectors to give."""


class StoreError(MoclipError):
    """A store of features or motion is torn, foreign, or lacks an entry that was asked for."""


class OutputError(MoclipError):
    """An output would take the place of what moclip did not write or is reading, or cannot be written."""


def shown(path: object) -> str:
    """A path or text as it can be printed anywhere, in one line: what does not print is spelled, as `caf\\xe9.avi`."""
    return name(path)


def explain(error: OSError, path: Path | None = None) -> str | None:
    """One line on what the system refused: path, reason, remedy.

    Args:
        error: The refusal.
        path: What it is about; without one, what the error names.

    Returns:
        None where a person could not mend it.
    """
    if (remedy := _REMEDIES.get(error.errno or 0)) is None:
        return None
    place = path or error.filename
    return f"{shown(place)}: {error.strerror}; {remedy}" if place else f"{error.strerror}; {remedy}"


@contextmanager
def apart(path: Path, failures: list[str]) -> Iterator[None]:
    """Add to `failures` what is refused of one file, so that the others go on; what no person could mend is raised."""
    try:
        yield
    except MoclipError as error:
        failures.append(str(error))
    except OSError as error:
        if (told := explain(error, path)) is None:
            raise
        failures.append(told)
