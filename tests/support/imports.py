"""Which files of the project a file imports, directly or through others."""

import ast
from collections.abc import Container, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("moclip", "stages")


@cache
def imported_files(path: Path) -> frozenset[Path]:
    """Project files that `path` imports by any statement, also inside functions; paths relative to the root."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(file for name in _names(tree) if (file := _file(name)) is not None)


def closure(path: Path, without: Container[Path] = ()) -> set[Path]:
    """`path` and all that it reaches; packages' `__init__.py` are empty, which a test holds them to."""
    seen, todo = set(), [path]
    while todo:
        file = todo.pop()
        if file not in seen and file not in without:
            seen.add(file)
            todo.extend(imported_files(file))
    return seen


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute in this project"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(name: str) -> Path | None:
    if name.split(".")[0] not in PACKAGES:
        return None
    path = Path(*name.split(".")).with_suffix(".py")
    return path if (ROOT / path).is_file() else None
