"""The last blocks of CLIP's image encoder, from its kept residual stream on.

Axes: n video, t frame, l token (a ViT's class token first), p place, c width, h attention head, d joint space.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from open_clip import CLIP
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import ParamsError
from moclip.clip.tokens import blocks_of

Edges = Literal["repeat", "zeros"]
SOFTNESS = 0.1  # of likeness between places of a ResNet, which has no queries


class Level(NamedTuple):
    """One block's output (n, t, l, c), and how its places attend to those of the frame before and of the one after.

    `before` and `after` are (n, t - 1, p, p): of frame i + 1 to frame i, and of frame i to frame i + 1.
    """

    out: Tensor
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class _Attended:
    """Queries, keys and values (n, t, h, l, c / h) of a block's attention."""

    q: Tensor
    k: Tensor
    v: Tensor


class ClipTop(nn.Module):
    """The last `cut` blocks of a CLIP, its last norm and its projection, on what `moclip.clip.tokens.residual` gives.

    A ResNet's batch norms keep their statistics, also where its weights are trained.
    """

    def __init__(self, model: CLIP, cut: int) -> None:
        """Take the modules of `model`, not copies.

        Raises:
            ParamsError: the encoder has no spatial tokens, or fewer blocks.
        """
        super().__init__()
        visual = model.visual
        blocks = blocks_of(visual)
        if cut > len(blocks):
            raise ParamsError(f"frames.cut: {cut} blocks, but this CLIP's image encoder has {len(blocks)}; cut fewer")
        self.blocks = nn.ModuleList(blocks[-cut:])
        self.is_resnet = isinstance(visual, ModifiedResNet)
        self.pool: Any = visual.attnpool if self.is_resnet else None
        if not self.is_resnet:
            self.norm, self.proj = visual.ln_post, visual.proj

    def train(self, mode: bool = True) -> "ClipTop":
        """Set the mode; batch norms stay in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def pooled(self, tokens: Tensor, neighbours: Edges | None = None) -> Tensor:
        """CLIP's feature of each frame, (n, t, d).

        Args:
            tokens: The kept stream (n, t, l, c).
            neighbours: In every attention a frame's tokens also attend to those of the frames beside it. At either end
                the frame itself stands in (`repeat`), or keys and values of zeros, each of which takes a share of the
                softmax as the published code has it (`zeros`). None is CLIP as it is.
        """
        if self.is_resnet:
            maps = self._stages(tokens)
            return self._attention_pool(maps, neighbours)
        for block in self.blocks:
            tokens = self._block(block, tokens, neighbours)[0]
        found: Tensor = self.norm(tokens[:, :, 0]) @ self.proj
        return found

    def entry(self, tokens: Tensor) -> Level:
        """The kept stream of a ResNet as a level, before the first block."""
        return _level_of_places(tokens)

    def levels(self, tokens: Tensor) -> Iterator[Level]:
        """The output of each block with its affinities between neighbouring frames.

        A ResNet's stages have neither a class token nor queries: its level starts with the mean of its places, and its
        affinities are a softmax over the likeness of places.
        """
        for block in self.blocks:
            if self.is_resnet:
                tokens = _as_tokens(block(_as_maps(tokens)), tokens)
                yield _level_of_places(tokens)
            else:
                tokens, attended = self._block(block, tokens, None)
                yield Level(tokens, *_affinity(attended))

    def _block(self, block: Any, x: Tensor, neighbours: Edges | None) -> tuple[Tensor, _Attended]:
        """A ViT's block, whose attention may reach the frames beside each."""
        attention = block.attn
        projected = functional.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = (_by_head(part, attention.num_heads) for part in projected.chunk(3, dim=-1))
        mixed = _merged(_attend(q, _beside(k, neighbours), _beside(v, neighbours)))
        x = x + block.ls_1(attention.out_proj(mixed))
        return x + block.ls_2(block.mlp(block.ln_2(x))), _Attended(q, k, v)

    def _stages(self, tokens: Tensor) -> Tensor:
        maps = _as_maps(tokens)
        for block in self.blocks:
            maps = block(maps)
        return _as_tokens(maps, tokens)

    def _attention_pool(self, tokens: Tensor, neighbours: Edges | None) -> Tensor:
        pool = self.pool
        x = torch.cat([tokens.mean(dim=2, keepdim=True), tokens], dim=2) + pool.positional_embedding
        q, k, v = (_by_head(part(x), pool.num_heads) for part in (pool.q_proj, pool.k_proj, pool.v_proj))
        mixed = _attend(q[..., :1, :], _beside(k, neighbours), _beside(v, neighbours))
        found: Tensor = pool.c_proj(_merged(mixed)[:, :, 0])
        return found


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(n, t, l, c) as (n, t, h, l, c / h)."""
    return x.unflatten(-1, (heads, -1)).transpose(2, 3)


def _merged(x: Tensor) -> Tensor:
    """(n, t, h, l, c / h) as (n, t, l, c)."""
    return x.transpose(2, 3).flatten(3)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v)


def _beside(x: Tensor, neighbours: Edges | None) -> Tensor:
    """Keys or values of the frames after, before and at each frame, one after the other along the tokens."""
    if neighbours is None:
        return x
    first, last = (x[:, :1], x[:, -1:]) if neighbours == "repeat" else [torch.zeros_like(x[:, :1])] * 2
    return torch.cat([torch.cat([x[:, 1:], last], 1), torch.cat([first, x[:, :-1]], 1), x], dim=3)


def _affinity(attended: _Attended) -> tuple[Tensor, Tensor]:
    """Mean over heads of the softmax of places' queries against the neighbour's keys; the class token is left out."""
    q, k = attended.q[..., 1:, :], attended.k[..., 1:, :]
    scale = q.shape[-1] ** -0.5

    def softmax(queries: Tensor, keys: Tensor) -> Tensor:
        return (scale * queries @ keys.transpose(-1, -2)).softmax(dim=-1).mean(dim=2)

    return softmax(q[:, 1:], k[:, :-1]), softmax(q[:, :-1], k[:, 1:])


def _level_of_places(tokens: Tensor) -> Level:
    """Places (n, t, p, c) as a level: their mean first, and how like those of neighbouring frames are."""
    places = functional.normalize(tokens, dim=-1)
    return Level(torch.cat([tokens.mean(dim=2, keepdim=True), tokens], dim=2), *_likeness(places))


def _likeness(places: Tensor) -> tuple[Tensor, Tensor]:
    """The same of unit tokens (n, t, p, c) by their cosine."""
    likeness = places[:, 1:] @ places[:, :-1].transpose(-1, -2) / SOFTNESS
    return likeness.softmax(dim=-1), likeness.transpose(-1, -2).softmax(dim=-1)


def _as_maps(tokens: Tensor) -> Tensor:
    """Places (n, t, p, c) of frames as pictures (n * t, c, side, side)."""
    side = round(tokens.shape[2] ** 0.5)
    return tokens.flatten(0, 1).transpose(1, 2).unflatten(2, (side, side))


def _as_tokens(maps: Tensor, like: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2).unflatten(0, like.shape[:2])
