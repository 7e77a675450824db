"""What stands for a stage's code: a word moves nothing, a value moves exactly the stages that reach it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.imports import ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("moclip", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def texts(copy: Path) -> dict[str, str]:
    """Every text of stage `code`, by its name."""
    done = subprocess.run(
        [sys.executable, "-m", "stages.code", "--out", "code"], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = {path.relative_to(copy / "code").as_posix(): path.read_text() for path in (copy / "code").rglob("*.txt")}
    shutil.rmtree(copy / "code")
    return found


def edit(copy: Path, name: str, old: str, new: str) -> None:
    text = (copy / name).read_text()
    assert text.count(old) >= 1, f"{name} does not hold {old!r}"
    (copy / name).write_text(text.replace(old, new, 1))


def append(copy: Path, name: str, line: str) -> None:
    with (copy / name).open("a") as file:
        file.write(f"\n{line}\n")


def test_words_and_what_moves_no_number_change_no_text(copy: Path) -> None:
    before = texts(copy)
    edit(copy, "moclip/training/loop.py", '"""', '"""Other words. ')
    append(copy, "moclip/heads/mlp.py", "# A comment.")
    append(copy, "moclip/base/progress.py", "UNUSED = 1")
    assert texts(copy) == before


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("moclip/demo/stills.py", {"clip_model.txt"}),
        ("moclip/heads/linear_probe.py", {"heads/linear_probe.txt"}),
        ("moclip/heads/score_average.py", {"heads/score_average.txt"}),
        ("moclip/report/cards.py", {"report.txt"}),
    ],
)
def test_a_value_changes_the_texts_of_those_that_reach_it(copy: Path, name: str, moved: set[str]) -> None:
    before = texts(copy)
    append(copy, name, "SIZE = 3")
    after = texts(copy)
    # `track` imports much, but always runs and hangs on no text.
    assert {text for text in after if after[text] != before[text]} - {"track.txt"} == moved


def test_a_new_row_changes_no_text_of_another_head(copy: Path) -> None:
    before = texts(copy)
    row = '    "toy": HeadSpec(title="toy", words="toy", colour=GREY, module="moclip.heads.zero_shot"),\n'
    edit(copy, "moclip/heads/registry.py", '    "zero_shot": HeadSpec(\n', row + '    "zero_shot": HeadSpec(\n')
    after = texts(copy)
    assert {name for name in before if name.startswith("heads/") and after[name] != before[name]} == set()
    assert "heads/toy.txt" in after
