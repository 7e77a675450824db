"""What the stage scripts share: arguments, parameters, logging, and one line for a refusal."""

import argparse
import functools
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML, YAMLError

from moclip.base import console
from moclip.base.errors import MoclipError, ParamsError
from moclip.base.meter import Meter
from moclip.params.section import validated
from stages.dvc import cost as _cost

PARAMS_FILE = Path("params.yaml")
# Every top-level name; `tests/params/test_params.py` holds it against the models of moclip/schema.
SECTIONS = frozenset(
    [
        "seed",
        "splits",
        "heads",
        "data",
        "demo",
        "motion",
        "motion_net",
        "clip",
        "demo_clip",
        "fusion",
        "linear_probe",
        "metadata_only",
        "score_average",
        "evaluate",
        "compute",
    ]
)

log = logging.getLogger("stages")
T = TypeVar("T")


def arguments(
    *paths: str, path_lists: tuple[str, ...] = (), numbers: tuple[str, ...] = (), words: tuple[str, ...] = ()
) -> Any:
    """Parse the command line: each name is a required `--name`, as a path, paths, an int or a string."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in path_lists:
        parser.add_argument(_option(name), type=Path, nargs="+", required=True)
    for names, kind in ((paths, Path), (numbers, int), (words, str)):
        for name in names:
            parser.add_argument(_option(name), type=kind, required=True)
    return parser.parse_args()


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


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
    if unknown := sorted(map(str, set(params) - SECTIONS)):
        raise ParamsError(f"parameter '{unknown[0]}': no such section in {PARAMS_FILE}; known: {sorted(SECTIONS)}")
    return params


def read_params(path: Path) -> dict[str, Any]:
    """A file of parameters as plain values, whatever its sections.

    Raises:
        ParamsError: it is unreadable, or no mapping.
    """
    try:
        params = YAML(typ="safe", pure=True).load(path)
    except (OSError, YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from error
    if not isinstance(params, dict):
        raise ParamsError(f"{path}: must be a mapping of sections")
    return params


def repository() -> Path:
    """The main repository: DVC names it to stages, also when they run in an experiment's copy."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


def data_root(root: str) -> Path:
    """`data.root`, relative to the main repository, so that all experiments share one set of videos."""
    return repository() / root


def work_directory(name: str) -> Path:
    """A directory for resumable work, in the main repository: it survives a kill and a temporary copy."""
    return repository() / ".work" / name


def costs() -> Path:
    """Where the records of what stages cost lie."""
    return work_directory(_cost.FOLDER)


def run(main: Callable[[], None]) -> None:
    """Run a stage as `command` does; what it cost is kept, beside its outputs and not among them."""
    start = time.perf_counter()
    before = _cost.stamps(sys.argv[1:])
    with Meter() as meter:
        command(main)
    log.info("done in %.1f s", time.perf_counter() - start)
    try:
        _cost.keep(costs(), before, meter.cost())
    except (OSError, MoclipError) as error:  # the work is done, and its outputs are worth more than their price
        log.warning("what this stage cost could not be kept: %s", error)


def command(main: Callable[[], None]) -> None:
    """Run a script: what goes wrong is one message and an exit status, see `moclip.base.console`."""
    console.set_up_logging("%(name)s: %(message)s")
    if status := console.run(main, more="MOCLIP_VERBOSE=1"):
        sys.exit(status)
