"""One seed in, named streams of randomness out; deterministic kernels."""

import hashlib

import numpy as np
import torch


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator of its own for each purpose: adding a purpose never shifts another's numbers."""
    return np.random.default_rng(_entropy(seed, names))


def torch_stream(seed: int, *names: str | int) -> torch.Generator:
    """As `stream`, for PyTorch on the CPU."""
    return torch.Generator().manual_seed(_entropy(seed, names))


def make_deterministic(seed: int, *names: str | int) -> None:
    """Seed PyTorch's global generator (weights, dropout) and refuse kernels that are not repeatable."""
    torch.manual_seed(_entropy(seed, names))
    torch.use_deterministic_algorithms(True)


def _entropy(seed: int, names: tuple[str | int, ...]) -> int:
    text = ":".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
