"""The reader of docs/extending.md, as it stands there, on a folder of its form."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from moclip.base.errors import DataError
from moclip.data.dataset import Dataset, assign_parts
from tests.support.imports import ROOT


@pytest.fixture
def find_flat(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Dataset]:
    module = types.ModuleType("flat_example")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec((ROOT / "docs/extending.md").read_text().split("```python\n")[1].split("```")[0], module.__dict__)
    found: Callable[[Path], Dataset] = module.find_flat
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings of each of two classes, each recording in a fold of its own."""
    rows = [(f"{name}{fold}", name, f"{name}-r{fold}", str(fold)) for name in ("wave", "jump") for fold in (1, 2, 3)]
    (tmp_path / "videos").mkdir()
    for row in rows:
        (tmp_path / "videos" / f"{row[0]}.avi").touch()
    text = "\n".join(map(",".join, [("id", "class_name", "group", "fold"), *rows]))
    (tmp_path / "list.csv").write_text(f"{text}\n")
    return tmp_path


def test_it_gives_classes_clips_and_parts(find_flat: Callable[[Path], Dataset], folder: Path) -> None:
    dataset = find_flat(folder)
    assert dataset.classes == ["jump", "wave"]
    assert dataset.clips["wave2"].path == folder / "videos/wave2.avi"
    parts = {member.id: member.part for member in assign_parts(dataset, 0, 0)[2]}
    assert {stem for stem, part in parts.items() if part == "test"} == {"jump2", "wave2"}
    assert len(parts) == 6


@pytest.mark.parametrize("change", ["missing", "extra", "twice"])
def test_it_refuses_by_name(find_flat: Callable[[Path], Dataset], folder: Path, change: str) -> None:
    if change == "missing":
        (folder / "videos/jump1.avi").unlink()
    elif change == "extra":
        (folder / "videos/jump1.avi").rename(folder / "videos/jump0.avi")
    else:
        with (folder / "list.csv").open("a") as file:
            file.write("jump1,jump,jump-r1,1\n")
    with pytest.raises(DataError, match=r"differ in \d videos, first jump[01]; "):
        find_flat(folder)
