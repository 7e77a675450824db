"""One small Transformer on the tokens of frames, whatever squeezes them first.

Axes: n video, t frame, p places of a frame, d width of a stream, D width of the network, q queries, k class.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.heads.frames import FRAMES, GRID, MOTION_FRAMES

RESAMPLER, GROUP_RESAMPLER, TOKEN_PROJECTOR = "resampler", "group_resampler", "token_projector"
STREAMS_OF: Mapping[str, tuple[str, ...]] = {
    "clip": (FRAMES, GRID),
    "motion": (MOTION_FRAMES,),
    "both": (FRAMES, GRID, MOTION_FRAMES),
}


class InputNorm(nn.Module):
    """Tokens at length 1, then each unit at mean 0 and deviation 1 over videos, frames and places of the train part."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    @torch.no_grad()
    def fit(self, tokens: Tensor) -> None:
        """Measure tokens (..., d); a constant unit is left unscaled."""
        unit = functional.normalize(tokens, dim=-1).flatten(0, -2)
        deviation = unit.std(dim=0, correction=0)
        self.mean.copy_(unit.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (..., d), normalised."""
        normalised: Tensor = (functional.normalize(tokens, dim=-1) - self.mean) / self.scale
        return normalised


class Attention(nn.Module):
    """Multi-head attention of queries (n, q, D) to keys (n, m, D); `bias` is of its inputs, the output has one."""

    def __init__(self, width: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, width, bias=bias) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, seen: Tensor | None = None) -> Tensor:
        """What each query reads; `seen` (n, m) names the keys that may be read."""
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part, x in ((self.q, queries), (self.k, keys), (self.v, keys))
        )
        mask = None if seen is None else seen[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        read: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return read


class CrossBlock(nn.Module):
    """Queries read tokens and each other, then a feed-forward part; both with a residual.

    Source: the block of Flamingo's resampler, as TinyLLaVA-Video (arXiv 2501.15513) has it.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_queries, self.norm_tokens, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, width, bias=False)
        )

    def forward(self, queries: Tensor, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """Queries (n, q, D) after reading tokens (n, m, D), of which `seen` (n, m) may be read; queries always may."""
        own = self.norm_queries(queries)
        keys = torch.cat([self.norm_tokens(tokens), own], dim=1)
        if seen is not None:
            seen = torch.cat([seen, seen.new_ones(own.shape[:2])], dim=1)
        queries = queries + self.attention(own, keys, seen)
        read: Tensor = queries + self.mlp(self.norm_mlp(queries))
        return read


class Readout(nn.Module):
    """Logits of tokens: one learned query reads them, each with its position. It stands where the papers have an LLM.

    A mean in its place would cancel a position that is added last, and leave order unseen.
    """

    def __init__(self, width: int, heads: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, width) / width**0.5)
        self.block = CrossBlock(width, heads)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.outputs = nn.Linear(width, classes)

    def forward(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """Logits (n, k) of tokens (n, m, D)."""
        query = self.block(self.query.expand(len(tokens), -1, -1), tokens, seen)
        logits: Tensor = self.outputs(self.dropout(self.norm(query[:, 0])))
        return logits


class Resampler(nn.Module):
    """A fixed number of tokens for any number of frames: the same learned queries read each group of frames.

    Groups are consecutive, as `numpy.array_split` cuts; a frame is never cut. With fewer frames than groups there are
    as many groups as frames.
    """

    def __init__(self, width: int, heads: int, depth: int, queries: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.queries = nn.Parameter(torch.randn(1, queries, width) / width**0.5)
        self.blocks = nn.ModuleList(CrossBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """Tokens (n, groups * q, D) of frames (n, t, p, D), of which `seen` (n, t) may be read."""
        groups = min(self.groups, tokens.shape[1])
        parts = tokens.tensor_split(groups, dim=1)
        masks = [None] * groups if seen is None else list(seen.tensor_split(groups, dim=1))
        return torch.cat([self._read(part, mask) for part, mask in zip(parts, masks, strict=True)], dim=1)

    def _read(self, tokens: Tensor, seen: Tensor | None) -> Tensor:
        queries = self.queries.expand(len(tokens), -1, -1)
        by_token = None if seen is None else seen.repeat_interleave(tokens.shape[2], dim=1)
        for block in self.blocks:
            queries = block(queries, tokens.flatten(1, 2), by_token)
        read: Tensor = self.norm(queries)
        return read


class Projector(nn.Module):
    """Mobile-VideoGPT's: an MLP on each token, mean over a coarser grid, a depth-wise convolution added to it.

    Grids are pooled frame by frame. The published code pools four frames as if they were one picture.
    """

    def __init__(self, inputs: int, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.mlp = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
        self.mix = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, grid: Tensor) -> Tensor:
        """Tokens (n, t, side * side, D) of grids (n, t, g, g, d)."""
        frames = grid.shape[:2]
        x = self.mlp(grid).flatten(0, 1).permute(0, 3, 1, 2)
        x = functional.adaptive_avg_pool2d(x, min(self.side, grid.shape[2]))
        x = x + self.mix(x)
        return x.flatten(2).transpose(1, 2).unflatten(0, frames)


class TokenNet(nn.Module):
    """Logits (n, k) of streams of frames.

    Args:
        kind: `resampler` (all frames at once, positions at its inputs), `group_resampler` (group by group, positions
            behind), or `token_projector` (tokens of CLIP, then of motion, projected and not resampled).
        streams: Names in the order of the forward's arguments.
        widths: Width of each stream.
        classes: Number of classes.
        width: D.
        heads: Of attention.
        depth: Blocks of the resampler.
        queries: Of a group.
        groups: Of frames.
        side: Places a side that a projector leaves.
        dropout: Before the classifier.
        frame_dropout: Chance that a frame is hidden in training; of each video, one is always seen.
        positions: Whether positions are added.
    """

    def __init__(
        self,
        kind: str,
        streams: Sequence[str],
        widths: Sequence[int],
        classes: int,
        width: int,
        heads: int,
        depth: int,
        queries: int,
        groups: int,
        side: int,
        dropout: float,
        frame_dropout: float,
        positions: bool,
    ) -> None:
        super().__init__()
        self.kind, self.streams, self.positions, self.frame_dropout = kind, tuple(streams), positions, frame_dropout
        self.norms = nn.ModuleList(InputNorm(own) for own in widths)
        if kind == TOKEN_PROJECTOR:
            self.inputs = nn.ModuleList(Projector(own, width, side) for own in widths)
        else:
            self.inputs = nn.ModuleList(nn.Linear(own, width) for own in widths)
            every = kind == RESAMPLER
            self.resampler = Resampler(
                width, heads, depth, queries * groups if every else queries, 1 if every else groups
            )
        self.readout = Readout(width, heads, classes, dropout)

    def forward(self, *streams: Tensor) -> Tensor:
        """Logits (n, k) of (n, t, d) or (n, t, g, g, d) each."""
        tokens = [self._tokens(*of_stream) for of_stream in zip(self.norms, self.inputs, streams, strict=True)]
        seen = self._seen(tokens[0])
        if self.kind == TOKEN_PROJECTOR:
            return self._read_projected(tokens, seen)
        joined = torch.cat(tokens, dim=2)
        if self.kind == RESAMPLER and self.positions:
            joined = joined + sinusoid(joined.shape[1], joined.shape[-1]).to(joined)[:, None]
        squeezed = self.resampler(joined, seen)
        if self.kind == GROUP_RESAMPLER and self.positions:
            squeezed = squeezed + sinusoid(*squeezed.shape[1:]).to(squeezed)
        logits: Tensor = self.readout(squeezed)
        return logits

    def _tokens(self, norm: nn.Module, project: nn.Module, stream: Tensor) -> Tensor:
        """Tokens (n, t, p, D) of one stream."""
        x = norm(stream)
        if self.kind == TOKEN_PROJECTOR:
            projected: Tensor = project(x if x.dim() == 5 else x[:, :, None, None])
            return projected
        flat: Tensor = project(x.flatten(2, 3) if x.dim() == 5 else x[:, :, None])
        return flat

    def _read_projected(self, tokens: Sequence[Tensor], seen: Tensor | None) -> Tensor:
        """Streams one after the other, each token with the position of its frame."""
        where = sinusoid(tokens[0].shape[1], tokens[0].shape[-1]).to(tokens[0])[:, None]
        placed = [own + where if self.positions else own for own in tokens]
        by_token = (
            None if seen is None else torch.cat([seen.repeat_interleave(own.shape[2], 1) for own in tokens], dim=1)
        )
        logits: Tensor = self.readout(torch.cat([own.flatten(1, 2) for own in placed], dim=1), by_token)
        return logits

    def _seen(self, tokens: Tensor) -> Tensor | None:
        """Which frames (n, t) are not hidden; None where all are seen."""
        if not self.training or not self.frame_dropout:
            return None
        n, t = tokens.shape[:2]
        drawn = torch.rand(n, t, device=tokens.device)
        return (drawn >= self.frame_dropout) | (drawn == drawn.amax(dim=1, keepdim=True))


def sinusoid(length: int, width: int) -> Tensor:
    """Positions (length, width) as sines and cosines of geometric wavelengths (Vaswani et al. 2017)."""
    rate = 10_000.0 ** (-np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * rate
    table = np.zeros((length, width))
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)[:, : width // 2]
    return torch.from_numpy(table).float()
