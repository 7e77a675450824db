"""Imports point one way: stages, then moclip, then libraries; and each heavy library has its few doors."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.imports import ROOT, closure, imported_files
from tests.support.order import LONGEST

MOCLIP = sorted(path.relative_to(ROOT) for path in (ROOT / "moclip").rglob("*.py"))
STAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "stages").rglob("*.py"))
PACKAGES = sorted({path.parent for path in [*MOCLIP, *STAGES]})
NAMES = frozenset(path.as_posix() for path in MOCLIP)

# From the ground up: a package imports those of lower floors alone.
FLOORS = (
    *({"base"}, {"video", "store", "params"}, {"training", "data", "demo", "cluster"}, {"motion", "clip", "results"}),
    *({"heads"}, {"predict", "report"}, {"search"}, {"tracking"}, {"cli"}),
)
FLOOR_OF = {package: number for number, packages in enumerate(FLOORS) for package in packages}
MOST_MODULES = 14  # of a package; each head is one, and there will be many
# Who may import what.
DOORS = {
    "av": {
        "moclip/video/decode.py",
        "moclip/video/container.py",
        "moclip/video/cut.py",
        "moclip/video/reencode.py",
        "moclip/video/write.py",
    },
    "open_clip": {f"moclip/clip/{name}.py" for name in ("architecture", "encoder", "tiny", "tokens", "top", "weights")},
    "huggingface_hub": {"moclip/base/hub.py"},
    "mlflow": {
        "moclip/tracking/client.py",
        "moclip/tracking/models/best.py",
        "moclip/tracking/models/fetch.py",
        "moclip/tracking/models/files.py",
        "moclip/tracking/record.py",
        "moclip/tracking/registry.py",
        "moclip/tracking/serving.py",
        "moclip/tracking/view/names.py",
        "moclip/tracking/view/page.py",
    },
    "timm": {"moclip/motion/imagenet.py", "moclip/motion/net.py"},
    "sklearn": {
        "moclip/data/folder.py",
        "moclip/heads/linear_probe.py",
        "moclip/heads/logistic.py",
        "moclip/report/fingerprint.py",
    },
    "matplotlib": {"moclip/report/figures.py"},
    "distributed": {"moclip/cluster/driver.py"},
}
NUMPY_ONLY = (
    "moclip/data/splits.py",
    "moclip/video/frames.py",
    "moclip/video/vectors.py",
    "moclip/motion/grid.py",
    "moclip/motion/fields.py",
    "moclip/results/metrics.py",
    "moclip/results/intervals.py",
    "moclip/heads/selection.py",
    "moclip/search/moments.py",
)
LIGHT_SCIPY = ("scipy",)  # scipy.special alone: quantiles of distributions
ALSO = {"moclip/results/metrics.py": LIGHT_SCIPY, "moclip/results/intervals.py": LIGHT_SCIPY}
HEAVY = ("torch", "mlflow", "open_clip", "timm", "sklearn", "pandas", "matplotlib")


def libraries(path: Path) -> set[str]:
    """Top names of all that a file imports, also inside functions."""
    return {name.split(".")[0] for name in _imports(ast.parse((ROOT / path).read_text(encoding="utf-8")))}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def importers(library: str) -> set[str]:
    return {path.as_posix() for path in MOCLIP if library in libraries(path)}


def test_the_walk_sees_the_project():
    assert {"moclip/video/decode.py", "moclip/motion/net.py", "moclip/demo/spec.py"} <= NAMES
    assert Path("stages/evaluate.py") in STAGES
    assert "moclip/video/decode.py" in importers("av")


@pytest.mark.parametrize("path", MOCLIP, ids=str)
def test_library_knows_neither_stages_nor_dvc(path):
    assert libraries(path).isdisjoint({"stages", "dvc", "tests", "benchmarks"})


def test_a_package_imports_lower_floors_alone():
    """Held by each file, also for what it imports inside functions."""
    inside = [path for path in MOCLIP if len(path.parts) > 2]  # `python -m moclip` starts the top floor
    arrows = {(file, other) for file in inside for other in imported_files(file) if other.parts[1] != file.parts[1]}
    assert {path.parts[1] for path in MOCLIP if len(path.parts) > 2} == set(FLOOR_OF)
    up = [f"{file} -> {other}" for file, other in arrows if FLOOR_OF[other.parts[1]] >= FLOOR_OF[file.parts[1]]]
    assert sorted(up) == []


@pytest.mark.parametrize("package", [path for path in PACKAGES if path.name not in ("heads", "stages")], ids=str)
def test_a_package_can_be_looked_over(package):
    modules = [path for path in [*MOCLIP, *STAGES] if path.parent == package and path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES


@pytest.mark.parametrize("library", DOORS)
def test_heavy_libraries_come_in_by_their_doors_alone(library):
    assert importers(library) <= DOORS[library]


@pytest.mark.parametrize("library", ["av", "open_clip", "mlflow", "timm"])
def test_stages_leave_heavy_libraries_to_the_library(library):
    assert [path for path in STAGES if library in libraries(path)] == []


@pytest.mark.parametrize("path", NUMPY_ONLY)
def test_core_needs_numpy_alone(path):
    allowed = {*sys.stdlib_module_names, "numpy", "moclip", *ALSO.get(path, ())}
    assert libraries(Path(path)) <= allowed
    reached = {name for file in closure(Path(path)) for name in libraries(file)}
    # psutil is asked only where a process left something half-written.
    assert reached <= allowed | {"psutil"}


# Set what libraries read while they are imported: telemetry, and kernels.
SETS_VARIABLES = {
    Path("moclip/__init__.py"): {"importlib", "moclip"},  # and what stands for the version; a missing extra is named
    Path("moclip/tracking/__init__.py"): {"os"},
    Path("stages/__init__.py"): {"moclip", "pathlib"},
}


@pytest.mark.parametrize("path", [path for path in [*MOCLIP, *STAGES] if path.name == "__init__.py"], ids=str)
def test_package_files_say_what_lives_there_alone(path):
    """A re-export would tie every stage to every file."""
    if path in SETS_VARIABLES:
        assert libraries(path) == SETS_VARIABLES[path]
    else:
        body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        assert [node for node in body if not isinstance(node, ast.Expr)] == []


# Commands are a person's: their defaults name the files that a person knows.
KNOWS_PATHS = {"moclip/cli/places.py"}
FOLDERS = ("data", "models", "preds", "reports", "results")


@pytest.mark.parametrize("path", MOCLIP, ids=str)
def test_library_names_no_file_of_the_pipeline(path):
    """Paths live in dvc.yaml and come in by arguments; docstrings may speak of them."""
    if path.as_posix() in KNOWS_PATHS:
        return
    assert list(pipeline_paths(ast.parse((ROOT / path).read_text(encoding="utf-8")))) == []


def pipeline_paths(tree: ast.AST) -> Iterator[str]:
    """Texts that are a path of the pipeline as a whole, or a folder of it that is joined to a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node.value.split("/")[0] in FOLDERS and re.fullmatch(r"\w+/[\w./-]*", node.value):
                yield node.value
            if node.value in ("params.yaml", "dvc.yaml", "dvc.lock"):
                yield node.value
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            joined = [side.value for side in (node.left, node.right) if isinstance(side, ast.Constant)]
            yield from (name for name in joined if name in FOLDERS)


def test_paths_are_seen_where_they_are_joined_and_not_where_they_are_an_address():
    assert list(pipeline_paths(ast.parse("Path('data/classes.csv')"))) == ["data/classes.csv"]
    assert list(pipeline_paths(ast.parse("models.parent / 'data' / 'clip'"))) == ["data"]
    assert list(pipeline_paths(ast.parse("'https://www.crcv.ucf.edu/data/UCF101'; 'some data/of words'"))) == []


@pytest.mark.parametrize(
    "module", ["moclip.tracking.client", "moclip.tracking.record", "moclip.tracking.live", "moclip.tracking.registry"]
)
def test_mlflow_is_told_to_report_nothing_before_it_is_imported(module):
    program = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow":
            sys.exit(os.environ.get("MLFLOW_DISABLE_TELEMETRY") != "true")
sys.meta_path.insert(0, Watch())
import {module}
sys.exit("mlflow was never imported")
"""
    env = {
        name: value for name, value in os.environ.items() if name not in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


LIGHT = (
    *("stages.evaluate", "stages.summarize", "stages.head", "stages.extract_motion"),
    *("moclip.heads.zero_shot", "moclip.heads.score_average", "moclip.motion.extract"),
)
# Fitted with scikit-learn, which is half as slow to import as torch.
FITTED = ("moclip.heads.linear_probe", "moclip.heads.metadata_only")


def test_light_stages_start_without_heavy_libraries():
    """In one fresh process: an import of torch alone takes longer than these stages work."""
    program = "\n".join(
        [
            "import importlib, sys",
            f"for name in {LIGHT}:",
            "    importlib.import_module(name)",
            f"    print(name, *[heavy for heavy in {HEAVY} if heavy in sys.modules])",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == list(LIGHT)


def test_fitted_controls_start_without_torch():
    imports = "; ".join(f"import {name}" for name in FITTED)
    program = f"import stages.head, sys; {imports}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_files_that_are_begun_first_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
