"""The Transformer on vectors: its tokens, its positions, and what it is as a motion network."""

from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from moclip.base.errors import DataError, ParamsError, StoreError
from moclip.motion.net import MotionNet, features_and_logits, load_motion_net
from moclip.motion.train import _scaled
from moclip.motion.vit import Block, MotionTransformer, positions
from moclip.params.heads.motion_vit import MotionVitParams
from moclip.params.motion_net import MotionInput, as_vit
from moclip.params.section import validated
from tests.support.imports import ROOT
from tests.support.motion_clips import MOTION, params

VIT: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["motion_vit"]
SMALL = {"width": 16, "segments": 4, "tube": 2, "patch": 2}


def shape(**changes: Any) -> MotionVitParams:
    return validated("motion_vit", MotionVitParams, {**VIT, **SMALL, **changes})


def net(classes: int = 5, encoding: str = "float", **changes: Any) -> MotionNet:
    torch.manual_seed(0)
    return MotionNet("vit", classes, 20.0, encoding, vit=shape(**changes)).eval()


def fields(n: int = 3, s: int = 4, h: int = 4, w: int = 6) -> torch.Tensor:
    return 10 * torch.randn(n, s, 2, h, w, generator=torch.Generator().manual_seed(0))


def test_tubelets_hold_each_cell_once_in_the_order_of_times_rows_and_columns():
    x = torch.arange(4 * 2 * 4 * 6).reshape(1, 4, 2, 4, 6).float()
    transformer = MotionTransformer(shape())
    assert transformer.grid(x) == (2, 2, 3)
    found = transformer.tubelets(x)
    assert found.shape == (1, 12, 16)
    assert torch.equal(found.flatten().sort().values, x.flatten())
    for token, (time, row, column) in enumerate(np.ndindex(2, 2, 3)):
        expected = x[0, 2 * time : 2 * time + 2, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        assert torch.equal(found[0, token], expected.flatten()), "by field, component, row and column"


def test_demo_has_192_tokens():
    transformer = MotionTransformer(validated("motion_vit", MotionVitParams, VIT))
    assert transformer.grid(torch.empty(1, 8, 2, 18, 24)) == (4, 6, 8)


@pytest.mark.parametrize("changed", [{"h": 5}, {"w": 7}, {"s": 3}])
def test_cells_or_fields_that_are_left_over_are_refused_with_the_remedy(changed):
    with pytest.raises(
        DataError, match=r"no whole number of tubes of 2 fields and patches of 2 x 2 .*motion_vit\.input_px"
    ):
        net()(fields(**changed))


def test_positions_are_sines_and_cosines_that_tell_all_tokens_apart():
    found = positions(192, 64)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found[:, 0], np.sin(np.arange(192)), atol=1e-6)
    np.testing.assert_allclose(found[:, 1], np.cos(np.arange(192)), atol=1e-6)
    np.testing.assert_allclose(found[:, 10], np.sin(np.arange(192) / 10_000 ** (10 / 64)), atol=1e-6)
    assert torch.pdist(found).min() > 0.1
    before = found.clone()
    found += 1
    assert torch.equal(positions(192, 64), before), "a caller cannot change them for others"


def test_attention_is_pytorchs_own():
    torch.manual_seed(1)
    block, tokens = Block(16, 4, 2), torch.randn(2, 7, 16)
    q, k, v = block.qkv(tokens).unflatten(2, (3, 4, 4)).permute(2, 0, 3, 1, 4)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(block._attended(block.qkv(tokens)), expected)


def test_features_are_means_of_maps_and_logits_follow():
    x = fields()
    features, logits = features_and_logits(net(), x)
    assert (features.shape, logits.shape) == ((3, 16), (3, 5))
    maps = net().maps(x)
    assert maps.shape == (3, 2, 16, 2, 3)
    torch.testing.assert_close(maps.mean(dim=(1, 3, 4)), features)
    torch.testing.assert_close(net()(x), logits)


def test_order_of_segments_matters():
    x = fields()
    assert not torch.allclose(net()(x.flip(1)), net()(x), atol=1e-4)


def test_videos_do_not_see_each_other_in_training_either():
    trained, x = net(dropout=0.0).train(), fields()
    torch.testing.assert_close(trained(x)[1:2], trained(x[1:2]))


def test_dropout_is_of_training_alone():
    trained, x = net(dropout=0.5), fields()
    assert torch.equal(trained(x), trained(x))
    trained.train()
    assert not torch.equal(trained(x), trained(x))


def test_saved_network_is_built_again_with_its_shape():
    own = net(encoding="bytes")
    loaded = load_motion_net(own.config(), own.state_dict())
    x = torch.randint(0, 256, (2, 4, 2, 4, 6)).float()
    assert torch.equal(loaded(x), own(x))
    with pytest.raises(StoreError, match="weights and config do not fit"):
        load_motion_net({**own.config(), "vit": {**own.config()["vit"], "width": 15}}, own.state_dict())


def test_learning_rate_falls_by_layer_from_the_classifier_down():
    own = net(depth=3, layer_decay=0.5)
    groups = _scaled(own, params(lr_scale_rest=1.0))
    assert [scale for _, scale in groups] == [1.0, 0.0625, 0.125, 0.25, 0.5]
    held = [id(one) for group, _ in groups for one in group]
    assert sorted(held) == sorted(map(id, own.parameters()))
    assert groups[1][0][0] is own.transformer.embed.weight
    assert {id(one) for one in own.transformer.norm.parameters()} <= {id(one) for one in groups[-1][0]}
    plain = _scaled(net(), params())
    assert [scale for _, scale in plain] == [1.0, 1.0, 1.0]


def test_section_takes_the_place_of_what_the_motion_network_says():
    own = as_vit(params(epochs=3, segments=2), shape(epochs=7, lr=0.5, input_px=None))
    assert (own.arch, own.epochs, own.lr, own.segments, own.eval_segments) == ("vit", 7, 0.5, 4, 4)
    assert own.batch_videos == params().batch_videos
    with pytest.raises(ParamsError, match=r"eval_crops: 10 cut squares of input_px"):
        as_vit(params(input_px=16, eval_crops=10), shape(input_px=None))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"heads": 3}, "heads: 3 do not divide width: 16"),
        ({"tube": 3}, "tube: 3 does not divide segments: 4"),
        ({"input_px": 8}, "greater than or equal to 16"),
        ({"layer_decay": 0.0}, "greater than 0"),
    ],
)
def test_shape_that_does_not_go_is_refused(changed, message):
    with pytest.raises(ParamsError, match=message):
        shape(**changed)


def test_input_of_a_network_that_was_saved_before_is_read_and_written_as_it_was():
    made_for = MotionInput(motion=MOTION, motion_net=params(), seed=0, split=1)
    saved = made_for.saved()
    assert "train" not in saved["motion_net"]
    assert validated("input", MotionInput, saved) == made_for
    del saved["motion"]["distance"]
    assert validated("input", MotionInput, saved).motion.distance == "as_coded"
    partly = MotionInput(motion=MOTION, motion_net=params(train="classifier"), seed=0, split=1)
    assert partly.saved()["motion_net"]["train"] == "classifier"
    assert validated("input", MotionInput, partly.saved()) == partly
