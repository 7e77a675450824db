"""Bundles as a stranger would forge them: a value changed, and every digest that stands for it made right again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from moclip.base.files import read_json, sha256_file, write_json

Facts = dict[str, Any]


def places(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The ways to all values inside nested ones, the whole first."""
    yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*way, key))


def replaced(facts: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """Nested values with another one at a place."""
    if not place:
        return value
    holder = facts
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return facts


def forge(bundle: Path, name: str, change: Callable[[Facts], None]) -> None:
    """Change a JSON file of a bundle, and every digest that stands for it, as whoever makes a bundle can."""
    facts = read_json(bundle / name)
    change(facts)
    write_json(bundle / name, facts)
    seal(bundle, name)


def put(bundle: Path, name: str, place: tuple[str | int, ...], value: Any) -> None:
    """The same with another value in one place, whatever its form; no place is the whole file."""
    write_json(bundle / name, replaced(read_json(bundle / name), place, value))
    if name != "bundle.json":
        seal(bundle, name)


def seal(bundle: Path, name: str) -> None:
    """Make digests right again after a file was changed."""
    if name == "clip/open_clip_config.json":
        meta = read_json(bundle / "clip/meta.json")
        write_json(bundle / "clip/meta.json", {**meta, "config_sha256": sha256_file(bundle / name)})
    manifest = read_json(bundle / "bundle.json")
    manifest["files"] = {file: sha256_file(bundle / file) for file in manifest["files"]}
    write_json(bundle / "bundle.json", manifest)


def in_text(**values: Any) -> Callable[[Facts], None]:
    return lambda facts: facts["model_cfg"]["text_cfg"].update(values)


def in_vision(**values: Any) -> Callable[[Facts], None]:
    return lambda facts: facts["model_cfg"]["vision_cfg"].update(values)
