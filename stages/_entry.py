"""What the stage scripts share: arguments, parameters, logging, and one line for a refusal."""

import argparse
import functools
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAMLError

from moclip.base import console
from moclip.base.errors import MoclipError, ParamsError
from moclip.base.meter import Meter
from moclip.base.outside import yaml
from moclip.params.section import validated
from stages._limits import LIMITS, limit_videos
from stages._sections import check_sections
from stages.dvc import cost

PARAMS_FILE = Path("params.yaml")

log = logging.getLogger("stages")
T = TypeVar("T")


def arguments(
    *paths: str,
    optional: Sequence[str] = (),
    path_lists: Sequence[str] = (),
    words: Sequence[str] = (),
    word_lists: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> Any:
    """Parse the command line: each name is a `--name`, required unless it is optional.

    Args:
        *paths: Options with a path.
        optional: Options with a path that may be left out, and are None then.
        path_lists: Options with paths.
        words: Options with a string.
        word_lists: Options with strings.
        numbers: Options with an int.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for names, options in (
        (paths, {"type": Path, "required": True}),
        (optional, {"type": Path}),
        (path_lists, {"type": Path, "nargs": "+", "required": True}),
        (words, {"required": True}),
        (word_lists, {"nargs": "+", "required": True}),
        (numbers, {"type": int, "required": True}),
    ):
        for name in names:
            parser.add_argument(f"--{name.replace('_', '-')}", **options)
    return parser.parse_args()


def section(name: str, kind: type[T]) -> T:
    """One validated entry of params.yaml.

    Raises:
        ParamsError: the file is unreadable, a top-level key is unknown, or the entry breaks a rule.
    """
    params = all_params()
    if name not in params:
        raise ParamsError(f"parameter '{name}': required, but missing from {PARAMS_FILE}")
    return validated(name, kind, params[name])


@functools.cache
def all_params() -> dict[str, Any]:
    """params.yaml as plain values, read as DVC reads it (YAML 1.2, where 1e-3 is a number)."""
    params = read_params(PARAMS_FILE)
    check_sections(params, str(PARAMS_FILE))
    return params


def read_params(path: Path) -> dict[str, Any]:
    """A file of parameters as plain values, whatever its sections.

    Raises:
        ParamsError: it is unreadable, or no mapping.
    """
    try:
        params = yaml.load(path)
    except (OSError, YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from error
    if not isinstance(params, dict):
        raise ParamsError(f"{path}: must be a mapping of sections")
    return params


def repository() -> Path:
    """The main repository: what MOCLIP_HOME names, for a clone that works for another; else what DVC names to stages,
    also when they run in an experiment's copy.

    Raises:
        ParamsError: MOCLIP_HOME names no directory.
    """
    home = os.environ.get("MOCLIP_HOME")
    if home and not Path(home).is_dir():
        raise ParamsError(f"MOCLIP_HOME is {home}, which is no directory; name the main repository, or unset it")
    return Path(home or os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


def data_root(root: str) -> Path:
    """`data.root`, relative to the main repository, so that all experiments share one set of videos."""
    return repository() / root


def work_directory(name: str) -> Path:
    """A directory for resumable work, in the main repository: it survives a kill and a temporary copy."""
    return repository() / ".work" / name


def costs() -> Path:
    """Where the records of what stages cost lie."""
    return work_directory(cost.FOLDER)


def run(main: Callable[[], None]) -> None:
    """Run a stage as `command` does; what it cost is kept, beside its outputs and not among them."""
    start = time.perf_counter()
    before = cost.stamps(sys.argv[1:])
    with Meter() as meter:
        command(lambda: _limited(main))
    log.info("done in %.1f s", time.perf_counter() - start)
    try:
        cost.keep(costs(), before, meter.cost())
    except (OSError, MoclipError) as error:  # the work is done, and its outputs are worth more than their price
        log.warning("what this stage cost could not be kept: %s", error)


def _limited(main: Callable[[], None]) -> None:
    if PARAMS_FILE.exists() and LIMITS in all_params():  # a file without them has their defaults
        limit_videos(section)
    main()


def command(main: Callable[[], int | None]) -> None:
    """Run a script: what goes wrong is one message and an exit status, see `moclip.base.console`."""
    console.set_up_logging("%(name)s: %(message)s")
    if status := console.run(main, more="MOCLIP_VERBOSE=1"):
        sys.exit(status)
