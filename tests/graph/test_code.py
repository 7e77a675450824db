"""What stands for a stage's code: a word moves nothing, a value moves exactly the stages that reach it."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from moclip.heads.registry import HEADS
from stages.dvc.code import NO_NUMBER, canonical
from tests.graph.test_pipeline import Repository
from tests.support.imports import ROOT, closure

READ_ALL_ROWS = {
    "account.txt",
    "report.txt",
    "search.txt",
    "summarize.txt",
}  # titles, order and pairs of heads: seconds, and no training


def copied(folder: Path) -> Path:
    for name in ("moclip", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return copied(tmp_path)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The texts of a copy in which nothing is changed."""
    return texts(copied(tmp_path_factory.mktemp("unchanged")))


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


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Texts that differ; that of `track` is no dep, for it imports much and always runs."""
    return {name for name in before if after[name] != before[name]} - {"track.txt"}


def test_words_and_what_moves_no_number_change_no_text(before: dict[str, str], copy: Path) -> None:
    edit(copy, "moclip/training/loop.py", '"""', '"""Other words. ')
    append(copy, "moclip/heads/mlp.py", "# A comment.")
    for module in NO_NUMBER:
        append(copy, f"{module.replace('.', '/')}.py", "UNUSED = 1")
    edit(copy, "moclip/heads/registry.py", 'title="fusion"', 'title="both streams"')
    assert changed(before, texts(copy)) <= READ_ALL_ROWS


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("moclip/demo/stills.py", {"clip_model.txt"}),
        ("moclip/heads/linear_probe.py", {"heads/linear_probe.txt"}),
        ("moclip/heads/score_average.py", {"heads/score_average.txt"}),
        ("moclip/report/cards.py", {"report.txt"}),
    ],
)
def test_a_value_changes_the_texts_of_those_that_reach_it(
    before: dict[str, str], copy: Path, name: str, moved: set[str]
) -> None:
    append(copy, name, "SIZE = 3")
    assert changed(before, texts(copy)) == moved


def test_a_template_is_code_of_the_page_that_it_makes(before: dict[str, str], copy: Path) -> None:
    append(copy, "moclip/report/templates/report.md.j2", "One more line.")
    assert changed(before, texts(copy)) == {"report.txt"}


def test_what_a_row_says_to_those_who_compute_is_code_of_its_head(before: dict[str, str], copy: Path) -> None:
    edit(copy, "moclip/heads/registry.py", 'also_reads=("motion", "motion_net", "compute")', 'also_reads=("motion",)')
    assert changed(before, texts(copy)) - READ_ALL_ROWS == {"heads/fusion.txt"}


def test_a_text_lists_what_a_second_walk_finds(copy: Path) -> None:
    """Written apart from the first; packages' own files are left out here, but for what those of the scripts import."""
    left_out = {file_of(module) for module in NO_NUMBER}
    for name, text in texts(copy).items():
        modules = [line.split("  ")[1] for line in text.splitlines()]
        begin, without = [f"stages.{Path(name).stem}"], left_out
        if name.startswith("heads/"):
            spec, without = HEADS[Path(name).stem], left_out | {file_of("moclip.heads.registry")}
            begin = ["stages.head", spec.module, *(spec.settings or "").split(":")[:-1]]
        found = {path for module in (*begin, "moclip.base.arithmetic") for path in closure(file_of(module), without)}
        assert {path for path in map(file_of, modules) if (ROOT / path).is_file()} == found, name


def file_of(module: str) -> Path:
    return Path(*module.split(".")).with_suffix(".py")


def test_a_new_row_changes_no_text_of_another_head(before: dict[str, str], copy: Path) -> None:
    row = '    "toy": HeadSpec(title="toy", words="toy", colour=GREY, module="moclip.heads.zero_shot"),\n'
    edit(copy, "moclip/heads/registry.py", '    "zero_shot": HeadSpec(\n', row + '    "zero_shot": HeadSpec(\n')
    after = texts(copy)
    assert changed(before, after) <= READ_ALL_ROWS, "neither a head's nor that of the motion network"
    assert "heads/toy.txt" in after


def test_dvc_runs_what_an_edit_reaches(finished: Repository, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository", forks=True)
    shutil.copytree(finished.path, repository.path, symlinks=True)
    edit(repository.path, "moclip/heads/logistic.py", '"""', '"""Other words. ')
    printed = repository.run("dvc", "repro")
    ran = [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]
    assert ran == ["code", "track"], "`track` always runs"
    edit(repository.path, "moclip/heads/logistic.py", "MAX_ITERATIONS = 2000", "MAX_ITERATIONS = 2001")
    repository.run("dvc", "repro", "-q", "code")
    waiting = set(json.loads(repository.run("dvc", "status", "--json"))) - {"track"}
    assert {name.rpartition(":")[2] for name in waiting} == {"linear_probe", "metadata_only"}


@pytest.mark.parametrize(
    ("head", "row", "message"),
    [
        ("fusoin", "", "parameter 'heads': 'fusoin' is no head; known: zero_shot, "),
        (
            "toy",
            '    "toy": HeadSpec(title="toy", words="toy", colour=GREY, module="moclip.heads.zero_shot"),\n',
            "parameter 'heads': heads/dvc.yaml has no stage that writes preds/toy; add it, by moclip/heads/README.md",
        ),
    ],
)
def test_a_head_that_nobody_fits_is_refused_before_dvc_misses_what_it_says(
    copy: Path, head: str, row: str, message: str
) -> None:
    (copy / "heads").mkdir()
    for name in ("dvc.yaml", "heads/dvc.yaml"):
        shutil.copy(ROOT / name, copy / name)
    edit(copy, "moclip/heads/registry.py", '    "zero_shot": HeadSpec(\n', row + '    "zero_shot": HeadSpec(\n')
    edit(copy, "params.yaml", "- zero_shot\n", f"- zero_shot\n- {head}\n")
    words = [sys.executable, "-m", "stages.code", "--out", "code"]
    done = subprocess.run(words, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}"), done.stderr
    assert not (copy / "code").exists()


def test_releases_of_python_read_one_tree_alike() -> None:
    """The same text on 3.11, 3.12 and 3.13, of which two end a nested format with an empty text."""
    of_format = "JoinedStr(values=[Constant(value='.'), FormattedValue(value=Name(id='n', ctx=Load()), conversion=-1)])"
    assert canonical(ast.parse("f'{x:.{n}} %' ''")) == (
        "Module(body=[Expr(value=JoinedStr(values=[FormattedValue(value=Name(id='x', ctx=Load()), conversion=-1, "
        f"format_spec={of_format}), Constant(value=' %')]))])"
    )
    assert canonical(ast.parse("def f(): return ''")) == (
        "Module(body=[FunctionDef(name='f', args=arguments(), body=[Return(value=Constant(value=''))])])"
    )
