"""`moclip init`: a project of one's own, with the whole pipeline, from the package alone."""

import argparse
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

from moclip.base.errors import OutputError, StoreError
from moclip.base.outside.terminal import name, say
from moclip.cli.places import PLACES

_PACKAGE = Path(__file__).parents[1]
_MOVED = {"moclip/demo/prompts.yaml": "prompts/demo.yaml"}
"""What params.yaml and presets name inside the package, and where a project has it."""
_CODE = """    deps:
      - moclip
      - stages
"""
_CODE_OF_PROJECT = """    # moclip lies outside this folder. Always run, it digests the package that is imported.
    always_changed: true
    deps:
      - stages
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder to make")


def run(args: argparse.Namespace) -> int:
    """Write the project, as a whole or not at all."""
    from moclip.base.files import atomic_path
    from moclip.base.outputs import claim_directory

    if args.directory.is_dir() and any(args.directory.iterdir()):
        raise OutputError(f"{args.directory}: holds something already; name a folder that is empty or not there")
    claim_directory(args.directory, PLACES.graph)
    with atomic_path(args.directory) as temporary:
        write_project(temporary)
    say(
        f"{name(args.directory)} has the pipeline, set to generated demo data. Next:\n"
        f"  cd {name(args.directory)} && git init && git add -A && git commit -m 'A project of moclip'\n"
        "  make repro            # runs it (extra `pipeline`); `moclip preset` lists settings for real videos\n"
        "  moclip doctor         # what is there, what is missing"
    )
    return 0


def write_project(folder: Path) -> None:
    """Fill a folder that is not there yet.

    Raises:
        StoreError: the package came without its project.
    """
    source, names = _source()
    for one in names:
        target = folder / one
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / one).is_dir():
            shutil.copytree(source / one, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source / one, target)
    shutil.copyfile(_PACKAGE / "cli" / "project.mk", folder / "Makefile")
    for own, place in _MOVED.items():
        shutil.copyfile(_PACKAGE.parent / own, folder / place)
    _edit(folder / PLACES.graph, {_CODE: _CODE_OF_PROJECT})
    for file in (folder / PLACES.params, *sorted((folder / PLACES.presets).glob("*.yaml"))):
        _edit(file, _MOVED)


def _edit(file: Path, changes: Mapping[str, str]) -> None:
    text = file.read_text(encoding="utf-8")
    for old, new in changes.items():
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8", newline="\n")


def _source() -> tuple[Path, list[str]]:
    """Where the project lies, and what of it: in an installed package, or in the checkout that is imported."""
    packed, checkout = _PACKAGE / "project", _PACKAGE.parent / "pyproject.toml"
    if packed.is_dir():
        return packed, sorted(path.name for path in packed.iterdir())
    if checkout.is_file():
        return checkout.parent, tomllib.loads(checkout.read_text(encoding="utf-8"))["tool"]["moclip"]["project"]
    raise StoreError(f"{_PACKAGE}: came without the files of a project; install moclip from a wheel or a checkout")
