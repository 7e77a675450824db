"""The kernels that a process computes with: chosen before libraries load, whatever the environment says."""

import ast
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from moclip.base import arithmetic
from moclip.base.arithmetic import AVX2, ONE_THREAD, apply, kernels_of
from tests.support.imports import ROOT
from tests.support.kernels import HOSTILE

RECORDED = json.loads((ROOT / "reports/fingerprint.json").read_text())

in_the_sweep = [  # a minute of emulation each
    pytest.mark.sweep,
    pytest.mark.skipif("MOCLIP_SWEEP" not in os.environ, reason="one emulated processor does; `make sweep` runs both"),
]
needs_avx2 = pytest.mark.skipif(not arithmetic._has_kernels(), reason="needs a processor with AVX2 and FMA")


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has loaded neither NumPy nor PyTorch, on a processor with AVX2."""
    monkeypatch.setattr(arithmetic, "_READERS", ())
    monkeypatch.setattr(arithmetic, "_has_kernels", lambda: True)
    for name in {**ONE_THREAD, **AVX2}:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("unloaded")
def test_portable_overwrites_the_environment_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MKL_CBWR", "AUTO")
    caplog.set_level(logging.INFO)
    apply("portable")
    pins = {**ONE_THREAD, **AVX2}
    assert {name: os.environ[name] for name in pins} == pins
    assert caplog.messages == ["compute.kernels: portable sets MKL_CBWR, whatever the environment says"]


@pytest.mark.usefixtures("unloaded")
def test_native_leaves_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "AUTO")
    apply("native")
    assert os.environ["MKL_CBWR"] == "AUTO"
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.usefixtures("unloaded")
def test_processor_without_avx2_gets_no_kernel_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "_has_kernels", lambda: False)
    assert not apply("portable").has_kernels
    assert {name: os.environ[name] for name in ONE_THREAD} == ONE_THREAD
    assert not AVX2.keys() & os.environ.keys()


@pytest.mark.parametrize(("flags", "has"), [("fma sse4_1 avx2", True), ("avx2 sse4_1", False), ("sse4_1 avx", False)])
def test_processor_is_asked_for_its_flags(tmp_path: Path, flags: str, has: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} bmi2\n")
    assert arithmetic._has_kernels(cpuinfo) == has


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_refuses_when_a_library_has_read_the_environment(library: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {**ONE_THREAD, **AVX2}}
    code = f"import {library}; from moclip.base.arithmetic import apply; apply('portable')"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, check=False, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "was imported before its kernels were chosen" in done.stderr


@pytest.mark.parametrize(
    ("text", "kernels"),
    [
        ("compute: {kernels: native}", "native"),
        ("compute: {kernels: portable}", "portable"),
        ("compute: {kernels: fastest}", "portable"),  # refused elsewhere, where parameters are checked
        ("compute: 3", "portable"),
        ("a: [", "portable"),
        ("", "portable"),
    ],
)
def test_kernels_are_read_from_params(tmp_path: Path, text: str, kernels: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    assert kernels_of(tmp_path / "params.yaml") == kernels
    assert kernels_of(tmp_path / "absent.yaml") == "portable"


def digests(code: str, environment: Mapping[str, str], *before: str) -> dict[str, str]:
    """Print the fingerprint as a process with these variables gives it."""
    clean = {name: value for name, value in os.environ.items() if name not in {**ONE_THREAD, **AVX2}}
    words = [*before, sys.executable, "-c", f"{code}; import json; print(json.dumps(fingerprint()))"]
    done = subprocess.run(words, check=False, env=clean | environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


PINNED = "import stages; from moclip.report.fingerprint import fingerprint"
BARE = "from moclip.report.fingerprint import fingerprint"


@needs_avx2
def test_every_environment_gives_the_recorded_digits() -> None:
    if (here := {name: version(name) for name in RECORDED["versions"]}) != RECORDED["versions"]:
        pytest.skip(f"reports/fingerprint.json is of other versions than are installed: {here}")
    alone = ["taskset", "-c", "0"] if shutil.which("taskset") else []
    assert digests(PINNED, {}) == RECORDED["digests"]
    assert digests(PINNED, HOSTILE, *alone) == RECORDED["digests"]


@needs_avx2
@pytest.mark.parametrize(
    ("family", "left_out"),
    [
        ("vector", {"ATEN_CPU_CAPABILITY": "default"}),
        ("conv", {"ONEDNN_MAX_CPU_ISA": "SSE41"}),
        ("gemm", {"MKL_CBWR": "AUTO"}),
        ("blas", {"OPENBLAS_CORETYPE": "Prescott"}),
        ("numpy", {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}),
        ("conv", {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}),
    ],
)
def test_fingerprint_sees_what_a_pin_is_for(family: str, left_out: Mapping[str, str]) -> None:
    """With one pin left out, its family gives other digits."""
    changed = digests(BARE, {**ONE_THREAD, **AVX2, **left_out})
    assert changed[family] != RECORDED["digests"][family]


@needs_avx2
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-user, which is not installed")
@pytest.mark.parametrize("processor", ["Haswell-noTSX", pytest.param("EPYC-Rome", marks=in_the_sweep)])
def test_other_processors_give_the_recorded_digits(processor: str) -> None:
    if (here := {name: version(name) for name in RECORDED["versions"]}) != RECORDED["versions"]:
        pytest.skip(f"reports/fingerprint.json is of other versions than are installed: {here}")
    # The emulator shows this machine's /proc/cpuinfo, and both processors have the flags that are looked for there.
    assert digests(PINNED, HOSTILE, "qemu-x86_64", "-cpu", processor) == RECORDED["digests"]


VML = {"sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "erf"}
"""Functions of a tensor that PyTorch hands to MKL, some of whose digits are each maker's own."""

ONE_NUMBER = {
    "moclip/clip/encoder.py": {"model.logit_scale.detach().exp()"},
    "moclip/clip/tiny.py": {"model.logit_scale.exp()"},
}
"""Calls on a tensor of one number, which no vector code touches."""

ROOMS = ("training", "heads", "motion", "clip")


def _calls(path: Path) -> set[str]:
    """Calls of such functions in a file: `math`'s and NumPy's own are no tensor's."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in VML
        and ast.unparse(node.func.value) not in {"math", "np"}
    }


def test_networks_take_no_function_whose_digits_are_each_makers_own() -> None:
    files = [path for room in ROOMS for path in (ROOT / "moclip" / room).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix(): _calls(path) for path in files}
    assert {name: calls for name, calls in found.items() if calls} == ONE_NUMBER
