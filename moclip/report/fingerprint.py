"""What arithmetic gives here: a digest for each family of operations, equal wherever results are equal to the byte.

Inputs are fixed whole numbers, so that a digest hangs on kernels alone. Nothing of the machine enters.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from moclip.motion.grid import rasterise
from moclip.video.decode import read_frames, stream_motion
from moclip.video.write import encode

Bytes = Iterator[bytes]


def fingerprint() -> dict[str, str]:
    """Digests by family of operations, in 16 hexadecimal digits."""
    return {name: _digest(family()) for name, family in FAMILIES.items()}


def differing(here: Mapping[str, str], recorded: Mapping[str, str]) -> list[str]:
    """Families whose digests are not the recorded ones."""
    return [name for name in sorted(here.keys() | recorded.keys()) if here.get(name) != recorded.get(name)]


def _digest(parts: Bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()[:16]


def _whole(*shape: int, step: int = 7, span: int = 19) -> Tensor:
    """Whole numbers from -9 to 9, as float32."""
    count = 1
    for size in shape:
        count *= size
    return (torch.arange(count).mul(step).remainder(span) - span // 2).float().reshape(shape)


def _raw(tensor: Tensor | None) -> bytes:
    assert tensor is not None
    return tensor.detach().contiguous().numpy().tobytes()


def _random() -> Bytes:
    torch.manual_seed(0)
    yield _raw(torch.randn(1000))
    yield _raw(functional.dropout(torch.ones(1000), 0.5))
    yield from (_raw(p) for p in nn.Linear(64, 64).parameters())
    yield _raw(torch.randperm(1000))


def _vector() -> Bytes:
    x = _whole(33, 257) / 8
    for function in (torch.softmax, torch.log_softmax):
        yield _raw(function(x, 1))
    for result in (functional.gelu(x), x.exp(), x.tanh(), x.sigmoid(), x.sum(0), x.mean(1), x.norm(dim=1)):
        yield _raw(result)
    yield _raw(functional.layer_norm(x, (257,)))
    yield _raw(functional.normalize(x, dim=1))
    yield _raw((_whole(100_003) / 7).sum())  # long enough to be shared among threads


def _gemm() -> Bytes:
    for m, n, k in ((65, 129, 257), (512, 64, 96)):
        yield _raw((_whole(m, k) / 7) @ (_whole(k, n, step=5) / 3))
    yield _raw(functional.linear(_whole(31, 192) / 7, _whole(12, 192, step=11) / 3, _whole(12)))


def _conv() -> Bytes:
    for channels, groups, kernel in ((24, 1, 1), (24, 1, 3), (24, 24, 3)):
        x = (_whole(4, channels, 18, 24) / 7).requires_grad_()
        weight = (_whole(channels, channels // groups, kernel, kernel, step=5) / 9).requires_grad_()
        y = functional.conv2d(x, weight, padding=kernel // 2, groups=groups)
        y.square().sum().backward()
        yield from (_raw(value) for value in (y, x.grad, weight.grad))
    norm = nn.BatchNorm2d(24)
    yield _raw(norm(_whole(4, 24, 18, 24) / 7))
    yield _raw(norm.running_var)


def _attention() -> Bytes:
    q, k, v = (_whole(2, 4, 17, 16, step=step) / 9 for step in (3, 5, 7))
    yield _raw(functional.scaled_dot_product_attention(q, k, v))


def _adamw() -> Bytes:
    weight = nn.Parameter(_whole(37, 41) / 3)
    optimizer = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.01, fused=True)
    for step in range(3):
        optimizer.zero_grad()
        (weight.square() * (_whole(37, 41, step=5 + step) / 11)).sum().backward()
        optimizer.step()
        yield _raw(weight)


def _numpy() -> Bytes:
    for kind in (np.float32, np.float64):
        x = (((np.arange(10_007) * 7) % 101 - 50) / 8).astype(kind)
        for result in (np.exp(x), np.sin(x), np.cos(x), np.tanh(x), np.log(np.abs(x) + 1), x.sum(), x.mean()):
            yield np.asarray(result).tobytes()


def _blas() -> Bytes:
    a = ((np.arange(130 * 70) * 7) % 19 - 9).reshape(130, 70) / 7
    for kind in (np.float32, np.float64):
        yield (a.astype(kind) @ a.T.astype(kind)).tobytes()
    yield np.linalg.norm(a, axis=1).tobytes()
    yield np.asarray(np.dot(a.ravel(), a.ravel())).tobytes()


def _logistic() -> Bytes:
    x = ((np.arange(120 * 16) * 7) % 23 - 11).reshape(120, 16) / 5
    labels = np.arange(120) % 4
    for solver in ("newton-cholesky", "lbfgs"):
        yield LogisticRegression(C=1.0, solver=solver, max_iter=500).fit(x, labels).coef_.tobytes()


def _pillow() -> Bytes:
    picture = Image.fromarray(((np.arange(96 * 128 * 3) * 37) % 256).astype(np.uint8).reshape(96, 128, 3))
    for kind in (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR):
        yield picture.resize((64, 64), kind).tobytes()


def _decode() -> Bytes:
    ground = ((np.arange(96 * 160) * 37) % 251).astype(np.uint8).reshape(96, 160)
    pictures = [np.repeat(ground[:, 3 * shift : 3 * shift + 128, None], 3, axis=2) for shift in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pan.avi"
        encode(path, pictures, fps=25, width=128, height=96)
        yield path.read_bytes()
        yield rasterise(stream_motion(path), 8).mv.tobytes()
        yield read_frames(path, [0, 3]).tobytes()


FAMILIES: Mapping[str, Callable[[], Bytes]] = {
    "random": _random,
    "vector": _vector,
    "gemm": _gemm,
    "conv": _conv,
    "attention": _attention,
    "adamw": _adamw,
    "numpy": _numpy,
    "blas": _blas,
    "logistic": _logistic,
    "pillow": _pillow,
    "decode": _decode,
}
