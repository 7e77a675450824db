"""Folders as tests compare them."""

from pathlib import Path


def content(root: Path) -> dict[str, bytes]:
    """Bytes of all files below a folder, by relative path."""
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}
