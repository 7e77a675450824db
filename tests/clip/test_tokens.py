"""What CLIP's image encoder knows of a picture place by place."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip import CLIP
from torch import Tensor
from torch.nn import functional

from moclip.base.errors import ParamsError
from moclip.clip.tokens import blocks_of, pooled, residual, spatial_tokens
from tests.support.towers import pixels, resnet, vit

BOTH = pytest.mark.parametrize("family", [resnet, vit])
FORMS = [
    {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2},
    {"pool_type": "avg"},
    {"final_ln_after_pool": True},
    {"qk_norm": True, "block_type": "custom"},
]


def of_vit(model: CLIP, x: Tensor, blocks: int) -> Tensor:
    """What this many blocks make of pictures."""
    stream = model.visual._embeds(x)
    for block in model.visual.transformer.resblocks[:blocks]:
        stream = block(stream)
    return stream


def attention_pool(model: CLIP, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (n, h, 1 + P) of a ResNet's mean over its places and itself, and values (n, h, 1 + P, c / h)."""
    pool = model.visual.attnpool
    x = maps.flatten(2).transpose(1, 2)
    x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + pool.positional_embedding
    q, k, v = (part(x).unflatten(2, (pool.num_heads, -1)) for part in (pool.q_proj, pool.k_proj, pool.v_proj))
    weights = torch.einsum("nhc,nlhc->nhl", q[:, 0] / q.shape[-1] ** 0.5, k).softmax(dim=-1)
    return weights, v.transpose(1, 2)


def last_maps(model: CLIP, x: Tensor) -> Tensor:
    visual = model.visual
    return visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(x)))))


def test_attention_of_a_resnets_pool_over_its_value_tokens_is_clips_feature():
    """A head's weights sum over the values of that head alone; a token is the values of all heads at a place."""
    model = resnet()
    x, projection = pixels(model), model.visual.attnpool.c_proj
    weights, values = attention_pool(model, last_maps(model, x))
    mixed = projection(torch.einsum("nhl,nhlc->nhc", weights, values).flatten(1))
    expected = model.encode_image(x)
    torch.testing.assert_close(mixed, expected, rtol=1e-5, atol=1e-5)
    assert functional.cosine_similarity(mixed, expected).min() > 1 - 1e-5
    of_places = projection(values[:, :, 1:].transpose(1, 2).flatten(2))
    torch.testing.assert_close(spatial_tokens(model, x).flatten(1, 2), of_places, rtol=1e-5, atol=1e-5)


def test_a_pool_that_attends_evenly_gives_the_mean_of_tokens():
    """With queries of zero all heads take one mean, of the places and of what stands for all of them."""
    model = resnet()
    pool = model.visual.attnpool
    pool.q_proj.weight.zero_()
    pool.q_proj.bias.zero_()
    x = pixels(model)
    maps = last_maps(model, x)
    own = pool.c_proj(pool.v_proj(maps.mean(dim=(2, 3)) + pool.positional_embedding[0]))
    tokens = torch.cat([own[:, None], spatial_tokens(model, x).flatten(1, 2)], dim=1)
    torch.testing.assert_close(tokens.mean(dim=1), model.encode_image(x), rtol=1e-4, atol=1e-5)


def test_weights_of_a_vits_class_token_over_values_are_what_its_last_attention_adds():
    model = vit()
    x = pixels(model)
    block, stream = model.visual.transformer.resblocks[-1], of_vit(model, x, 2)
    normed = block.ln_1(stream)
    added, weights = block.attn(normed, normed, normed, average_attn_weights=False)
    heads, width = block.attn.num_heads, block.attn.embed_dim
    value = functional.linear(normed, block.attn.in_proj_weight[-width:], block.attn.in_proj_bias[-width:])
    by_head = value.unflatten(2, (heads, -1))
    mixed = torch.einsum("nhl,nlhc->nhc", weights[:, :, 0], by_head).flatten(1)
    torch.testing.assert_close(block.attn.out_proj(mixed), added[:, 0], rtol=1e-5, atol=1e-5)
    past_norm = model.visual.ln_post(block.attn.out_proj(value)) @ model.visual.proj
    torch.testing.assert_close(spatial_tokens(model, x).flatten(1, 2), past_norm[:, 1:], rtol=1e-5, atol=1e-5)


def test_value_tokens_of_a_vit_are_a_last_block_of_attention_alone_where_each_token_sees_itself(monkeypatch):
    model = vit()
    x = pixels(model)
    last = model.visual.transformer.resblocks[-1]

    def values_alone(stream: Tensor) -> Tensor:
        normed = last.ln_1(stream)
        mask = torch.full((17, 17), float("-inf")).fill_diagonal_(0)
        return last.attn(normed, normed, normed, attn_mask=mask)[0]

    expected = spatial_tokens(model, x)
    monkeypatch.setattr(last, "forward", values_alone)
    torch.testing.assert_close(spatial_tokens(model, x, "last"), expected, rtol=1e-5, atol=1e-5)


def test_last_tokens_of_a_vit_are_what_open_clip_gives_beside_its_feature():
    model = vit()
    x = pixels(model)
    model.visual.output_tokens = True
    feature, tokens = model.visual(x)
    expected = (tokens @ model.visual.proj).unflatten(1, (4, 4))
    torch.testing.assert_close(spatial_tokens(model, x, "last"), expected, rtol=1e-5, atol=1e-5)
    assert feature.shape[1] == expected.shape[-1]


@BOTH
def test_tokens_lie_where_their_places_lie(family):
    """What stands in one corner of a picture changes the value tokens of that corner most."""
    model = family()
    x = pixels(model, count=1)
    side = x.shape[-1]
    changed = x.clone()
    changed[..., : side // 4, -side // 4 :] += 3.0
    with torch.inference_mode():
        moved = (spatial_tokens(model, changed) - spatial_tokens(model, x)).norm(dim=-1)[0]
    rows, columns = divmod(int(moved.argmax()), moved.shape[1])
    assert rows < moved.shape[0] / 2
    assert columns >= moved.shape[1] / 2


@BOTH
@pytest.mark.parametrize("path", ["value", "last"])
def test_tokens_have_the_shape_of_the_map_and_of_the_joint_space(family, path):
    model = family()
    if family is resnet and path == "last":
        with pytest.raises(ParamsError, match=r"frames\.path: last needs a ViT; this CLIP is a ResNet, take value"):
            spatial_tokens(model, pixels(model), path)
    else:
        shape = spatial_tokens(model, pixels(model), path).shape
        assert shape == ((4, 2, 2, 64) if family is resnet else (4, 4, 4, 24))


@BOTH
def test_pictures_do_not_see_each_other(family):
    model = family()
    x = pixels(model)
    torch.testing.assert_close(spatial_tokens(model, x)[2:3], spatial_tokens(model, x[2:3]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(residual(model, x, 1)[2:3], residual(model, x[2:3], 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "cut", "shape"),
    [
        (resnet, 1, (4, 16, 128)),
        (resnet, 2, (4, 64, 64)),
        (resnet, 4, (4, 256, 8)),
        (vit, 1, (4, 17, 32)),
        (vit, 3, (4, 17, 32)),
    ],
)
def test_stream_has_the_tokens_of_the_block_that_takes_it_up(family, cut, shape):
    model = family()
    assert residual(model, pixels(model), cut).shape == shape


def test_stream_of_a_vit_has_its_class_token_first():
    model = vit()
    x = pixels(model)
    for cut in (1, 2, 3):
        torch.testing.assert_close(residual(model, x, cut), of_vit(model, x, 3 - cut))
    alike = residual(model, x, 3)[:, 0]
    torch.testing.assert_close(alike, alike[:1].expand_as(alike)), "before any block it has seen no picture"


@pytest.mark.parametrize(("family", "blocks"), [(resnet, 4), (vit, 3)])
def test_more_blocks_than_there_are_cannot_be_cut(family, blocks):
    model = family()
    assert len(blocks_of(model.visual)) == blocks
    with pytest.raises(ParamsError, match=rf"frames\.cut: {blocks + 1} blocks, but .* has {blocks}; cut fewer"):
        residual(model, pixels(model), blocks + 1)


@pytest.mark.parametrize("form", FORMS, ids=[next(iter(form)) for form in FORMS])
def test_vit_of_another_form_is_refused_by_name(form):
    model = vit(**form)
    for ask in (lambda: spatial_tokens(model, pixels(model)), lambda: residual(model, pixels(model), 1)):
        with pytest.raises(ParamsError, match=r"image encoder \(VisionTransformer\) has no spatial tokens .*ViT-B-32"):
            ask()


def test_tower_of_timm_is_refused_by_name():
    model = vit(timm_model_name="resnet18", timm_pool="avg", timm_proj="linear")
    with pytest.raises(ParamsError, match=r"image encoder \(TimmModel\) has no spatial tokens .* out of `heads`"):
        spatial_tokens(model, torch.zeros(1, 3, 32, 32))


@given(st.integers(1, 7), st.integers(0, 100))
def test_pooling_to_one_place_is_the_mean_and_to_all_places_is_none(side, seed):
    tokens = torch.randn(2, side, side, 3, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(pooled(tokens, 1)[:, 0, 0], tokens.mean(dim=(1, 2)))
    torch.testing.assert_close(pooled(tokens, side), tokens)


@given(st.integers(1, 4), st.integers(1, 3))
def test_pooling_takes_the_mean_of_each_square(grid, factor):
    side = grid * factor
    tokens = torch.arange(float(side * side * 2)).view(1, side, side, 2)
    expected = tokens.view(1, grid, factor, grid, factor, 2).mean(dim=(2, 4))
    torch.testing.assert_close(pooled(tokens, grid), expected)


def test_grid_larger_than_the_map_is_refused():
    model = resnet()
    tokens = spatial_tokens(model, pixels(model))
    with pytest.raises(ParamsError, match=r"frames\.grid: 3 x 3 places, but .* map has 2 x 2; take 2 or less"):
        pooled(tokens, 3)
