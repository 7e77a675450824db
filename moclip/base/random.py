"""One seed in, named streams of randomness out; deterministic kernels."""

import hashlib
import os
from typing import Literal

import numpy as np
import torch

Deterministic = Literal[True, "warn", False]


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator of its own for each purpose: adding a purpose never shifts another's numbers."""
    return np.random.default_rng(_entropy(seed, names))


def torch_stream(seed: int, *names: str | int) -> torch.Generator:
    """As `stream`, for PyTorch on the CPU."""
    return torch.Generator().manual_seed(_entropy(seed, names))


def make_deterministic(seed: int, *names: str | int, mode: Deterministic = True) -> None:
    """Seed PyTorch's global generator (weights, dropout) and choose the kernels.

    Args:
        seed: The one seed.
        names: The purpose, as for `stream`.
        mode: True refuses kernels that are not repeatable, "warn" warns of them, False takes the fastest.
    """
    torch.manual_seed(_entropy(seed, names))
    torch.use_deterministic_algorithms(mode is not False, warn_only=mode == "warn")
    torch.backends.cudnn.benchmark = mode is False
    if mode is not False:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only so; read at its start


def _entropy(seed: int, names: tuple[str | int, ...]) -> int:
    text = ":".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
