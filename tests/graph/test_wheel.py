"""moclip as others install it: a real wheel in an environment of its own, and a project that is made of it alone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from moclip.extras import EXTRAS
from tests.graph.test_pipeline import Repository
from tests.support.imports import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LISTS = PROJECT["project"]["optional-dependencies"]
# Distributions that bring modules of another name.
MODULES = {
    "open-clip-torch": "open_clip",
    "scikit-learn": "sklearn",
    "huggingface-hub": "huggingface_hub",
    "markdown-it-py": "markdown_it",
    "libarchive-c": "libarchive",
}
FEW = ["zero_shot", "motion_only", "clip_probe", "fusion"]
BROUGHT_ALONG = {"fastapi": "mlflow"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with moclip's wheel, and with the packages of this one."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    for name in ["moclip", "pyproject.toml", "setup.py", "README.md", "LICENSE", *PROJECT["tool"]["moclip"]["project"]]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = ["pip", "--quiet", "--disable-pip-version-check"]

    def run(*words: str) -> None:
        subprocess.run([sys.executable, "-m", *words], check=True, cwd=place, capture_output=True)

    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", "wheels", str(source))
    shutil.rmtree(source)
    run("venv", "--without-pip", "venv")
    (wheel,) = (place / "wheels").iterdir()
    run(*pip, "--python", "venv", "install", "--no-deps", str(wheel))
    (site,) = (place / "venv/lib").glob("python*/site-packages")
    (site / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # its own .pth files are not read
    (place / "venv/bin/dvc").write_text(
        f"#!{place}/venv/bin/python\nfrom dvc.cli import main\nraise SystemExit(main())\n"
    )
    (place / "venv/bin/dvc").chmod(0o755)
    return place / "venv"


@pytest.fixture(scope="module")
def project(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """What `moclip init` makes, committed."""
    path = tmp_path_factory.mktemp("projects") / "mine"
    subprocess.run([environment / "bin/moclip", "init", str(path)], check=True, capture_output=True, env=clean())
    repository = Repository(path)
    repository.env = clean() | {
        name: value for name, value in repository.env.items() if name.startswith(("GIT", "DVC"))
    }
    repository.env["PATH"] = os.pathsep.join([str(environment / "bin"), os.environ["PATH"]])
    repository.run("git", "init", "-q")
    repository.run("moclip", "preset", "micro")
    repository.set(splits=[1], heads=FEW)
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-qm", "project")
    return repository


def clean() -> dict[str, str]:
    """Without what leads Python to this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW_TRACKING"))}


def test_package_is_the_wheels_and_says_its_version(environment: Path, tmp_path: Path) -> None:
    program = "import moclip; print(moclip.__version__); print(moclip.__file__); import importlib.resources as r; "
    program += "print((r.files('moclip') / 'py.typed').is_file())"
    done = subprocess.run(
        [environment / "bin/python", "-c", program],
        cwd=tmp_path,
        env=clean(),
        capture_output=True,
        text=True,
        check=True,
    )
    version, file, typed = done.stdout.split()
    assert version == PROJECT["project"]["version"] == metadata.version("moclip")
    assert Path(file).is_relative_to(environment)
    assert typed == "True"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::sqlalchemy.exc.SADeprecationWarning")
def test_dvc_repro_runs_in_a_project_that_the_wheel_made(finished: Repository, project: Repository) -> None:
    """Stages whose code, data and parameters are those of a run in the cache come from it.

    So the texts of code, which the project makes of the installed package, are a checkout's; only the demo's prompts
    lie elsewhere.
    """
    for name in (".dvc/cache", "data/videos"):  # videos are never in the cache
        shutil.copytree(finished.path / name, project.path / name)
    printed = project.run("dvc", "repro").splitlines()
    ran = {line.split("'")[1] for line in printed if line.startswith("Running stage")}
    cached = {line.split("'")[1].rpartition(":")[2] for line in printed if line.endswith("checking out outputs")}
    assert {"code", "cache_clip", "summarize", "report", "track"} <= ran
    assert {"download", "extract_motion", "train_motion", *FEW} - {"motion_only"} <= cached
    for head in FEW:
        name = f"results/heads/{head}/split1_metrics.json"
        assert (project.path / name).read_bytes() == (finished.path / name).read_bytes()
    again = project.run("dvc", "repro").splitlines()
    assert [line.split("'")[1] for line in again if line.startswith("Running stage")] == ["code", "track"]


def test_folder_that_holds_something_is_left(project: Repository) -> None:
    before = sorted(path.name for path in project.path.iterdir())
    project.run("moclip", "init", ".", status=1)
    assert sorted(path.name for path in project.path.iterdir()) == before
    assert "repro     run the whole pipeline and print the results" in project.run("make").splitlines()


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("moclip.motion.net", "torch", "train"),
        ("moclip.data.fetch.transfer", "requests", "train"),
        ("moclip.tracking.client", "mlflow", "track"),
        ("moclip.report.figures", "matplotlib", "pipeline"),
    ],
)
def test_import_without_an_extra_names_it(tmp_path: Path, module: str, library: str, extra: str) -> None:
    """In a process whose path has the core alone."""
    core = [
        "numpy",
        "av",
        "PIL",
        "pydantic",
        "pydantic_core",
        "annotated_types",
        "typing_inspection",
        "filelock",
        "tqdm",
    ]
    core += ["numpy.libs", "av.libs", "pillow.libs", "safetensors", "psutil", "packaging", "ruamel", "shtab"]
    site = Path(sysconfig.get_path("purelib"))
    for name in core:
        if (site / name).exists():
            (tmp_path / name).symlink_to(site / name)
    (tmp_path / "typing_extensions.py").symlink_to(site / "typing_extensions.py")
    program = f"import importlib.util, moclip; print(importlib.util.find_spec({library!r})); import {module}"
    env = clean() | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-S", "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "None\n", "whoever only asks whether it is there is told"
    assert done.stderr.splitlines()[-1].endswith(
        f"MissingExtraError: {library} is not installed; `pip install 'moclip[{extra}]'` brings it"
    )


def test_extras_name_the_modules_that_their_packages_bring() -> None:
    listed = {
        extra: {Requirement(text).name.lower().replace("_", "-") for text in texts} for extra, texts in LISTS.items()
    }
    of_lists = {extra: {MODULES.get(name, name.replace("-", "_")) for name in names} for extra, names in listed.items()}
    for extra, modules in EXTRAS.items():
        assert {BROUGHT_ALONG.get(module, module) for module in modules} <= of_lists[extra], extra
    known = {module for modules in EXTRAS.values() for module in modules}
    brought = set().union(*(of_lists[extra] for extra in EXTRAS)) - {"moclip"}
    assert brought <= known
