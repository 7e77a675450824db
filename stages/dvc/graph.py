"""What the graph rests on, for given parameters: the files that its stages read and none of them writes.

The graphs are read as they are written, as DVC reads them: a dep of a stage there is an input here at once.
"""

import functools
import itertools
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAMLError

from moclip.base.errors import StoreError
from moclip.base.files import fingerprint
from moclip.base.outside import yaml
from stages.dvc.digest import md5
from stages.dvc.lock import CODE

GRAPHS = (Path("dvc.yaml"), Path("heads/dvc.yaml"))
_SLOT = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class Stage:
    """A stage, or all of its matrix together: paths that it reads and writes, from the repository's top."""

    address: str
    deps: frozenset[str]
    outs: frozenset[str]


def inputs(params: Mapping[str, Any]) -> set[str]:
    """Paths that stages read with these parameters and none writes; what stands for code is one of them."""
    stages = _stages(params)
    written = {path for stage in stages if stage.address != CODE for path in stage.outs}
    read = {path for stage in stages if stage.address != CODE for path in stage.deps}
    return {path for path in read if not _is_within(path, written)}


def sources(params: Mapping[str, Any]) -> list[Stage]:
    """Stages that read inputs alone and that others read: what they bring may come from outside of the repository."""
    stages, known = _stages(params), inputs(params)
    read = {path for stage in stages for path in stage.deps}
    return [
        stage
        for stage in stages
        if stage.address != CODE and stage.deps <= known and any(_is_within(path, stage.outs) for path in read)
    ]


def words(name: str) -> list[str]:
    """The command of a stage, as words.

    Raises:
        StoreError: a graph cannot be read, or there is no such stage.
    """
    stages = {known: written for graph in GRAPHS if graph.is_file() for known, written in _read(graph).items()}
    if name not in stages:
        raise StoreError(f"{GRAPHS[0]}: has no stage {name}; it has {', '.join(sorted(stages))}")
    return shlex.split(str(stages[name]["cmd"]))


def digester() -> Callable[[Mapping[str, Any]], str]:
    """A function that stands for all that results with some parameters hang on beside them; it reads each file once.

    That is the graphs, every input by content, and what the stages at the start of the graph have brought. The function
    raises a StoreError where a graph cannot be read, or an input is missing.
    """
    content = functools.cache(lambda path: md5(Path(path)))

    def digest(params: Mapping[str, Any]) -> str:
        brought = {path for stage in sources(params) for path in stage.outs}
        graphs = {path.as_posix() for path in GRAPHS if path.is_file()}
        return fingerprint({path: content(path) for path in sorted({*graphs, *inputs(params), *brought})})

    return digest


def _is_within(path: str, places: Any) -> bool:
    """Whether a path is one of these, lies in one, or holds one, as the directory of a matrix does."""
    return any(path == place or path.startswith(f"{place}/") or place.startswith(f"{path}/") for place in places)


def _stages(params: Mapping[str, Any]) -> list[Stage]:
    return [
        stage
        for graph in GRAPHS
        if graph.is_file()
        for name, written in _read(graph).items()
        if (stage := _stage(graph, name, written, params)) is not None
    ]


def _read(graph: Path) -> dict[str, Any]:
    try:
        stages: dict[str, Any] = yaml.load(graph)["stages"]
    except (OSError, YAMLError, KeyError, TypeError) as error:
        raise StoreError(f"{graph}: cannot be read as DVC's graph ({error})") from error
    return stages


def _stage(graph: Path, name: str, written: Mapping[str, Any], params: Mapping[str, Any]) -> Stage | None:
    base = os.path.normpath(graph.parent / str(written.get("wdir", ".")))
    kinds = {"deps": ("deps",), "outs": ("outs", "metrics", "plots")}
    found: dict[str, set[str]] = {"deps": set(), "outs": set()}
    members = list(_members(written.get("matrix", {}), params))
    for kind, keys in kinds.items():
        for entry in (entry for key in keys for entry in written.get(key, [])):
            path = next(iter(entry)) if isinstance(entry, Mapping) else entry
            found[kind] |= {os.path.normpath(os.path.join(base, _filled(path, values))) for values in members}  # noqa: PTH118
    address = name if graph == GRAPHS[0] else f"{graph.as_posix()}:{name}"
    return Stage(address, frozenset(found["deps"]), frozenset(found["outs"])) if members else None


def _members(matrix: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The values that a stage's paths are filled with, for each member of its matrix; without one, the parameters."""
    lists = [_listed(of, params) for of in matrix.values()]
    for items in itertools.product(*lists):
        yield {**params, "item": dict(zip(matrix, items, strict=True))}


def _listed(of: Any, params: Mapping[str, Any]) -> list[Any]:
    slot = _SLOT.fullmatch(of) if isinstance(of, str) else None
    return list(_value(slot[1], params) if slot else of)


def _filled(path: str, values: Mapping[str, Any]) -> str:
    return _SLOT.sub(lambda slot: _text(_value(slot[1], values)), path)


def _value(name: str, values: Mapping[str, Any]) -> Any:
    node: Any = values
    for key in name.split("."):
        if not isinstance(node, Mapping) or key not in node:
            raise StoreError(f"{GRAPHS[0]}: '{name}' is no parameter; run `dvc repro` to see where")
        node = node[key]
    return node


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
