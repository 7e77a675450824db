"""The notebook of docs/, cell by cell in one interpreter, as Jupyter runs it, in a repository that ran."""

import json
import re
import shutil
import sys

from tests.graph.test_pipeline import Repository
from tests.support.imports import ROOT

NOTEBOOK = ROOT / "docs/tour.ipynb"
# The value of a cell's last line is its output; Jupyter shows what has a picture (`_repr_png_`) as that.
RUNNER = """
import ast, json, os, sys
cells, space = json.load(open(sys.argv[1]))["cells"], {"__name__": "__main__"}
os.chdir("docs")
shown = {}
for cell in cells:
    if cell["cell_type"] == "code":
        tree, name = ast.parse("".join(cell["source"])), cell["id"]
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), space)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), space)
            shown[name] = len(value._repr_png_()) if hasattr(value, "_repr_png_") else repr(value)
json.dump(shown, open(sys.argv[2], "w"))
"""


def test_notebook_is_kept_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)


def test_every_cell_runs_and_shows_what_the_run_left(finished: Repository) -> None:
    (finished.path / "docs").mkdir(exist_ok=True)
    shutil.copy(NOTEBOOK, finished.path / "docs")
    printed = finished.run(sys.executable, "-c", RUNNER, "docs/tour.ipynb", str(finished.path / "shown.json"))
    shown = json.loads((finished.path / "shown.json").read_text())
    summary = json.loads((finished.path / "reports/summary.json").read_text())
    for head, figures in summary["heads"].items():
        assert re.search(rf"^{head} +{figures['top1_pct']['mean']:.1f} %", printed, re.MULTILINE)
    assert f"{summary['differences']['fusion_minus_clip_probe']['mean']:+.1f} points" in shown["heads"]
    assert shown["places"] == "'36 videos'"
    classes = {line.split(",")[1] for line in (finished.path / "data/classes.csv").read_text().splitlines()[1:]}
    found = dict(eval(shown["answer"]))
    assert len(found) == 3
    assert set(found) <= classes
    assert shown["field"] > 1000, "a PNG"
