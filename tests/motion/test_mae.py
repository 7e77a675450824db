"""Masked pretraining on vectors: masks exact, a loss on kept and hidden tokens alone, an encoder that sees no more."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from moclip.base.errors import ParamsError
from moclip.motion.net import MotionNet
from moclip.motion.pretrain.mae import Mae, MaeBatches, draw_masks, loss, masked_loss, taken
from moclip.motion.pretrain.masks import running_cell, tube_mask
from moclip.motion.sampler import FieldSampler
from moclip.params.heads.motion_mae import MotionMaeParams
from moclip.params.section import validated
from moclip.training.flops import multiply_adds
from tests.motion.test_vit import net as transformer
from tests.support.imports import ROOT
from tests.support.motion_clips import MOTION, TRAIN, params, write_clips

MAE: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["motion_mae"]
GRID = (4, 6, 8)  # the demo's
DRAWS = (0, "motion", 1, "pretraining", "mae")


def settings(**changes: Any) -> MotionMaeParams:
    return validated("motion_mae", MotionMaeParams, {**MAE, **changes})


def model(encoding: str = "float", shape: dict[str, Any] | None = None, **changes: Any) -> Mae:
    own = transformer(encoding=encoding, **(shape or {}))
    return Mae(own, settings(decoder_width=16, **changes)).eval()


def some(n: int = 2, h: int = 8, w: int = 12) -> torch.Tensor:
    return 10 * torch.randn(n, 4, 2, h, w, generator=torch.Generator().manual_seed(0))


def masks(fields: torch.Tensor, own: Mae) -> tuple[torch.Tensor, torch.Tensor]:
    return draw_masks(own.net.transformer.grid(fields), len(fields), own.params, np.random.default_rng(0))


# Masks


@given(st.integers(1, 6), st.integers(2, 9), st.integers(2, 9), st.floats(0.3, 0.95), st.integers(0, 99))
def test_tube_hides_as_many_places_as_the_share_says_at_all_times_alike(times, rows, columns, share, seed):
    places = int(share * rows * columns)
    mask = tube_mask(times, rows, columns, share, np.random.default_rng(seed))
    assert mask.shape == (times, rows, columns)
    assert (mask.sum(axis=(1, 2)) == places).all()
    assert (mask == mask[0]).all()


def test_figures_of_the_demo_and_of_the_paper():
    assert tube_mask(4, 6, 8, 0.9, np.random.default_rng(0))[0].sum() == 43
    assert tube_mask(8, 14, 14, 0.9, np.random.default_rng(0))[0].sum() == 176
    assert (~tube_mask(8, 14, 14, 0.9, np.random.default_rng(0))).sum() == 160


def test_mask_that_hides_nothing_or_everything_is_refused():
    with pytest.raises(ParamsError, match=r"a mask of 0\.1 \(motion_mae\.mask\) hides 0 of 2 x 2 places"):
        tube_mask(2, 2, 2, 0.1, np.random.default_rng(0))


@given(st.integers(4, 12), st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.25, 0.5, 0.75]), st.integers(0, 3))
def test_running_cell_leaves_each_place_out_as_often_in_any_four_times(times, rows, columns, share, phase):
    out = running_cell(times, 2 * rows, 2 * columns, share, phase)
    cells = out.reshape(times, rows, 2, columns, 2)
    assert (cells.sum(axis=(2, 4)) == 4 * share).all(), "of each cell at each time"
    for start in range(times - 3):
        assert (out[start : start + 4].sum(axis=0) == 4 * share).all()


def test_running_cell_is_the_published_one_in_four_phases():
    phases = [running_cell(4, 2, 2, 0.5, phase).reshape(4, 4).astype(int).tolist() for phase in range(4)]
    queue = [1, 1, 0, 0]
    for phase, found in enumerate(phases):
        assert found == [[queue[(place + phase + time + 1) % 4] for place in range(4)] for time in range(4)]
    assert len({str(found) for found in phases}) == 4


@pytest.mark.parametrize(("rows", "columns"), [(5, 6), (6, 5)])
def test_odd_counts_are_refused_by_name(rows, columns):
    with pytest.raises(
        ParamsError, match=r"no whole number of cells of 2 x 2 \(motion_mae\.decoder_mask\); set motion_vit"
    ):
        running_cell(4, rows, columns, 0.5, 0)


def test_share_that_is_no_quarter_is_refused():
    with pytest.raises(ParamsError, match="a running cell has 4 places"):
        settings(decoder_mask=0.4)


def test_videos_of_a_batch_have_masks_of_their_own_and_equal_counts():
    hidden, kept = draw_masks(GRID, 40, settings(), np.random.default_rng(0))
    assert hidden.shape == kept.shape == (40, 192)
    assert (hidden.sum(dim=1) == 4 * 43).all()
    assert (kept.sum(dim=1) == 96).all()
    assert len({tuple(row.tolist()) for row in kept}) == 4, "four phases"
    assert len({tuple(row.tolist()) for row in hidden}) > 30
    hidden, kept = draw_masks(GRID, 3, settings(decoder_mask=0.0), np.random.default_rng(0))
    assert torch.equal(hidden, kept), "without a decoder mask all that is hidden is asked for"


# Loss


def test_gradient_is_zero_off_kept_and_hidden_and_the_errors_on_it():
    generator = torch.Generator().manual_seed(0)
    hidden, kept = draw_masks(GRID, 3, settings(), np.random.default_rng(1))
    target = torch.randn(3, 192, 10, generator=generator)
    predicted = torch.randn(3, 96, 10, generator=generator, requires_grad=True)
    masked_loss(predicted, target, hidden, kept).backward()
    asked = hidden[kept].view(3, 96)
    count = (hidden & kept).sum()
    expected = 2 * (predicted.detach() - target[kept].view(3, 96, 10)) / (10 * count) * asked[..., None]
    torch.testing.assert_close(predicted.grad, expected)
    assert not predicted.grad[~asked].any()
    assert predicted.grad[asked].all()


def test_without_a_decoder_mask_it_is_the_first_version():
    own, x = model(decoder_mask=0.0), some()
    hidden, kept = masks(x, own)
    predicted, target = own(x, hidden, kept), own.target(x)
    expected = (predicted - target[hidden].view_as(predicted)).square().mean()
    torch.testing.assert_close(masked_loss(predicted, target, hidden, kept), expected)


def test_perfect_prediction_costs_nothing_and_still_fields_have_nothing_to_predict():
    own, x = model(), some()
    hidden, kept = masks(x, own)
    target = own.target(x)
    assert masked_loss(taken(target, kept), target, hidden, kept).item() == 0
    for field in (0.0, 3.5):
        assert not own.target(torch.full_like(x, field)).any()


def test_target_has_the_definitions_mean_and_deviation():
    own, x = model(), some().clamp(-19, 19)
    tubelets = own.net.transformer.tubelets(x).unflatten(2, (2, 2, -1))  # field, component, cell; in pixels
    for component in range(2):
        cells = tubelets[:, :, :, component].flatten(2)
        expected = (cells - cells.mean(2, keepdim=True)) / (cells.var(2, keepdim=True) + 0.5**2).sqrt()
        found = own.target(x).unflatten(2, (2, 2, -1))[:, :, :, component].flatten(2)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    trembling = 0.25 * torch.randn(2, 4, 2, 8, 12, generator=torch.Generator().manual_seed(1))
    assert own.target(trembling).std() < 0.5, "quantised noise is not blown up to what moves"
    raw = model(target="raw")
    torch.testing.assert_close(raw.target(x), raw.net.transformer.tubelets(x / 20.0))


def test_floor_is_in_pixels_whatever_the_encoding():
    of_floats, of_bytes = model(), model(encoding="bytes")
    pixels = some().clamp(-19, 19)
    stretched = pixels * (127.5 / 20) + 127.5  # as bytes, but for the rounding
    torch.testing.assert_close(of_bytes.target(stretched), of_floats.target(pixels), rtol=1e-3, atol=1e-3)


# What is seen


def test_hidden_cells_leave_the_encoder_bit_for_bit_and_visible_ones_do_not():
    own, x = model().train(), some()
    hidden, kept = masks(x, own)
    cells = hidden.view(2, *own.net.transformer.grid(x))  # time, row and column of tokens
    per_cell = cells.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, None].expand_as(x)
    before = own.encoded(x, hidden)
    assert torch.equal(own.encoded(torch.where(per_cell, 5 + 2 * x, x), hidden), before)
    assert torch.equal(own(torch.where(per_cell, 5 + 2 * x, x), hidden, kept), own(x, hidden, kept))
    assert not torch.equal(own.encoded(torch.where(per_cell, x, 5 + 2 * x), hidden), before)


def test_ith_output_belongs_to_the_ith_kept_place():
    """The token of one place is marked by its position alone: another position there moves that output the most."""
    own, x = model(), some(n=1)
    hidden, kept = masks(x, own)
    places = kept[0].nonzero().flatten().tolist()
    with torch.no_grad():
        for block in own.blocks:  # leave the tokens as they are: an output is then a function of its own input
            block.out.weight.zero_()
            block.out.bias.zero_()
            block.down.weight.zero_()
            block.down.bias.zero_()
        from moclip.motion.vit import positions

        alone = own.head(own.norm(own.token + positions(kept.shape[1], 16)))
        found = own(x, hidden, kept)
    assert found.shape[1] == len(places)
    torch.testing.assert_close(found[0], alone[places])


def test_decoder_of_half_the_tokens_costs_less():
    """Of N tokens, a tenth is visible: 0.6 N against N in the decoder, counted."""

    def decoder_macs(**changes: Any) -> int:
        with torch.device("meta"):
            own = Mae(transformer_of(80), settings(mask=0.9, **changes)).eval()
            x = torch.empty(1, 16, 2, 28, 28)
        hidden, kept = draw_masks((8, 14, 14), 1, own.params, np.random.default_rng(0))
        with torch.device("cpu"):
            own = Mae(transformer_of(80), settings(mask=0.9, **changes)).eval().requires_grad_(False)
            x = torch.zeros(1, 16, 2, 28, 28)
        return multiply_adds(lambda: own(x, hidden, kept)) - multiply_adds(lambda: own.encoded(x, hidden))

    dual, single = decoder_macs(), decoder_macs(decoder_mask=0.0)
    n, width, mlp = 1568, 32, 2
    linear = (4 + 2 * mlp) * width**2  # a token's in a block

    def counted(tokens: int, asked: int) -> int:
        return tokens * linear + 2 * tokens**2 * width + asked * width * 16 + 160 * 80 * width

    assert dual == counted(160 + n // 2, n // 2)
    assert single == counted(n, n - 160)
    assert dual < 0.45 * single


def transformer_of(width: int) -> MotionNet:
    return transformer(width=width, heads=2, segments=16, tube=2, patch=2)


def test_a_convolution_is_refused_with_the_reason():
    with pytest.raises(ParamsError, match=r"method: mae needs motion_net\.arch: vit; small cannot leave out"):
        Mae(MotionNet("small", 2, 20.0), settings())


# Learning


def trained(fields: Any, steps: int = 200) -> list[float]:
    """Losses of steps on fields, drawn anew in each by `fields(generator)`."""
    torch.manual_seed(0)
    own = Mae(
        transformer(width=32, depth=1, heads=2), settings(mask=0.75, decoder_width=32, decoder_depth=1, floor_px=0.5)
    ).train()
    optimizer = torch.optim.AdamW(own.parameters(), lr=3e-3)
    generator, rng, losses = torch.Generator().manual_seed(0), np.random.default_rng(0), []
    for _ in range(steps):
        x = fields(generator)
        step = loss(own, (x, *draw_masks(own.net.transformer.grid(x), len(x), own.params, rng)))
        optimizer.zero_grad()
        step.backward()
        optimizer.step()
        losses.append(step.item())
    return losses


def test_one_translation_for_all_is_learnt_and_noise_is_not():
    """The mean predictor answers 0: its loss is the targets' mean square."""

    def pan(generator: torch.Generator) -> torch.Tensor:
        return (
            (8 * torch.randn(32, 4, 2, 1, 1, generator=generator)).clamp(-19, 19).expand(-1, -1, -1, 8, 8).contiguous()
        )

    def noise(generator: torch.Generator) -> torch.Tensor:
        return (8 * torch.randn(32, 4, 2, 8, 8, generator=generator)).clamp(-19, 19)

    own, generator = model(), torch.Generator().manual_seed(9)
    of_mean = {
        name: own.target(make(generator)).square().mean().item() for name, make in (("pan", pan), ("noise", noise))
    }
    assert np.mean(trained(pan)[-10:]) < 0.3 * of_mean["pan"]
    assert np.mean(trained(noise)[-10:]) > 0.97 * of_mean["noise"]


# Batches


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> FieldSampler:
    store = write_clips(tmp_path_factory.mktemp("motion") / "store")
    return FieldSampler(store, MOTION, params(segments=4))


def test_batches_follow_from_seed_and_epoch_and_reads_come_back(sampler: FieldSampler, monkeypatch: pytest.MonkeyPatch):
    own = transformer(patch=1)
    values = settings(batch_videos=5, masks_per_read=3, reads=2)
    batches = MaeBatches(own, sampler, TRAIN.ids, values, DRAWS)
    fields, hidden, kept = next(iter(batches(0)))
    assert fields.shape == (15, 4, 2, 4, 6)
    assert hidden.shape == kept.shape == (15, 2 * 4 * 6)
    again = next(iter(MaeBatches(own, sampler, TRAIN.ids, values, DRAWS)(0)))
    assert all(torch.equal(a, b) for a, b in zip((fields, hidden, kept), again, strict=True))
    first, second, third = (batches.read("up1", epoch) for epoch in range(3))
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
    monkeypatch.setattr(FieldSampler, "read", None)
    assert torch.equal(batches.read("up1", 5), second), "kept, and not read again"
    with pytest.raises(TypeError):
        MaeBatches(own, sampler, TRAIN.ids, settings(reads=None), DRAWS).read("up1", 0)
