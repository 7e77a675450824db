"""A Transformer on motion vectors: tokens are tubes of cells over some fields of a video.

Axes: n video, s field in order of time, c component (dx, dy), h and w cells, a times of tokens (s / tube), p places of
tokens (h / patch * w / patch), l tokens (a * p, times first), e values of a token, d width.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import DataError
from moclip.params.heads.motion_vit import MotionVitParams

COMPONENTS = 2
SLOWEST = 10_000.0  # wavelength of the last dimension of a position, over 2 pi


class MotionTransformer(nn.Module):
    """Blocks with normalisation first, no class token, fixed positions: the encoder of VideoMAE.

    Args:
        shape: `tube`, `patch`, `width`, `depth`, `heads` and `mlp` are read.
    """

    def __init__(self, shape: MotionVitParams) -> None:
        super().__init__()
        self.tube, self.patch, self.width, self.mlp = shape.tube, shape.patch, shape.width, shape.mlp
        self.embed = nn.Linear(COMPONENTS * shape.tube * shape.patch**2, shape.width)
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads, shape.mlp) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width)
        self.apply(xavier)

    def grid(self, fields: Tensor) -> tuple[int, int, int]:
        """Times, rows and columns of the tokens of fields (n, s, c, h, w).

        Raises:
            DataError: cells or fields are left over.
        """
        s, _, h, w = fields.shape[1:]
        if h % self.patch or w % self.patch or s % self.tube:
            raise DataError(
                f"{s} fields of {h} x {w} cells are no whole number of tubes of {self.tube} fields and patches of "
                f"{self.patch} x {self.patch} cells; "
                "set motion_vit.input_px to a multiple of motion_vit.patch, or another patch or tube"
            )
        return s // self.tube, h // self.patch, w // self.patch

    def tubelets(self, fields: Tensor) -> Tensor:
        """Cells of each token (n, l, e): by field, component, row and column within it.

        Raises:
            DataError: as `grid`.
        """
        a, rows, columns = self.grid(fields)
        parts = fields.unflatten(4, (columns, self.patch)).unflatten(3, (rows, self.patch)).unflatten(1, (a, self.tube))
        # n a tube c rows patch columns patch
        return parts.permute(0, 1, 4, 6, 2, 3, 5, 7).flatten(4).flatten(1, 3)

    def embedded(self, tubelets: Tensor) -> Tensor:
        """Tokens (n, l, d) with their positions, before any block."""
        tokens: Tensor = self.embed(tubelets)
        return tokens + positions(tokens.shape[1], self.width).to(tokens)

    def through_blocks(self, tokens: Tensor) -> Tensor:
        """Tokens (n, l, d) of any places, before the last normalisation."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def before_norm(self, fields: Tensor) -> Tensor:
        """What the last block gives of fields (n, s, c, h, w), by place: (n, a, d, rows, columns)."""
        a, rows, columns = self.grid(fields)
        tokens = self.through_blocks(self.embedded(self.tubelets(fields)))
        return tokens.unflatten(1, (a, rows, columns)).permute(0, 1, 4, 2, 3)

    def after_norm(self, tokens: Tensor) -> Tensor:
        """The last normalisation of what `before_norm` gives, of the same shape."""
        normalised: Tensor = self.norm(tokens.permute(0, 1, 3, 4, 2))
        return normalised.permute(0, 1, 4, 2, 3)

    def layers(self) -> list[list[nn.Parameter]]:
        """Every parameter, from the input's side up: the embedding, each block, and with the last block the norm."""
        parts = [self.embed, *self.blocks]
        found = [list(part.parameters()) for part in parts]
        found[-1] += list(self.norm.parameters())
        return found


class Block(nn.Module):
    """Self-attention, then a feed-forward part, each behind a normalisation and added to its input."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, mlp * width), nn.Linear(mlp * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (n, l, d) to the same."""
        tokens = tokens + self.out(self._attended(self.qkv(self.norm1(tokens))))
        hidden: Tensor = self.down(functional.gelu(self.up(self.norm2(tokens))))
        return tokens + hidden

    def _attended(self, qkv: Tensor) -> Tensor:
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (n, heads, l, d / heads) each
        # Spelt out: PyTorch's fused attention has no second derivative, which an alignment loss takes.
        weights = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(dim=-1)
        return (weights @ v).transpose(1, 2).flatten(2)


def xavier(module: nn.Module) -> None:
    """Weights of a linear layer by Xavier's uniform rule, its bias zero; other modules stay as they are."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def positions(count: int, width: int) -> Tensor:
    """Sines and cosines of a token's number, (count, width): fixed positions in one dimension, as VideoMAE has them."""
    return torch.from_numpy(_positions(count, width).copy())


@lru_cache(maxsize=8)
def _positions(count: int, width: int) -> np.ndarray:
    pairs = np.arange(width) // 2
    angles = np.arange(count)[:, None] / SLOWEST ** (2 * pairs / width)
    return np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles)).astype(np.float32)
