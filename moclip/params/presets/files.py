"""The files of presets: what each is for, what its run costs, and the values that it sets.

A base preset chooses the data: it sets `data.source`. Any other is an overlay of its own keys. Section `about` is for
people and goes into no parameters file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field
from ruamel.yaml import YAML, YAMLError

from moclip.base.errors import ParamsError
from moclip.base.outside import yaml
from moclip.params.flat import leaves
from moclip.params.section import Section, validated

DEFAULTS = "demo"  # the base that has a value for all that others set
SOURCE = "data.source"
ABOUT = "about"


class About(Section):
    """What a run of a preset costs and gives; null is what nobody has measured.

    `figures` is the file that has the accuracies to expect: a summary of a run, or a paper.
    """

    minutes: float | None = Field(default=None, gt=0, description="By the clock.")
    disk_gb: float | None = Field(default=None, gt=0, description="At most at one time, packages not counted.")
    memory_gb: float | None = Field(default=None, gt=0, description="Resident at most at one time.")
    source: str = Field(default="not run here", min_length=1, description="Where those figures are from.")
    run_here: bool = Field(default=False, description="Whether the authors of moclip ran it to its end.")
    figures: str | None = Field(default=None, description="Path in the repository.")


@dataclass(frozen=True)
class Preset:
    """One file of presets.

    Attributes:
        name: The file's, without its ending.
        purpose: Its first line, a comment.
        about: What a run costs and gives.
        tree: The values that it sets, by section.
    """

    name: str
    purpose: str
    about: About
    tree: Mapping[str, Any]

    @cached_property
    def values(self) -> dict[str, Any]:
        """What it sets, by dotted name."""
        return dict(leaves(self.tree))

    @property
    def is_base(self) -> bool:
        """Whether it chooses the data."""
        return SOURCE in self.values

    @property
    def costs(self) -> tuple[str, str, str]:
        """Time, disk and memory in words; an overlay's are a dash, since they are those of its base and more."""
        if not self.is_base:
            return "-", "-", "-"
        minutes, disk, memory = self.about.minutes, self.about.disk_gb, self.about.memory_gb
        time = "not known" if self.about.run_here else "not run here"
        gb = [f"{value:g} GB" if value is not None else "not known" for value in (disk, memory)]
        return (f"{minutes:g} min" if minutes is not None else time), gb[0], gb[1]


def read_presets(directory: Path) -> dict[str, Preset]:
    """All presets of a folder by name, in alphabetical order.

    Raises:
        ParamsError: one cannot be read, is no mapping, or has a faulty section `about`.
    """
    return {path.stem: _read(path) for path in sorted(directory.glob("*.yaml"))}


def find(names: list[str], presets: Mapping[str, Preset]) -> list[Preset]:
    """The presets of a stack in the order in which they go in: at most one base, which comes first.

    Raises:
        ParamsError: a name is unknown or comes twice, there are two bases, or a base comes after an overlay.
    """
    for name in names:
        if name not in presets:
            raise ParamsError(f"preset {name!r}: no such preset; there are {', '.join(presets) or 'none'}")
        if names.count(name) > 1:
            raise ParamsError(f"preset {name!r}: named twice; name it once")
    bases = [name for name in names if presets[name].is_base]
    if len(bases) > 1:
        raise ParamsError(
            f"presets {' and '.join(map(repr, bases))}: each chooses the data, and a run has one choice; name one"
        )
    if bases and names[0] != bases[0]:
        raise ParamsError(
            f"preset {bases[0]!r}: chooses the data, and would set back what {names[0]!r} sets; name it first"
        )
    return [presets[name] for name in names]


def plain() -> YAML:
    """A reader that gives plain values."""
    return YAML(typ="safe", pure=True)


def load(form: YAML, path: Path) -> Any:
    """A file of sections.

    Raises:
        ParamsError: it cannot be read, or is no mapping.
    """
    try:
        content = yaml.load(path, form)
    except (OSError, YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, Mapping):
        raise ParamsError(f"{path}: must be a mapping of sections")
    return content


def _read(path: Path) -> Preset:
    tree = dict(load(plain(), path))
    about = validated(ABOUT, About, tree.pop(ABOUT, {}))
    purpose = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()
    return Preset(path.stem, purpose, about, tree)
