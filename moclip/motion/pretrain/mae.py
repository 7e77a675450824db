"""Masked pretraining of a Transformer on vectors: most tokens are hidden from it, and some of these are asked for.

Axes: n video, s field, c component, h and w cells, a times of tokens, l tokens, k tokens that the decoder keeps, e
values of a token, d width.

Source: VideoMAE V2 (arXiv 2303.16727) and its code.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from moclip.base.errors import ParamsError
from moclip.base.random import stream, torch_stream
from moclip.motion.net import MotionNet
from moclip.motion.pretrain.masks import CELL, running_cell, tube_mask
from moclip.motion.sampler import Draws, FieldSampler
from moclip.motion.transforms import augment
from moclip.motion.vit import COMPONENTS, Block, positions, xavier
from moclip.params.heads.motion_mae import MotionMaeParams
from moclip.training.loop import Batch, Schedule, shuffled

TOKEN_STD = 0.02


class Mae(nn.Module):
    """The network as encoder of visible tokens, and a narrow decoder that sees these and names the kept ones.

    Raises:
        ParamsError: the network is none on tokens.
    """

    def __init__(self, net: MotionNet, params: MotionMaeParams) -> None:
        super().__init__()
        if net.arch != "vit":
            raise ParamsError(
                f"motion_pretrain.method: mae needs motion_net.arch: vit; {net.arch} cannot leave out the cells that "
                "are hidden"
            )
        encoder, width = net.transformer, params.decoder_width
        values = encoder.embed.in_features
        self.params, self.net = params, net
        self.narrow = nn.Linear(encoder.width, width, bias=False)
        blocks = (Block(width, params.decoder_heads, encoder.mlp) for _ in range(params.decoder_depth))
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, values)
        for part in (self.narrow, self.blocks, self.head):
            part.apply(xavier)
        self.token = nn.Parameter(TOKEN_STD * torch.randn(width))

    def encoded(self, fields: Tensor, hidden: Tensor) -> Tensor:
        """Visible tokens (n, visible, d) of fields (n, s, c, h, w); no hidden cell is looked at."""
        encoder = self.net.transformer
        tubelets = encoder.tubelets(self.net.scaled(fields))
        seen = taken(tubelets, ~hidden)
        places = taken(positions(tubelets.shape[1], encoder.width).to(seen).expand(len(seen), -1, -1), ~hidden)
        tokens: Tensor = encoder.norm(encoder.through_blocks(encoder.embed(seen) + places))
        return tokens

    def forward(self, fields: Tensor, hidden: Tensor, kept: Tensor) -> Tensor:
        """Values (n, k, e) of the kept tokens, in their order.

        Args:
            fields: (n, s, c, h, w).
            hidden: bool (n, l): what the encoder does not see; as many of each video.
            kept: bool (n, l): what the decoder names; as many of each video.
        """
        n, count = hidden.shape
        seen = self.narrow(self.encoded(fields, hidden))
        places = positions(count, self.params.decoder_width).to(seen).expand(n, -1, -1)
        asked = self.token + taken(places, kept)
        tokens = torch.cat([seen + taken(places, ~hidden), asked], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        values: Tensor = self.head(self.norm(tokens[:, -asked.shape[1] :]))
        return values

    def target(self, fields: Tensor) -> Tensor:
        """What is asked for of every token (n, l, e).

        `raw`: its cells as the network takes them. `tubelet`: each component less its mean in the token, divided by
        sqrt(variance + floor^2). Most tubelets lie still, or tremble by half a pixel: without a floor such noise would
        be blown up to what moves.
        """
        tubelets = self.net.transformer.tubelets(self.net.scaled(fields))
        if self.params.target == "raw":
            return tubelets
        cells = tubelets.unflatten(2, (self.net.transformer.tube, COMPONENTS, -1))
        spread = cells.var(dim=(2, 4), keepdim=True) + self.floor**2
        apart = cells - cells.mean(dim=(2, 4), keepdim=True)
        return (apart / spread**0.5).flatten(2)

    @property
    def floor(self) -> float:
        """`floor_px` in what the network takes."""
        span = 0.5 if self.net.encoding == "bytes" else 1.0  # of `bound_px`, see `MotionNet.scaled`
        return span * self.params.floor_px / self.net.bound_px


def taken(tokens: Tensor, mask: Tensor) -> Tensor:
    """Tokens (n, l, d) where the mask (n, l) is true, in order: (n, as many of each video, d)."""
    return tokens[mask].unflatten(0, (len(tokens), -1))


def masked_loss(predicted: Tensor, target: Tensor, hidden: Tensor, kept: Tensor) -> Tensor:
    """Mean square over values and over tokens that are kept and hidden; others cost nothing.

    Args:
        predicted: (n, k, e), of the kept tokens.
        target: (n, l, e), of all.
        hidden: bool (n, l).
        kept: bool (n, l).
    """
    asked = hidden[kept].unflatten(0, (len(kept), -1))
    squares = (predicted.float() - taken(target, kept).float()).square().mean(dim=2)
    return (squares * asked).sum() / asked.sum()


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Of a batch (fields, hidden, kept)."""
    assert isinstance(model, Mae)
    fields, hidden, kept = batch
    return masked_loss(model(fields, hidden, kept), model.target(fields), hidden, kept)


def draw_masks(
    grid: tuple[int, int, int], count: int, params: MotionMaeParams, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Hidden and kept tokens, bool (count, l) each, of a grid of (times, rows, columns).

    Without a decoder mask, what is hidden is kept: that is the first VideoMAE.

    Raises:
        ParamsError: the grid has no such masks.
    """
    hidden = np.stack([tube_mask(*grid, params.mask, rng) for _ in range(count)])
    kept = hidden
    if params.decoder_mask:
        phases = rng.integers(CELL**2, size=count).tolist()
        kept = ~np.stack([running_cell(*grid, params.decoder_mask, phase) for phase in phases])
    return tuple(torch.from_numpy(mask.reshape(count, -1).copy()) for mask in (hidden, kept))  # type: ignore[return-value]


def schedule(params: MotionMaeParams) -> Schedule:
    """Warm-up, then half a cosine."""
    first, second = params.betas
    return Schedule(
        params.epochs,
        params.lr,
        params.weight_decay,
        betas=(first, second),
        shape="cosine",
        warmup_epochs=params.warmup_epochs,
    )


class MaeBatches:
    """Fields of videos with their masks.

    Args:
        net: Whose tokens are masked.
        sampler: Fields of the videos.
        ids: The videos.
        params: Of the pretraining.
        seed: Of all draws.
    """

    def __init__(
        self,
        net: MotionNet,
        sampler: FieldSampler,
        ids: Sequence[str],
        params: MotionMaeParams,
        seed: Draws,
    ) -> None:
        self.net, self.sampler, self.ids, self.params, self.seed = net, sampler, list(ids), params, seed
        self._held: dict[tuple[str, int], Tensor] = {}

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Batches of an epoch: fields (n, s, c, h, w), hidden and kept tokens (n, l); with each video several times."""
        rng, generator = stream(*self.seed, "masks", epoch), torch_stream(*self.seed, "order", epoch)
        for chosen in shuffled(len(self.ids), self.params.batch_videos, generator):
            ids = [self.ids[place] for place in chosen.tolist()]
            fields = self.sampler.whole(ids, [self.read(video, epoch) for video in ids])
            fields = fields.repeat_interleave(self.params.masks_per_read, dim=0)
            yield self._masked(augment(fields, generator, self.sampler.turn), rng)

    def _masked(self, fields: Tensor, rng: np.random.Generator) -> Batch:
        masks = draw_masks(self.net.transformer.grid(fields), len(fields), self.params, rng)
        return (fields, *map(self.sampler.compute.tensor, masks))

    def read(self, video: str, epoch: int) -> Tensor:
        """Fields at random frames (s, c, h, w); every `reads` epochs the same ones, which are kept as float16."""
        own = self.params.reads
        number = epoch if own is None else epoch % own
        key = (video, number)
        if key in self._held:
            return self._held[key].float()
        (fields,) = self.sampler.read([video], self.sampler.params.segments, stream(*self.seed, "read", number, video))
        if own is not None:
            self._held[key] = fields.half()
        return fields
