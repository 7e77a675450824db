"""What the smallest demo comes to, to the byte: tests/micro.json. On any processor, it tests the guarantee.

    python -m tests.support.micro

runs that demo and writes the file anew. That is right where code, settings or packages were meant to move a number.
"""

import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.support import kernels  # noqa: F401 - first: it chooses the kernels before NumPy is loaded

# isort: split
from moclip.base.files import write_json
from tests.support.imports import ROOT

RECORDED = ROOT / "tests/micro.json"
COMPUTED = ("data", "models", "preds", "results")  # pages change with their words
PACKAGES = ("av", "numpy", "open_clip_torch", "pillow", "scikit-learn", "scipy", "torch")


def computed(locks: list[Path]) -> dict[str, str]:
    """Digests by path of all that stages computed, from DVC's lock files."""
    stages = [stage for path in locks for stage in YAML(typ="safe", pure=True).load(path)["stages"].values()]
    outs = {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}
    return {path: outs[path] for path in sorted(outs) if path.startswith(COMPUTED)}


def versions() -> dict[str, str]:
    """Versions of the packages that can move a number."""
    return {name: version(name) for name in PACKAGES}


def recorded() -> Mapping[str, Any]:
    """`versions` and `digests` as they were written."""
    found: dict[str, Any] = json.loads(RECORDED.read_text())
    return found


def main() -> None:
    from tests.graph.test_pipeline import LOCKS, finish

    with tempfile.TemporaryDirectory() as folder:
        repository = finish(Path(folder))
        digests = computed([repository.path / name for name in LOCKS])
    write_json(RECORDED, {"versions": versions(), "digests": digests})


if __name__ == "__main__":
    main()
