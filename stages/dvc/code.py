"""The code that a stage runs, as a text: digest and path of each file that its script reaches.

A digest is over the syntax tree without docstrings and comments: what only reads differently runs nothing again.
`NO_NUMBER` is left out, with what it alone reaches: it shows, measures or refuses, and can move no number. A stage of
heads hangs on the rows of its own heads, not on the whole registry.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from moclip.base.files import fingerprint
from moclip.heads.registry import HEADS

PACKAGES = ("moclip", "stages")
HEAD_SCRIPT = "stages.head"
REGISTRY = "moclip.heads.registry"
NO_NUMBER = frozenset(
    [
        *("moclip.base.console", "moclip.base.progress", "moclip.base.meter", "moclip.store.disks", "moclip.extras"),
        *("moclip.video.bounded.limits", "moclip.video.bounded.system", "moclip.video.bounded.worker"),
        *(
            "stages._live",
            "stages._cluster",
            "stages._ranks",
            "moclip.cluster.address",
            "moclip.cluster.driver",
            "moclip.cluster.engine",
            "moclip.cluster.journal",
            "moclip.cluster.node",
            "moclip.cluster.share",
            "stages._sections",
            "stages._limits",
            "stages._foresight",
            "stages.dvc.cost",
            "stages.dvc.code",
        ),
    ]
)
# What a row of the registry says to those who read, not to those who compute.
_WORDS = (
    *("title", "words", "colour", "rivals", "is_motion_control", "is_servable", "is_of_stream", "chosen_by"),
    *("own_network", "related"),
)


@cache
def code_text(script: str, *heads: str) -> str:
    """What a script's code is, a line a file; of a script that fits heads, what theirs is.

    Args:
        script: Module of the script, such as `stages.evaluate`.
        *heads: Names of the heads that it fits.
    """
    modules = reached(script, *heads)
    lines = [f"{_digest(_file(module))}  {module}" for module in sorted(modules)]
    lines += [f"{fingerprint(_row(head))}  row of {head}" for head in heads]
    lines += [f"{_bytes_digest(path)}  {path.name}" for path in sorted(_templates(modules))]
    return "".join(f"{line}\n" for line in lines)


def running_code(script: str, *heads: str) -> str:
    """Stands for the code of a stage, and PyTorch's version: half-done work of other code is not taken up."""
    return fingerprint(code_text(script, *heads), version("torch"))


def reached(script: str, *heads: str) -> set[str]:
    """Modules that a script imports, directly or through others, also inside functions."""
    left_out = NO_NUMBER | ({REGISTRY} if heads else set())
    todo = [script, *(module for head in heads for module in _modules_of(head))]
    seen: set[str] = set()
    while todo:
        module = todo.pop()
        if module not in seen and module not in left_out:
            seen.add(module)
            todo += imported(module)
    return seen


@cache
def imported(module: str) -> frozenset[str]:
    """Modules of the project that a module imports by any statement, and the packages that they lie in."""
    names = {name for name in _names(_tree(_file(module))) if name.split(".")[0] in PACKAGES}
    every = {".".join(name.split(".")[: depth + 1]) for name in names for depth in range(name.count(".") + 1)}
    return frozenset(name for name in every if _file(name).is_file())


def scripts() -> list[str]:
    """Modules of all stages but those of heads."""
    files = sorted(_directory("stages").glob("[!_]*.py"))
    return [name for file in files if (name := f"stages.{file.stem}") not in (HEAD_SCRIPT, "stages.code")]


def _row(head: str) -> dict[str, Any]:
    return {name: value for name, value in asdict(HEADS[head]).items() if name not in _WORDS}


def _modules_of(head: str) -> Iterator[str]:
    yield HEADS[head].module
    if settings := HEADS[head].settings:
        yield settings.partition(":")[0]


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _templates(modules: Iterable[str]) -> set[Path]:
    """Templates of pages that modules name."""
    texts = frozenset[str]().union(*map(_named_templates, modules))
    return {path for path in _directory("moclip").rglob("*.j2") if path.name in texts}


@cache
def _named_templates(module: str) -> frozenset[str]:
    """Names of templates in a module; kept, for most modules are reached by many scripts."""
    return frozenset(
        node.value
        for node in ast.walk(_tree(_file(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(".j2")
    )


@cache
def _directory(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def _file(module: str) -> Path:
    """File of a module; of a package its `__init__.py`."""
    package, *parts = module.split(".")
    path = _directory(package).joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(canonical(_tree(path)).encode()).hexdigest()[:16]


def _bytes_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def canonical(node: Any) -> str:
    """A syntax tree as text, alike in all releases of Python: empty fields and docstrings are left out.

    So is the empty text that Python 3.12 puts at the end of a format such as `{share:.{digits}}`.
    """
    if isinstance(node, ast.JoinedStr):
        parts = [part for part in node.values if getattr(part, "value", None) != ""]
        return f"JoinedStr(values={canonical(parts)})"
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(f'{name}={canonical(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(canonical(item) for item in node if not _is_docstring(item))}]"
    return repr(node)


def _is_docstring(node: Any) -> bool:
    """A string that stands alone as a statement does nothing."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
