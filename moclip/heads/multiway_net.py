"""MuLTI's sampler on frozen tokens: video and class texts share their attention, and each has a feed-forward part.

Axes: n video, t frame, p places, m = t * p tokens, D width, s queries, k class, d joint space.

No code of the paper (arXiv 2303.05707) was found, and of its text the order of the sub-layers could not be read: the
order here is a stated reading.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.heads.frames import FRAMES
from moclip.heads.token_net import Attention, InputNorm, sinusoid


class Feedforward(nn.Sequential):
    """Norm, four times as wide, back; its last layer starts at zero."""

    def __init__(self, width: int) -> None:
        last = _from_zero(nn.Linear(4 * width, width))
        super().__init__(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), last)


class Layer(nn.Module):
    """Queries sample the video, then each text reads what was sampled, alone with itself."""

    def __init__(self, width: int, heads: int, shared: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.video = Attention(width, heads)
        self.text = None if shared else Attention(width, heads)
        for attention in filter(None, (self.video, self.text)):
            _from_zero(attention.out)
        self.video_mlp, self.text_mlp = Feedforward(width), Feedforward(width)

    def sample(self, sampled: Tensor, pooled: Tensor, tokens: Tensor, queries: Tensor) -> Tensor:
        """Sampled tokens (n, s, D) after queries read (n, m, D) and what was pooled."""
        keys = self.norm(torch.cat([tokens, pooled], dim=1))
        sampled = sampled + self.video(self.norm(queries + pooled), keys)
        found: Tensor = sampled + self.video_mlp(sampled)
        return found

    def read(self, texts: Tensor, sampled: Tensor) -> Tensor:
        """Texts (n, k, D), each after reading (n, s, D) and itself: no class sees another."""
        n, k, width = texts.shape
        alone = texts.reshape(n * k, 1, width)
        keys = torch.cat([sampled.repeat_interleave(k, dim=0), alone], dim=1)
        alone = alone + (self.text or self.video)(self.norm(alone), self.norm(keys))
        alone = alone + self.text_mlp(alone)
        return alone.reshape(n, k, width)


def _from_zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class MultiwayNet(nn.Module):
    """Logits (n, k): those of zero-shot on the mean of the same frames, and what reading the video adds to each class.

    At the start nothing is added. The number of parameters does not hang on the number of classes, and a class's logit
    not on which others there are, unless `text_guided` is off.

    Args:
        streams: Names in the order of the forward's arguments; `frames` is among them.
        widths: Width of each stream.
        inputs: Streams whose tokens are sampled, of those.
        texts: Unit class features (k, d) as nested lists.
        logit_scale: Of zero-shot.
        width, heads, depth, queries, residual, text_guided, shared_attention, dropout: As of `MultiwayParams`.
    """

    texts: Tensor

    def __init__(
        self,
        streams: Sequence[str],
        widths: Sequence[int],
        inputs: Sequence[str],
        classes: int,
        logit_scale: float,
        width: int,
        heads: int,
        depth: int,
        queries: int,
        residual: bool,
        text_guided: bool,
        shared_attention: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.streams, self.read_streams = tuple(streams), tuple(inputs)
        self.residual, self.text_guided, self.logit_scale = residual, text_guided, logit_scale
        by_name = dict(zip(streams, widths, strict=True))
        self.register_buffer("texts", torch.zeros(classes, by_name[FRAMES]))
        self.norms = nn.ModuleList(InputNorm(by_name[name]) for name in inputs)
        self.inputs = nn.ModuleList(nn.Linear(by_name[name], width) for name in inputs)
        self.text_input = nn.Linear(by_name[FRAMES], width)
        self.queries = nn.Parameter(torch.randn(1, queries, width) / width**0.5)
        self.layers = nn.ModuleList(Layer(width, heads, shared_attention) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1 if text_guided else classes, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, *streams: Tensor) -> Tensor:
        """Logits (n, k) of (n, t, d) or (n, t, g, g, d) each, of all classes."""
        return self.of_texts(self.texts, *streams)

    def of_texts(self, texts: Tensor, *streams: Tensor) -> Tensor:
        """Logits (n, k) for unit texts: (k, d) alike for all videos, or (n, k, d)."""
        by_name = dict(zip(self.streams, streams, strict=True))
        mean = functional.normalize(by_name[FRAMES], dim=-1).mean(dim=1)
        texts = texts.expand(len(mean), -1, -1)
        zero_shot = self.logit_scale * (texts @ mean[:, :, None])[..., 0]
        return zero_shot + self._added(texts, [by_name[name] for name in self.read_streams])

    def _added(self, texts: Tensor, streams: Sequence[Tensor]) -> Tensor:
        tokens, layers = self._tokens(streams), list[Any](self.layers)
        queries = self.queries.expand(len(tokens), -1, -1)
        pooled = _pooled(tokens, self.queries.shape[1]) if self.residual else torch.zeros_like(queries)
        sampled, read = pooled, self.text_input(texts)
        flat = tokens.flatten(1, 2)
        for layer in layers:
            sampled = layer.sample(sampled, pooled, flat, queries)
            read = layer.read(read, sampled) if self.text_guided else read
        if self.text_guided:
            added: Tensor = self.score(self.dropout(self.norm(read)))[..., 0]
            return added
        by_class: Tensor = self.score(self.dropout(self.norm(sampled.mean(dim=1))))
        return by_class

    def _tokens(self, streams: Sequence[Tensor]) -> Tensor:
        """Tokens (n, t, p, D) of all streams, each with the position of its frame."""
        placed = []
        for norm, project, stream in zip(self.norms, self.inputs, streams, strict=True):
            x = norm(stream)
            placed.append(project(x.flatten(2, 3) if x.dim() == 5 else x[:, :, None]))
        tokens = torch.cat(placed, dim=2)
        return tokens + sinusoid(tokens.shape[1], tokens.shape[-1]).to(tokens)[:, None]


def _pooled(tokens: Tensor, count: int) -> Tensor:
    """Means (n, count, D) over consecutive frames and their places; of few frames, some stand twice."""
    by_frame = tokens.mean(dim=2).transpose(1, 2)
    return functional.adaptive_avg_pool1d(by_frame, count).transpose(1, 2)
