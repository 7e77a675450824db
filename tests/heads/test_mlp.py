import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from moclip.base.errors import StoreError
from moclip.heads.mlp import GatedSum, Head, concatenate, load_head
from moclip.training.flops import trainable_parameters
from moclip.training.weights import load_model, save_model

NORMALISATIONS = ("unit_standard", "unit", "standard", "none")


def test_head_of_the_papers_size_has_the_papers_parameters():
    """0.97 M in the paper: CLIP's 512 and EfficientNet-B0's 1280 features, 512 hidden, 101 classes."""
    head = Head({"clip": 512, "motion": 1280}, 512, 101, 0.5)
    assert trainable_parameters(head) == 969_829
    assert head.config() == {
        "inputs": {"clip": 512, "motion": 1280},
        "hidden": 512,
        "classes": 101,
        "normalisation": "unit_standard",
        "combine": "concat",
    }


def test_parameters_of_the_variants():
    linear = Head({"clip": 512, "motion": 1280}, 0, 101)
    assert trainable_parameters(linear) == 1792 * 101 + 101
    gated = Head({"clip": 512, "motion": 1280}, 64, 101, combine="gated")
    gate = 1792 * 64 + 64
    assert trainable_parameters(gated) == gate + (512 * 64 + 64) + (1280 * 64 + 64) + (64 * 101 + 101)
    alone = Head({"clip": 512}, 64, 101, combine="gated")
    assert trainable_parameters(alone) == trainable_parameters(Head({"clip": 512}, 64, 101)), "nothing to be mixed with"


def test_inputs_are_standardised_by_the_training_part():
    features = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0, 0.01]) + 5
    head = Head({"clip": 3}, 8, 2, normalisation="standard").eval()
    unfitted = copy.deepcopy(head)
    head.fit_inputs(features)
    standard = (features - head.mean) / head.scale
    torch.testing.assert_close(standard.mean(dim=0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(standard.std(dim=0, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(head(features), unfitted(standard))


def test_scale_of_an_input_does_not_matter_after_fitting():
    torch.manual_seed(0)
    features, factor = torch.randn(50, 3), torch.tensor([1.0, 1000.0, 0.125])
    head = Head({"clip": 3}, 8, 2, normalisation="standard").eval()
    head.fit_inputs(features)
    plain = head(features)
    head.fit_inputs(features * factor)
    torch.testing.assert_close(head(features * factor), plain)


def test_constant_input_is_left_unscaled():
    head = Head({"clip": 2}, 4, 2, normalisation="standard").eval()
    head.fit_inputs(torch.tensor([[0.0, 1.0], [0.0, 3.0]]))
    assert head.scale.tolist() == [1.0, 1.0]
    assert torch.isfinite(head(torch.tensor([[7.0, 2.0]]))).all()


def test_measured_inputs_are_saved_and_are_not_trained():
    head = Head({"clip": 2}, 4, 2, normalisation="standard")
    head.fit_inputs(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    assert head.state_dict()["mean"].tolist() == [1.0, 2.0]
    assert {name for name, _ in head.named_parameters()}.isdisjoint({"mean", "scale"})


def test_dropout_works_in_training_alone():
    torch.manual_seed(0)
    head, x = Head({"clip": 8}, 64, 4, 0.5), torch.randn(2, 8)
    assert not torch.equal(head.train()(x), head(x))
    assert torch.equal(head.eval()(x), head(x))


def test_streams_stand_side_by_side_each_at_unit_length():
    joined = concatenate([torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[500.0], [-0.1]])])
    assert joined.tolist()[0] == [3.0, 4.0, 500.0]
    head = Head({"clip": 2, "motion": 1}, 4, 2, normalisation="unit")
    torch.testing.assert_close(head.normalised(joined), torch.tensor([[0.6, 0.8, 1.0], [0.0, 1.0, -1.0]]))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_video_that_does_not_move_stays_finite(normalisation):
    head = Head({"clip": 2, "motion": 3}, 4, 2, normalisation=normalisation).eval()
    head.fit_inputs(torch.tensor([[1.0, 2.0, 0.0, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0, 0.0]]))
    assert torch.isfinite(head(torch.zeros(1, 5))).all()


@pytest.mark.parametrize("streams", [1, 2])
def test_no_videos_are_no_rows(streams):
    assert concatenate([torch.zeros(0, 4)] * streams).shape == (0, 4 * streams)
    assert Head(dict.fromkeys("ab"[:streams], 4), 3, 2)(torch.zeros(0, 4 * streams)).shape == (0, 2)


def features(seed: int) -> torch.Tensor:
    """Two streams of widths 3 and 5, of unlike magnitude."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(20, 8)) * np.array([1.0] * 3 + [50.0] * 5) + random.normal(size=8)
    return torch.from_numpy(values.astype(np.float32))


@given(st.integers(0, 10_000), st.sampled_from(NORMALISATIONS))
def test_normalisation_is_its_formula(seed, normalisation):
    x = features(seed)
    head = Head({"clip": 3, "motion": 5}, 4, 2, normalisation=normalisation)
    head.fit_inputs(x)
    expected = x.double().numpy()
    if normalisation.startswith("unit"):
        parts = (expected[:, :3], expected[:, 3:])
        expected = np.concatenate([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts], axis=1)
    if normalisation.endswith("standard"):
        expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    np.testing.assert_allclose(head.normalised(x).numpy(), expected, rtol=1e-3, atol=1e-4)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_length_of_a_stream_matters_only_where_it_is_not_made_one(seed, factor):
    x = features(seed)
    longer = concatenate([x[:, :3] * factor, x[:, 3:]])
    for normalisation in NORMALISATIONS:
        head = Head({"clip": 3, "motion": 5}, 4, 2, normalisation=normalisation)
        same = torch.allclose(head.normalised(x), head.normalised(longer), atol=1e-5)
        assert same == (normalisation.startswith("unit") or factor == 1.0 or np.isclose(factor, 1, atol=1e-5))


@given(st.integers(0, 10_000))
def test_gated_sum_is_its_formula(seed):
    torch.manual_seed(seed)
    layer, x = GatedSum((3, 5), 4), features(seed) / 50
    a, b = layer.first(x[:, :3]), layer.second(x[:, 3:])
    gate = 1 / (1 + torch.exp(-(x @ layer.gate.weight.T + layer.gate.bias)))
    torch.testing.assert_close(layer(x), gate * a + (1 - gate) * b)
    between = (layer(x) >= torch.minimum(a, b) - 1e-5) & (layer(x) <= torch.maximum(a, b) + 1e-5)
    assert between.all(), "a mixture lies between what is mixed"


@pytest.mark.parametrize(("bias", "left"), [(50.0, "first"), (-50.0, "second")])
def test_gate_at_an_end_lets_one_stream_through(bias, left):
    torch.manual_seed(0)
    layer, x = GatedSum((3, 5), 4), features(0) / 50
    torch.nn.init.zeros_(layer.gate.weight)
    torch.nn.init.constant_(layer.gate.bias, bias)
    expected = layer.first(x[:, :3]) if left == "first" else layer.second(x[:, 3:])
    torch.testing.assert_close(layer(x), expected)


def test_without_a_hidden_layer_the_head_is_linear():
    torch.manual_seed(0)
    head, x, y = Head({"clip": 3, "motion": 5}, 0, 4, 0.5, normalisation="none"), features(0), features(1)
    zero = head(torch.zeros(1, 8))
    torch.testing.assert_close(head(x + y) - zero, (head(x) - zero) + (head(y) - zero), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize(("hidden", "combine"), [(6, "concat"), (6, "gated"), (0, "concat")])
@pytest.mark.parametrize("widths", [{"clip": 8}, {"clip": 3, "motion": 5}])
def test_saved_head_is_built_again_from_its_files_alone(tmp_path: Path, normalisation, hidden, combine, widths):
    torch.manual_seed(0)
    head = Head(widths, hidden, 4, 0.5, normalisation=normalisation, combine=combine).eval()
    head.fit_inputs(features(0))
    save_model(tmp_path / "head", head, head.config())
    again = load_head(*load_model(tmp_path / "head"))
    assert not again.training
    assert torch.equal(again(features(1)), head(features(1)))


def test_weights_of_another_head_are_refused():
    head = Head({"clip": 3, "motion": 5}, 6, 4)
    with pytest.raises(StoreError, match="head: weights and config do not fit"):
        load_head({**head.config(), "hidden": 7}, head.state_dict())
    with pytest.raises(StoreError, match="head: weights and config do not fit"):
        load_head({**head.config(), "depth": 2}, head.state_dict())
