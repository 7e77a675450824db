"""Heads on tokens of frames: what they see of order, what squeezes them, and that they come back from disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moclip.base.errors import DataError
from moclip.base.random import make_deterministic
from moclip.data.splits import Split
from moclip.heads import frames_probe, group_resampler, resampler, token_projector
from moclip.heads.token_net import GROUP_RESAMPLER, RESAMPLER, TOKEN_PROJECTOR, InputNorm, Resampler, TokenNet, sinusoid
from moclip.heads.tokens import OnTokens, load
from moclip.params.heads.tokens import TokenParams
from tests.support import streams
from tests.support.frames import in_two_orders, members, videos

PARAMS = {
    **{"inputs": "clip", "motion_grid": 1, "width": 32, "depth": 1, "heads": 4, "queries": 2, "groups": 4},
    **{"positions": True, "dropout": 0.1, "frame_dropout": 0.0, "epochs": 15, "lr": 0.005, "weight_decay": 0.01},
    **{"batch_videos": 32, "select": "val"},
}
HEADS = {RESAMPLER: resampler, GROUP_RESAMPLER: group_resampler, TOKEN_PROJECTOR: token_projector}


def params(**changes: Any) -> TokenParams:
    return TokenParams(**{**PARAMS, **changes})


def accuracy(fitted: Any, given: Any) -> float:
    logits = fitted.logits(fitted.sees(given).inputs("test"))
    return float((logits.argmax(axis=1) == given.split.part("test").labels).mean())


def net(kind: str, **changes: Any) -> TokenNet:
    make_deterministic(0, "test")
    given: dict[str, Any] = {
        **{"kind": kind, "streams": ["frames", "grid"], "widths": [16, 16], "classes": 3, "width": 32, "heads": 4},
        **{"depth": 2, "queries": 2, "groups": 4, "side": 2, "dropout": 0.0, "frame_dropout": 0.0, "positions": True},
    }
    if kind == TOKEN_PROJECTOR:
        given |= {"streams": ["grid"], "widths": [16]}
    return TokenNet(**{**given, **changes}).eval()


def inputs(kind: str, frames: int = 8, count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    both = [
        torch.randn(count, frames, 16, generator=generator),
        torch.randn(count, frames, 2, 2, 16, generator=generator),
    ]
    return both[1:] if kind == TOKEN_PROJECTOR else both


@pytest.mark.parametrize("kind", HEADS)
def test_order_of_two_patterns_is_seen(kind: str) -> None:
    given = videos(in_two_orders(), 2)
    fitted = HEADS[kind].fit(given, params(), (0, kind, 1))
    assert accuracy(fitted, given) == 1.0
    assert len(fitted.history) == 15


def test_order_is_not_seen_without_positions_or_by_a_mean() -> None:
    given = videos(in_two_orders(), 2)
    blind = resampler.fit(given, params(positions=False), (0, RESAMPLER, 1))
    assert accuracy(blind, given) < 0.7
    probe = frames_probe.fit(given, streams.params(), (0, "frames_probe", 1))
    assert accuracy(probe, given) < 0.7


def test_one_group_is_the_resampler_without_its_positions() -> None:
    one, all_at_once = (net(kind, groups=1, positions=False) for kind in (GROUP_RESAMPLER, RESAMPLER))
    all_at_once.load_state_dict(one.state_dict())
    given = inputs(RESAMPLER)
    torch.testing.assert_close(one(*given), all_at_once(*given), rtol=0, atol=0)


def test_frames_may_change_places_inside_a_group_and_not_between_groups() -> None:
    model, given = net(GROUP_RESAMPLER), inputs(GROUP_RESAMPLER)
    inside, between = [1, 0, 3, 2, 4, 5, 7, 6], [2, 3, 0, 1, 4, 5, 6, 7]
    before = model(*given)
    torch.testing.assert_close(model(*(one[:, inside] for one in given)), before, rtol=0, atol=1e-5)
    assert (model(*(one[:, between] for one in given)) - before).abs().max() > 1e-3
    blind = net(GROUP_RESAMPLER, positions=False)
    torch.testing.assert_close(blind(*(one[:, between] for one in given)), blind(*given), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("frames", "groups"), [(1, 1), (3, 3), (8, 4), (10, 4)])
def test_groups_are_those_of_array_split_and_no_more_than_frames(frames: int, groups: int) -> None:
    make_deterministic(0, "test")
    model = Resampler(32, 4, 1, 2, 4).eval()
    tokens = torch.randn(2, frames, 5, 32)
    found = model(tokens)
    assert found.shape == (2, groups * 2, 32)
    first = np.array_split(np.arange(frames), groups)[0]
    torch.testing.assert_close(found[:, :2], model._read(tokens[:, first], None))


def test_projector_with_an_identity_is_pooling() -> None:
    model = net(TOKEN_PROJECTOR, side=1)
    projector: Any = model.inputs[0]
    projector.mlp = torch.nn.Identity()
    projector.mix.weight.data.zero_()
    projector.mix = torch.nn.Conv2d(16, 16, 3, padding=1, groups=16)
    torch.nn.init.zeros_(projector.mix.weight)
    torch.nn.init.zeros_(projector.mix.bias)
    (grid,) = inputs(TOKEN_PROJECTOR)
    torch.testing.assert_close(projector(grid), grid.mean(dim=(2, 3))[:, :, None])


def test_hidden_frames_change_nothing_in_evaluation_and_one_is_always_seen() -> None:
    model = net(GROUP_RESAMPLER, frame_dropout=0.9)
    given = inputs(GROUP_RESAMPLER)
    torch.testing.assert_close(model(*given), model(*given))
    tokens = torch.zeros(500, 8, 1, 1)
    seen = model.train()._seen(tokens)
    assert seen is not None
    assert seen.any(dim=1).all()
    assert 0.1 < seen.float().mean() < 0.35
    assert torch.isfinite(model(*given)).all()


def test_input_norm_has_mean_zero_and_deviation_one_and_leaves_constants() -> None:
    norm, tokens = InputNorm(4), torch.randn(50, 3, 2, 2, 4)
    norm.fit(tokens)
    flat = norm(tokens).flatten(0, -2)
    torch.testing.assert_close(flat.mean(dim=0), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(flat.std(dim=0, correction=0), torch.ones(4), rtol=0, atol=1e-4)
    norm.fit(torch.ones(5, 4))
    assert torch.isfinite(norm(torch.ones(5, 4))).all()


def test_positions_are_those_of_the_transformer() -> None:
    table = sinusoid(4, 6)
    assert table.shape == (4, 6)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert table[3, 2].item() == pytest.approx(np.sin(3 / 10_000 ** (2 / 6)), abs=1e-7)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_comes_back_from_disk_with_its_frames(kind: str, tmp_path: Path) -> None:
    given = videos(in_two_orders(40), 2)
    fitted = HEADS[kind].fit(given, params(epochs=1), (0, kind, 1))
    fitted.save(tmp_path / "head")
    again = load(tmp_path / "head")
    assert isinstance(again, OnTokens)
    assert again.facts == fitted.facts
    np.testing.assert_array_equal(again.logits(given.inputs("test")), fitted.logits(given.inputs("test")))
    assert again.cost() == fitted.cost()
    cost = fitted.cost()
    assert cost is not None
    assert cost.parameters == sum(p.numel() for p in fitted.net.parameters())
    assert cost.macs > 0


def test_parameters_of_the_demo_setting_are_those_that_were_counted() -> None:
    """For 12 classes, CLIP of 64 and motion of 96."""
    model = net(GROUP_RESAMPLER, streams=["frames", "grid", "motion_frames"], widths=[64, 64, 96], classes=12, width=64)
    own = sum(p.numel() for p in model.parameters())
    assert own == 164_556


def test_same_seed_gives_the_same_bytes() -> None:
    given = videos(in_two_orders(40), 2)
    one, other = (group_resampler.fit(given, params(epochs=2, frame_dropout=0.3), (0, "g", 1)) for _ in range(2))
    np.testing.assert_array_equal(one.logits(given.inputs("test")), other.logits(given.inputs("test")))


def test_a_split_without_training_videos_is_refused() -> None:
    given = videos(in_two_orders(40), 2)
    bare = replace(given, split=Split([one for one in members(40, 2) if one.part != "train"], given.split.classes))
    with pytest.raises(DataError, match="train part of this split has no video"):
        group_resampler.fit(bare, params(), (0, "g", 1))
