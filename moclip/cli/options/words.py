"""The words that exist here, for a shell to complete: presets, heads, questions of the suite, experiments."""

import subprocess
from collections.abc import Callable, Iterable

from moclip.cli.places import PLACES

_REFS = ("refs/exps", "refs/heads", "refs/tags")
_EXPERIMENT_PARTS = 5  # refs/exps/<2 digits of the baseline>/<the other 38>/<name>; DVC's own refs are shorter


def words(kind: str) -> list[str]:
    """All words of a kind, sorted; none where the working directory has no such thing."""
    return sorted(set(KINDS[kind]()))


def _presets() -> Iterable[str]:
    return (path.stem for path in PLACES.presets.glob("*.yaml"))


def _heads() -> Iterable[str]:
    from moclip.heads.registry import servable

    return servable()


def _questions() -> Iterable[str]:
    from moclip.base.outside import yaml

    return (one["name"] for one in yaml.load(PLACES.suite)) if PLACES.suite.is_file() else ()


def _experiments() -> Iterable[str]:
    """Finished experiments, branches and tags by Git's references; DVC would take seconds."""
    try:
        listed = subprocess.run(
            ["git", "for-each-ref", "--format=%(refname)", *_REFS], capture_output=True, text=True, check=False
        ).stdout
    except FileNotFoundError:
        return
    yield from ("HEAD", "workspace")
    for ref in listed.splitlines():
        parts = ref.split("/")
        if parts[1] != "exps":
            yield "/".join(parts[2:])
        elif len(parts) == _EXPERIMENT_PARTS and len(parts[2] + parts[3]) == 40:
            yield parts[-1]


KINDS: dict[str, Callable[[], Iterable[str]]] = {
    "presets": _presets,
    "heads": _heads,
    "questions": _questions,
    "experiments": _experiments,
}
