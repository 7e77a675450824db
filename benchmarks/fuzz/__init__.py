"""Damaged and forged files by the thousand: each is read or refused by name, soon, in little memory.

python -m benchmarks.fuzz --model models --motion data/motion --inputs 10000 --out benchmarks/fuzz/found.json

`damage.py` says how files are spoilt, `targets.py` what is read and how. Videos have a fuzzer of their own,
`tests/support/fuzz_motion.py`.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # workers are forked

import stages  # noqa: F401  it chooses the kernels, before NumPy is loaded
