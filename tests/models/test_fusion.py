import copy

import pytest
import torch

from moclip.models.fusion import Head, concatenate
from moclip.models.motion import trainable_parameters


def test_head_of_the_papers_size_has_the_papers_parameters():
    """0.97 M in the paper: CLIP's 512 and EfficientNet-B0's 1280 features, 512 hidden, 101 classes."""
    head = Head(512 + 1280, 512, 101, 0.5)
    assert trainable_parameters(head) == 969_829
    assert head.config() == {"inputs": 1792, "hidden": 512, "classes": 101}


def test_inputs_are_standardised_by_the_training_part():
    features = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0, 0.01]) + 5
    head = Head(3, 8, 2, 0.0).eval()
    unfitted = copy.deepcopy(head)
    head.fit_inputs(features)
    standard = (features - head.mean) / head.scale
    torch.testing.assert_close(standard.mean(dim=0), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(standard.std(dim=0, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(head(features), unfitted(standard))


def test_scale_of_an_input_does_not_matter_after_fitting():
    torch.manual_seed(0)
    features, factor = torch.randn(50, 3), torch.tensor([1.0, 1000.0, 0.125])
    head = Head(3, 8, 2, 0.0).eval()
    head.fit_inputs(features)
    plain = head(features)
    head.fit_inputs(features * factor)
    torch.testing.assert_close(head(features * factor), plain)


def test_constant_input_is_left_unscaled():
    head = Head(2, 4, 2, 0.0).eval()
    head.fit_inputs(torch.tensor([[0.0, 1.0], [0.0, 3.0]]))
    assert head.scale.tolist() == [1.0, 1.0]
    assert torch.isfinite(head(torch.tensor([[7.0, 2.0]]))).all()


def test_measured_inputs_are_saved_and_are_not_trained():
    head = Head(2, 4, 2, 0.0)
    head.fit_inputs(torch.tensor([[0.0, 1.0], [2.0, 3.0]]))
    assert head.state_dict()["mean"].tolist() == [1.0, 2.0]
    assert {name for name, _ in head.named_parameters()}.isdisjoint({"mean", "scale"})


def test_dropout_works_in_training_alone():
    torch.manual_seed(0)
    head, x = Head(8, 64, 4, 0.5), torch.randn(2, 8)
    assert not torch.equal(head.train()(x), head(x))
    assert torch.equal(head.eval()(x), head(x))


def test_streams_stand_side_by_side_at_unit_length():
    joined = concatenate([torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[500.0], [-0.1]])])
    torch.testing.assert_close(joined, torch.tensor([[0.6, 0.8, 1.0], [0.0, 1.0, -1.0]]))


def test_video_that_does_not_move_stays_zero_and_finite():
    assert concatenate([torch.zeros(1, 3)]).tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("streams", [1, 2])
def test_no_videos_are_no_rows(streams):
    assert concatenate([torch.zeros(0, 4)] * streams).shape == (0, 4 * streams)
