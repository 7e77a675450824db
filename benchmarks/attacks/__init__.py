"""The attacks of the security review, and others of their kinds, tried on the code as it is.

python -m benchmarks.attacks --out benchmarks/attacks.md

`bench.py` runs a command beside canaries, `table.py` says what a row is, and a module for each kind has its attacks.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # commands are forked

import stages  # noqa: F401  it chooses the kernels, before NumPy is loaded
