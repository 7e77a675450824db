"""The graph's scripts, one a stage. Importing one chooses the kernels first, before NumPy and PyTorch are loaded."""

from pathlib import Path

from moclip.base.arithmetic import apply, kernels_of

apply(kernels_of(Path("params.yaml")))
