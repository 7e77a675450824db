import pytest
import timm
import torch

from moclip.errors import StoreError
from moclip.models.motion import SMALL_WIDTHS, MotionNet, features_and_logits, load_motion_net, trainable_parameters
from moclip.models.store import load_model, save_model

WIDTH = SMALL_WIDTHS[-1][0]


def small(classes: int = 5, bound_px: float = 20.0) -> MotionNet:
    torch.manual_seed(0)
    return MotionNet("small", classes, bound_px).eval()


def fields(n: int = 3, s: int = 4, h: int = 9, w: int = 12) -> torch.Tensor:
    return 10 * torch.randn(n, s, 2, h, w, generator=torch.Generator().manual_seed(0))


def test_logits_of_mean_features_are_means_of_segment_logits():
    net, x = small(), fields()
    features, logits = features_and_logits(net, x)
    assert (features.shape, logits.shape) == ((3, WIDTH), (3, 5))
    torch.testing.assert_close(net(x), logits)
    torch.testing.assert_close(net.features(x), features)
    one_by_one = torch.stack([net(x[:, i : i + 1]) for i in range(x.shape[1])])
    torch.testing.assert_close(one_by_one.mean(dim=0), logits)


def test_videos_do_not_see_each_other():
    net, x = small(), fields()
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]))
    assert not torch.allclose(net(x)[0], net(x)[1])


def test_any_grid_size_is_taken():
    assert small()(fields(h=18, w=24)).shape == (3, 5)
    assert small()(fields(h=1, w=1)).shape == (3, 5)


def test_displacements_saturate_at_the_bound():
    net, x = small(bound_px=20.0), fields()
    torch.testing.assert_close(small(bound_px=40.0)(2 * x), net(x))
    far = torch.full_like(x, 21.0)
    assert torch.equal(net(far), net(100 * far))
    assert not torch.allclose(net(far), net(far / 2))


def test_direction_of_motion_matters():
    net, x = small(), fields()
    assert not torch.allclose(net(-x), net(x))


def test_stem_of_efficientnet_is_the_mean_over_colours_twice_and_the_rest_is_timms():
    torch.manual_seed(1)
    reference = timm.create_model("efficientnet_b0", pretrained=False, num_classes=0).state_dict()
    torch.manual_seed(1)
    net = MotionNet("efficientnet_b0", 7, 20.0).eval()
    state = net.backbone.state_dict()
    stem = state.pop("conv_stem.weight")
    mean = reference.pop("conv_stem.weight").mean(dim=1)
    assert stem.shape[1] == 2
    assert torch.equal(stem[:, 0], mean)
    assert torch.equal(stem[:, 1], mean)
    assert state.keys() == reference.keys()
    assert all(torch.equal(state[name], reference[name]) for name in state)
    features, logits = features_and_logits(net, fields(n=2, s=1, h=32, w=32))
    assert (features.shape, logits.shape) == ((2, 1280), (2, 7))


def test_backward_pass_has_deterministic_kernels():
    torch.use_deterministic_algorithms(True)
    net = small().train()
    net(fields()).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_saved_network_repeats_its_logits_bit_by_bit(tmp_path):
    net, x = small(), fields()
    net.train()(x)  # moves the batch statistics, which are part of the network
    save_model(tmp_path / "net", net.eval(), net.config())
    loaded = load_motion_net(*load_model(tmp_path / "net"))
    assert not loaded.training
    assert torch.equal(loaded(x), net(x))


def test_weights_that_do_not_fit_are_refused():
    net = small(classes=5)
    with pytest.raises(StoreError, match="motion network: weights and config do not fit"):
        load_motion_net({**net.config(), "classes": 6}, net.state_dict())
    with pytest.raises(StoreError, match="motion network: weights and config do not fit"):
        load_motion_net({"arch": "small"}, net.state_dict())


def test_small_network_is_small():
    assert trainable_parameters(small(classes=101)) < 500_000
    assert trainable_parameters(small().requires_grad_(False)) == 0
