"""The page of all presets, held against the presets, the recorded run and the papers on file."""

import shutil
from pathlib import Path

import pytest

from moclip.base.errors import ParamsError
from moclip.params.presets.files import read_presets
from moclip.report.reader.zoo import as_markdown
from tests.support.imports import ROOT

PAGE = ROOT / "docs/zoo.md"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A repository of presets and of what they name, with the folder of presets as the value."""
    for name in ("presets", "papers"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "reports").mkdir()
    shutil.copy(ROOT / "reports/summary.json", tmp_path / "reports")
    return tmp_path / "presets"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_page_is_what_make_zoo_writes() -> None:
    assert PAGE.read_text() == as_markdown(ROOT / "presets") + "\n"


def test_every_preset_has_a_place_and_every_cost_a_source() -> None:
    text = PAGE.read_text()
    for name, preset in read_presets(ROOT / "presets").items():
        assert (f"## {name}\n" if preset.is_base else f"| `{name}` |") in text
        about = preset.about
        if (about.minutes, about.disk_gb, about.memory_gb) != (None, None, None):
            assert about.source != "not run here", name
        assert about.run_here or "not run here" in about.source


@pytest.mark.parametrize(
    ("file", "old", "new", "row"),
    [
        ("presets/ucf101.yaml", "ViT-B-32-quickgelu", "ViT-L-14", "UCF101; CLIP ViT-L-14; motion network small"),
        ("presets/ucf101.yaml", "disk_gb: 14", "disk_gb: 15", "not run here, 15 GB, not known"),
        ("presets/demo.yaml", "heads: 5", "heads: 7", "trainings of each head: 7"),
        ("papers/moclip_lite.yaml", "value: 89.2", "value: 89.3", "fusion 89.3 ([claimed]"),
    ],
)
def test_the_page_follows_presets_and_papers(file: str, old: str, new: str, row: str, copy: Path) -> None:
    assert row not in as_markdown(copy)
    edit(copy.parent / file, old, new)
    assert row in as_markdown(copy)


def test_figures_that_are_not_there_are_named(copy: Path) -> None:
    edit(copy / "demo.yaml", "reports/summary.json", "reports/other.json")
    with pytest.raises(ParamsError, match=r"reports/other\.json: is to have the figures of a preset, and is not there"):
        as_markdown(copy)
