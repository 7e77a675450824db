"""Which kernels compute: the same bytes on every x86-64 machine, or this machine's fastest. Standard library alone.

Libraries choose kernels by the processor, and sums by the number of threads; both move last digits. The variables below
are read while the libraries are loaded, so they must be set before. What each of them moves was measured: threads,
ATen's vector kernels, oneDNN's convolutions, MKL's products and unary functions, OpenBLAS, and NumPy's own vector code.
"""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kernels = Literal["portable", "native"]

ONE_THREAD: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "OMP_DYNAMIC": "FALSE",
    "MKL_NUM_THREADS": "1",
    "MKL_DYNAMIC": "FALSE",
    "OPENBLAS_NUM_THREADS": "1",
}
AVX2: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # the only branch that is one and the same on both makers' processors
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
_NEEDED_FLAGS = {"avx2", "fma"}
_READERS = ("numpy", "torch")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arithmetic:
    """What was set: `portable` or `native`, and whether this processor has the kernels that `portable` names."""

    kernels: Kernels
    has_kernels: bool

    @property
    def pins(self) -> Mapping[str, str]:
        """Variables by name, as they are to be."""
        if self.kernels == "native":
            return {}
        return {**ONE_THREAD, **AVX2} if self.has_kernels else ONE_THREAD


def apply(kernels: Kernels = "portable") -> Arithmetic:
    """Set the variables for this process and those that it starts; what the environment said of them is overwritten.

    On a processor without AVX2 and FMA, or elsewhere than on Linux x86-64, threads alone are set: a kernel that the
    processor lacks would be an illegal instruction.

    Raises:
        RuntimeError: NumPy or PyTorch, which have read the variables already, would have to read others.
    """
    chosen = Arithmetic(kernels, _has_kernels())
    changed = {name: value for name, value in chosen.pins.items() if os.environ.get(name) != value}
    if changed and (loaded := [name for name in _READERS if name in sys.modules]):
        raise RuntimeError(f"{loaded[0]} was imported before its kernels were chosen; call this first")
    if overwritten := sorted(name for name in changed if name in os.environ):
        log.info("compute.kernels: %s sets %s, whatever the environment says", kernels, ", ".join(overwritten))
    os.environ.update(changed)
    return chosen


def kernels_of(params: Path) -> Kernels:
    """`compute.kernels` of a parameters file; `portable` where it cannot be read, which is refused elsewhere."""
    try:
        from ruamel.yaml import YAML, YAMLError

        from moclip.base.outside import yaml
    except ImportError:  # `moclip doctor` tells what is not installed
        return "portable"
    try:
        value = yaml.load(params, YAML(typ="safe"))["compute"]["kernels"]
    except (OSError, YAMLError, KeyError, TypeError):
        return "portable"
    return "native" if value == "native" else "portable"


def _has_kernels(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    if sys.platform != "linux" or not cpuinfo.is_file():
        return False
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return set(flags) >= _NEEDED_FLAGS
