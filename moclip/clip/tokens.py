"""What CLIP's image encoder knows of a picture place by place: tokens in the joint space, and its residual stream.

Axes: n image, g0 places a side of the encoder's own map, P = g0 * g0, c width of the stream, d joint space.

Two families have places: the ViT and the ResNet of open_clip. A ViT's tokens are the values of its last attention, past
`ln_post` and the projection: without queries, residual and feed-forward part, which turn maps of places upside down
(MaskCLIP's path, Zhou et al. 2022). A ResNet's are the values of its attention pool.
"""

from collections.abc import Sequence
from typing import Any, Literal

from open_clip import CLIP
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import ParamsError

Path = Literal["value", "last"]


def blocks_of(visual: nn.Module) -> list[Any]:
    """The blocks of an image encoder, from the picture on: a ViT's layers, or a ResNet's stages.

    Raises:
        ParamsError: the encoder is of a family without places, or of a form that is not known here.
    """
    if isinstance(visual, VisionTransformer):
        blocks = list(visual.transformer.resblocks)
        plain = visual.attn_pool is None and visual.pool_type == "tok" and not visual.final_ln_after_pool
        if plain and all(isinstance(block, ResidualAttentionBlock) for block in blocks):
            return blocks
    if isinstance(visual, ModifiedResNet):
        return [visual.layer1, visual.layer2, visual.layer3, visual.layer4]
    raise ParamsError(
        f"clip.model: its image encoder ({type(visual).__name__}) has no spatial tokens that are known here; take a "
        "ViT or a ResNet of CLIP, such as ViT-B-32 or RN50, or leave the heads that need tokens out of `heads`"
    )


def spatial_tokens(model: CLIP, pixels: Tensor, path: Path = "value") -> Tensor:
    """Tokens (n, g0, g0, d) of pictures, in the space of the texts.

    Args:
        model: A CLIP in evaluation mode.
        pixels: Preprocessed pictures (n, 3, h, w).
        path: `value`, or `last`: the last block's output past `ln_post` and the projection, which a ResNet has not.

    Raises:
        ParamsError: as `blocks_of`, or `last` of a ResNet.
    """
    visual = model.visual
    blocks = blocks_of(visual)
    if isinstance(visual, ModifiedResNet):
        if path == "last":
            raise ParamsError("frames.path: last needs a ViT; this CLIP is a ResNet, take value")
        return _resnet_values(visual, _through(visual, pixels, blocks))
    x = _through(visual, pixels, blocks[:-1])
    x = _values(blocks[-1], x) if path == "value" else blocks[-1](x)
    return _square(visual.ln_post(x[:, 1:]) @ visual.proj)


def residual(model: CLIP, pixels: Tensor, cut: int) -> Tensor:
    """The stream that the last `cut` blocks take up: a ViT's (n, 1 + P, c), class token first; a ResNet's (n, P, c).

    Raises:
        ParamsError: as `blocks_of`, or the encoder has fewer blocks.
    """
    visual = model.visual
    blocks = blocks_of(visual)
    if cut > len(blocks):
        raise ParamsError(f"frames.cut: {cut} blocks, but this CLIP's image encoder has {len(blocks)}; cut fewer")
    kept = _through(visual, pixels, blocks[:-cut])
    return kept.flatten(2).transpose(1, 2) if isinstance(visual, ModifiedResNet) else kept


def pooled(tokens: Tensor, grid: int) -> Tensor:
    """Tokens (n, g, g, d) as means over a coarser grid (n, grid, grid, d).

    Raises:
        ParamsError: the map is smaller than the grid.
    """
    own = tokens.shape[1]
    if grid > own:
        raise ParamsError(
            f"frames.grid: {grid} x {grid} places, but this CLIP's map has {own} x {own}; take {own} or less"
        )
    x = functional.adaptive_avg_pool2d(tokens.permute(0, 3, 1, 2), grid)
    return x.permute(0, 2, 3, 1)


def _through(visual: Any, pixels: Tensor, blocks: Sequence[Any]) -> Tensor:
    """A ViT's tokens or a ResNet's maps after these blocks."""
    x: Tensor = visual.stem(pixels) if isinstance(visual, ModifiedResNet) else visual._embeds(pixels)
    for block in blocks:
        x = block(x)
    return x


def _values(block: Any, x: Tensor) -> Tensor:
    """What an attention that looks at each place alone gives it, (n, 1 + P, c)."""
    attention = block.attn
    width = attention.embed_dim
    weight, bias = attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
    found: Tensor = attention.out_proj(functional.linear(block.ln_1(x), weight, bias))
    return found


def _resnet_values(visual: ModifiedResNet, maps: Tensor) -> Tensor:
    pool = visual.attnpool
    x = maps.flatten(2).transpose(1, 2) + pool.positional_embedding[1:]
    return _square(pool.c_proj(pool.v_proj(x)))


def _square(tokens: Tensor) -> Tensor:
    side = round(tokens.shape[1] ** 0.5)
    assert side * side == tokens.shape[1], "CLIP's pictures are square"
    return tokens.unflatten(1, (side, side))
