"""The graph's scripts, one a stage. One thread in each process: a sum's bytes may not hang on the number of cores."""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
