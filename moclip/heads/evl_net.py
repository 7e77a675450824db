"""EVL's decoder: one query that reads the tokens of all frames, level by level, with what tells time added to each.

Axes: n video, t frame, l token (class token first), p places, c width of the level, C width of the decoder, k class.

Source: Lin et al., Frozen CLIP Models are Efficient Video Learners (ECCV 2022, arXiv 2208.03550), as read in its code.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.heads.token_net import Attention

CONV, POSITION, ATTENTION = "conv", "position", "attention"
QUICK = 1.702


class Temporal(nn.Module):
    """Adds what tells time to a level: a convolution over frames, a position a frame, and where neighbours' places are.

    All are added to the level as it came; the published code adds in place, which would spoil a kept level.
    """

    def __init__(self, width: int, frames: int, places: int, parts: Collection[str]) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1, groups=width) if CONV in parts else None
        self.position = nn.Parameter(torch.zeros(frames, width)) if POSITION in parts else None
        self.before = self.after = None
        if ATTENTION in parts:
            side = math.isqrt(places)
            self.register_buffer("offsets", relative_places(side), persistent=False)
            self.before, self.after = (nn.Parameter(torch.zeros((2 * side - 1) ** 2, width)) for _ in range(2))

    def forward(self, level: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """The level (n, t, l, C) with affinities (n, t - 1, p, p) to the frames before and after."""
        found = level
        if self.conv is not None:
            along = level.permute(0, 2, 3, 1)  # (n, l, C, t)
            found = found + self.conv(along.flatten(0, 1)).reshape(along.shape).permute(0, 3, 1, 2)
        if self.position is not None:
            found = found + self.position[:, None]
        if self.before is not None and self.after is not None:
            of_before, of_after = self._moved(before, self.before), self._moved(after, self.after)
            places = functional.pad(of_before, (0, 0, 0, 0, 1, 0)) + functional.pad(of_after, (0, 0, 0, 0, 0, 1))
            found = found + functional.pad(places, (0, 0, 1, 0))  # the class token has no place
        return found

    def _moved(self, affinity: Tensor, table: Tensor) -> Tensor:
        """By place (n, t - 1, p, C): rows of the table, by where the places lie that it attends to."""
        offsets: Any = self.offsets
        return torch.einsum("ntpr,prc->ntpc", affinity, table[offsets])


def relative_places(side: int) -> Tensor:
    """Row of a table ((2 side - 1)^2) for each pair of places (p, r): by how far p lies from r, down and across."""
    place = torch.arange(side * side)
    down, across = place // side, place % side
    apart = down[:, None] - down + side - 1, across[:, None] - across + side - 1
    return apart[0] * (2 * side - 1) + apart[1]


class DecoderLayer(nn.Module):
    """The query reads a level, then a feed-forward part; both with a residual."""

    def __init__(self, width: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.norm_query, self.norm_mlp, self.norm_level = (nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, heads, bias=True)
        self.up, self.down = nn.Linear(width, mlp * width), nn.Linear(mlp * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, level: Tensor) -> Tensor:
        """The query (n, 1, C) after reading (n, m, C)."""
        query = query + self.attention(self.norm_query(query), self.norm_level(level))
        hidden = self.up(self.norm_mlp(query))
        read: Tensor = query + self.down(self.dropout(hidden * (QUICK * hidden).sigmoid()))
        return read


class EvlDecoder(nn.Module):
    """Logits (n, k) of levels: for each, tokens (n, t, l, c) and two affinities (n, t - 1, p, p).

    Args:
        widths: Width of each level.
        places: Places of each level.
        frames: t, which the positions fix.
        classes: Number of classes.
        width: C; None takes the levels' own, which are then alike, without an adapter.
        heads, mlp, temporal, dropout: As of `EvlParams`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        places: Sequence[int],
        frames: int,
        classes: int,
        width: int | None,
        heads: int,
        mlp: int,
        temporal: Collection[str],
        dropout: float,
    ) -> None:
        super().__init__()
        own = width or widths[0]
        self.adapters = nn.ModuleList(nn.Identity() if width is None else nn.Linear(level, own) for level in widths)
        self.temporal = nn.ModuleList(Temporal(own, frames, count, temporal) for count in places)
        self.layers = nn.ModuleList(DecoderLayer(own, heads, mlp, dropout) for _ in widths)
        self.query = nn.Parameter(torch.zeros(own))
        self.norm, self.dropout = nn.LayerNorm(own), nn.Dropout(dropout)
        self.outputs = nn.Linear(own, classes)
        for layer in self.layers.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, *levels: Tensor) -> Tensor:
        """Logits (n, k); three tensors a level, as `moclip.clip.top.Level` has them."""
        logits: Tensor = self.outputs(self.dropout(self.features(*levels)))
        return logits

    def features(self, *levels: Tensor) -> Tensor:
        """What the query has read, (n, C)."""
        query = self.query.expand(len(levels[0]), 1, -1)
        parts = zip(self.adapters, self.temporal, self.layers, strict=True)
        for place, (adapt, add_time, layer) in enumerate(parts):
            out, before, after = levels[3 * place : 3 * place + 3]
            query = layer(query, add_time(adapt(out), before, after).flatten(1, 2))
        read: Tensor = self.norm(query[:, 0])
        return read
