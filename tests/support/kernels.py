"""A plugin that pytest loads first: tests compute as the pipeline does, and NumPy is loaded after that was chosen."""

from moclip.base.arithmetic import apply

apply("portable")

HOSTILE = {
    "OMP_NUM_THREADS": "7",
    "MKL_NUM_THREADS": "3",
    "OPENBLAS_NUM_THREADS": "2",
    "MKL_CBWR": "AUTO",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
}
"""An environment that asks for other kernels than the pipeline's, and for more threads."""
