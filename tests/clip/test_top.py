"""The last blocks of CLIP's image encoder, from its kept residual stream on."""

import copy

import pytest
import torch
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import ParamsError
from moclip.clip.tokens import residual
from moclip.clip.top import SOFTNESS, ClipTop
from tests.support.towers import pixels, resnet, vit

CUTS = [(resnet, 1), (resnet, 2), (resnet, 3), (resnet, 4), (vit, 1), (vit, 2), (vit, 3)]
EVERY_CUT = pytest.mark.parametrize(("family", "cut"), CUTS)
BOTH = pytest.mark.parametrize(("family", "cut"), [(resnet, 1), (vit, 1)])
N, T = 2, 5


def clips(model: CLIP, cut: int, seed: int = 0) -> Tensor:
    """Kept streams (n, t, l, c) of two videos of five frames."""
    return residual(model, pixels(model, N * T, seed), cut).unflatten(0, (N, T))


def static(model: CLIP, cut: int) -> Tensor:
    """The same, where the frames of a video are one."""
    return residual(model, pixels(model, N), cut)[:, None].expand(-1, T, -1, -1)


@EVERY_CUT
def test_the_top_on_the_kept_stream_is_clips_feature(family, cut):
    model = family()
    x = pixels(model, N * T)
    found = ClipTop(model, cut).pooled(residual(model, x, cut).unflatten(0, (N, T)))
    torch.testing.assert_close(found.flatten(0, 1), model.encode_image(x), rtol=1e-5, atol=1e-5)


@EVERY_CUT
def test_a_stream_kept_in_half_precision_keeps_the_direction_of_the_feature(family, cut):
    model = family()
    x = pixels(model, N * T)
    found = ClipTop(model, cut).pooled(residual(model, x, cut).half().float().unflatten(0, (N, T)))
    assert functional.cosine_similarity(found.flatten(0, 1), model.encode_image(x)).min() > 0.9999


@pytest.mark.parametrize("scale", [None, 0.5])
def test_blocks_that_scale_their_parts_are_taken_as_they_are(scale):
    model = vit(ls_init_value=scale)
    x = pixels(model)
    found = ClipTop(model, 2).pooled(residual(model, x, 2)[None])
    torch.testing.assert_close(found[0], model.encode_image(x), rtol=1e-5, atol=1e-5)


@EVERY_CUT
def test_neighbours_that_show_the_same_picture_change_nothing_where_ends_repeat(family, cut):
    model = family()
    top, tokens = ClipTop(model, cut), static(model, cut)
    alone = top.pooled(tokens)
    torch.testing.assert_close(top.pooled(tokens, "repeat"), alone, rtol=1e-6, atol=1e-6 * float(alone.abs().max()))


@BOTH
def test_zeros_beyond_the_ends_take_a_share_of_the_attention_there_alone(family, cut):
    model = family()
    top, tokens = ClipTop(model, cut), static(model, cut)
    alone, zeros = top.pooled(tokens), top.pooled(tokens, "zeros")
    torch.testing.assert_close(zeros[:, 1:-1], alone[:, 1:-1], rtol=1e-5, atol=1e-6)
    apart = (zeros - alone).norm(dim=-1) / alone.norm(dim=-1)
    assert apart[:, [0, -1]].min() > 1e-3


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_what_zeros_do_at_the_ends_goes_one_frame_inwards_with_each_block(cut):
    model = vit()
    top, tokens = ClipTop(model, cut), static(model, cut)[:, :1].expand(-1, 9, -1, -1)
    alone = top.pooled(tokens)
    apart = ((top.pooled(tokens, "zeros") - alone).norm(dim=-1) / alone.norm(dim=-1)).amax(dim=0)
    reached = torch.arange(9).minimum(8 - torch.arange(9)) < cut
    assert apart[reached].min() > 1e-4
    assert apart[~reached].max() < 1e-5


def test_neighbours_are_one_softmax_over_the_tokens_of_three_frames():
    """Second formula, frame by frame: queries of a frame on the keys of the next, of the one before, and its own."""
    model = vit()
    top, tokens = ClipTop(model, 1), clips(model, 1)
    block = top.blocks[0]
    x = block.ln_1(tokens)
    weights = block.attn.in_proj_weight.chunk(3)
    biases = block.attn.in_proj_bias.chunk(3)
    q, k, v = (functional.linear(x, w, b).unflatten(-1, (2, 16)) for w, b in zip(weights, biases, strict=True))
    for edges in ("repeat", "zeros"):
        found = top.pooled(tokens, edges)
        for t in range(T):
            beside = [i if 0 <= i < T else (t if edges == "repeat" else None) for i in (t + 1, t - 1)]
            keys, values = (
                torch.cat([torch.zeros_like(of[:, t]) if i is None else of[:, i] for i in (*beside, t)], dim=1)
                for of in (k, v)
            )
            share = (torch.einsum("nqhc,nkhc->nhqk", q[:, t], keys) / 4).softmax(dim=-1)
            mixed = torch.einsum("nhqk,nkhc->nqhc", share, values).flatten(2)
            out = tokens[:, t] + block.attn.out_proj(mixed)
            out = out + block.mlp(block.ln_2(out))
            expected = model.visual.ln_post(out[:, 0]) @ model.visual.proj
            torch.testing.assert_close(found[:, t], expected, rtol=1e-5, atol=1e-5)


@EVERY_CUT
@pytest.mark.parametrize("edges", [None, "repeat", "zeros"])
def test_reversed_frames_give_reversed_features(family, cut, edges):
    model = family()
    top, tokens = ClipTop(model, cut), clips(model, cut)
    torch.testing.assert_close(
        top.pooled(tokens.flip(1), edges), top.pooled(tokens, edges).flip(1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("edges", ["repeat", "zeros"])
def test_mean_over_frames_does_not_tell_a_video_from_its_reverse(edges):
    """Neighbours are a set: this attention is blind to the arrow of time, though not to the order of frames."""
    model = vit()
    top, tokens = ClipTop(model, 3), clips(model, 3)
    means = [top.pooled(order, edges).mean(dim=1) for order in (tokens, tokens.flip(1), tokens[:, [2, 0, 3, 1, 4]])]
    torch.testing.assert_close(means[0], means[1], rtol=1e-4, atol=1e-5)
    assert (means[0] - means[2]).abs().max() > 1e-3


@pytest.mark.parametrize("edges", ["repeat", "zeros"])
@pytest.mark.parametrize(
    ("family", "cut", "reach"), [(vit, 1, 1), (vit, 2, 2), (vit, 3, 3), (resnet, 1, 1), (resnet, 4, 1)]
)
def test_a_frame_reaches_one_frame_further_with_each_attention(family, cut, reach, edges):
    """A ResNet's stages are convolutions of a frame: the one attention that it has is its pool."""
    model = family()
    top, tokens = ClipTop(model, cut), clips(model, cut)
    changed = tokens.clone()
    changed[0, 0] += clips(model, cut, seed=1)[0, 0]
    apart = (top.pooled(changed, edges) - top.pooled(tokens, edges)).abs().amax(dim=-1)
    assert (apart[0, : reach + 1] > 1e-4).all()
    assert (apart[0, reach + 1 :] < 1e-6).all()
    assert (apart[1] < 1e-6).all(), "videos do not see each other"
    without = (top.pooled(changed) - top.pooled(tokens)).abs().amax(dim=-1)
    assert (without[0, 1:] < 1e-6).all()


@pytest.mark.parametrize("edges", [None, "repeat", "zeros"])
@BOTH
def test_a_video_of_one_frame_has_a_feature(family, cut, edges):
    model = family()
    tokens = clips(model, cut)[:, :1]
    found = ClipTop(model, cut).pooled(tokens, edges)
    assert found.shape == (N, 1, model.encode_image(pixels(model)).shape[1])
    alike = torch.allclose(found, ClipTop(model, cut).pooled(tokens), rtol=1e-5, atol=1e-6)
    assert alike == (edges != "zeros")


def test_batch_norms_stay_in_evaluation_mode_where_weights_are_trained():
    model = resnet()
    top, tokens = ClipTop(model, 2).requires_grad_(True), clips(model, 2)
    before = copy.deepcopy(top.state_dict())
    expected = top.eval().pooled(tokens)
    top.train()
    assert top.training
    norms = [module for module in top.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    found = top.pooled(tokens)
    assert torch.equal(found, expected)
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in norms[0].parameters()), (
        "their weights are trained"
    )
    assert all(torch.equal(value, before[name]) for name, value in top.state_dict().items())


@EVERY_CUT
def test_every_weight_of_the_top_gets_a_gradient_and_no_other(family, cut):
    model = family()
    top = ClipTop(model, cut).requires_grad_(True)
    top.pooled(clips(model, cut), "repeat").square().sum().backward()
    own = {id(parameter) for parameter in top.parameters()}
    for name, parameter in model.visual.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in own), name
    assert 0 < len(own) < len(list(model.visual.parameters()))


@pytest.mark.parametrize(("family", "blocks"), [(resnet, 4), (vit, 3)])
def test_more_blocks_than_there_are_are_refused(family, blocks):
    with pytest.raises(ParamsError, match=rf"frames\.cut: {blocks + 1} blocks, but .* has {blocks}; cut fewer"):
        ClipTop(family(), blocks + 1)


def test_encoder_without_places_is_refused():
    with pytest.raises(ParamsError, match=r"image encoder \(VisionTransformer\) has no spatial tokens"):
        ClipTop(vit(pool_type="avg"), 1)


@EVERY_CUT
def test_levels_are_the_outputs_of_the_blocks_and_affinities_are_shares(family, cut):
    model = family()
    x = pixels(model, N * T)
    levels = list(ClipTop(model, cut).levels(residual(model, x, cut).unflatten(0, (N, T))))
    assert len(levels) == cut
    for level, above in zip(levels, reversed(range(cut)), strict=True):
        places = level.out.shape[2] - 1
        for affinity in (level.before, level.after):
            assert affinity.shape == (N, T - 1, places, places)
            torch.testing.assert_close(affinity.sum(dim=-1), torch.ones(N, T - 1, places))
            assert affinity.min() >= 0
        if above:
            kept = residual(model, x, above).unflatten(0, (N, T))
            own = level.out if family is vit else level.out[:, :, 1:]
            torch.testing.assert_close(own, kept, rtol=1e-4, atol=1e-5)
    if family is vit:
        feature = model.visual.ln_post(levels[-1].out[:, :, 0]) @ model.visual.proj
        torch.testing.assert_close(feature.flatten(0, 1), model.encode_image(x), rtol=1e-4, atol=1e-5)
    else:
        torch.testing.assert_close(levels[-1].out[:, :, 0], levels[-1].out[:, :, 1:].mean(dim=2))


def test_affinities_of_a_vit_are_the_mean_over_heads_of_its_own_queries_on_keys_of_the_neighbour():
    model = vit()
    tokens = clips(model, 1)
    top = ClipTop(model, 1)
    (level,) = top.levels(tokens)
    attention, x = top.blocks[0].attn, top.blocks[0].ln_1(tokens)
    for t in range(T - 1):
        for affinity, query, key in ((level.before, t + 1, t), (level.after, t, t + 1)):
            both = torch.cat([x[:, query], x[:, key, 1:]], dim=1)
            mask = torch.zeros(33, 33, dtype=torch.bool)
            mask[:, :17] = True  # places of the neighbour alone, by PyTorch's own attention
            share = attention(both, both, both, attn_mask=mask)[1]
            torch.testing.assert_close(affinity[:, t], share[:, 1:17, 17:], rtol=1e-4, atol=1e-6)


def test_affinities_of_a_resnet_are_shares_of_likeness():
    model = resnet()
    (level,) = ClipTop(model, 1).levels(clips(model, 1))
    places = level.out[:, :, 1:]
    for t in range(T - 1):
        for affinity, query, key in ((level.before, t + 1, t), (level.after, t, t + 1)):
            cosine = functional.cosine_similarity(places[:, query, :, None], places[:, key, None], dim=-1)
            torch.testing.assert_close(affinity[:, t], (cosine / SOFTNESS).softmax(dim=-1), rtol=1e-4, atol=1e-6)


@BOTH
def test_affinities_of_reversed_frames_change_places(family, cut):
    model = family()
    top, tokens = ClipTop(model, cut), clips(model, cut)
    (forwards,), (backwards,) = top.levels(tokens), top.levels(tokens.flip(1))
    torch.testing.assert_close(backwards.before.flip(1), forwards.after, rtol=1e-4, atol=1e-6)
