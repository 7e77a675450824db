import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from moclip.base.errors import ParamsError, StoreError
from moclip.motion.imagenet import imagenet_weights
from moclip.motion.net import (
    SMALL_WIDTHS,
    MotionNet,
    features_and_logits,
    load_motion_net,
)
from moclip.training.flops import trainable_parameters
from moclip.training.weights import load_model, save_model
from tests.support.hub_server import hub_environment, serving
from tests.support.imports import ROOT

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


def test_stem_is_not_what_timm_makes_of_two_channels():
    kernel = timm.create_model("efficientnet_b0", pretrained=False).conv_stem.weight.detach()
    of_timm = timm.models.adapt_input_conv(2, kernel)
    torch.testing.assert_close(of_timm, kernel[:, :2] * 3 / 2)
    of_paper = kernel.mean(dim=1, keepdim=True).repeat(1, 2, 1, 1)
    weights = timm.create_model("efficientnet_b0", num_classes=0).state_dict()
    stem = MotionNet("efficientnet_b0", 2, 20.0, imagenet={**weights, "conv_stem.weight": kernel}).backbone.conv_stem
    assert torch.equal(stem.weight, of_paper)
    assert not torch.allclose(stem.weight, of_timm)


def test_bytes_map_to_plus_and_minus_one_half():
    net, x = small(), torch.randint(0, 256, (2, 3, 2, 9, 12), generator=torch.Generator().manual_seed(0)).float()
    of_bytes = MotionNet("small", 5, 20.0, "bytes").eval()
    of_bytes.load_state_dict(net.state_dict())
    torch.testing.assert_close(of_bytes(x), net((x / 255 - 0.5) * net.bound_px))
    loaded = load_motion_net(of_bytes.config(), of_bytes.state_dict())
    assert torch.equal(loaded(x), of_bytes(x))
    assert net.config() == {"arch": "small", "classes": 5, "bound_px": 20.0}, "networks of before load as well"


@pytest.mark.parametrize(
    ("arch", "stem"), [("small", "backbone.0.weight"), ("efficientnet_b0", "backbone.conv_stem.weight")]
)
def test_parts_hold_each_parameter_once(arch, stem):
    net = MotionNet(arch, 3, 20.0)
    named = {id(parameter): name for name, parameter in net.named_parameters()}
    parts = {part: {named[id(parameter)] for parameter in held} for part, held in net.parameter_groups().items()}
    assert parts["classifier"] == {"classifier.weight", "classifier.bias"}
    assert parts["stem"] == {"input_norm.weight", "input_norm.bias", stem}
    assert sorted(name for held in parts.values() for name in held) == sorted(named.values())


def imagenet_file(path: Path) -> dict[str, torch.Tensor]:
    """A file as the hub has it: three colours, a classifier of 1000; with weights that nobody else has."""
    torch.manual_seed(3)
    state = timm.create_model("efficientnet_b0", pretrained=False).state_dict()
    save_file(state, path)
    return state


def test_imagenet_weights_of_a_local_file_are_taken_but_for_the_classifier(tmp_path):
    state = imagenet_file(tmp_path / "b0.safetensors")
    net = MotionNet(
        "efficientnet_b0", 7, 20.0, imagenet=imagenet_weights("efficientnet_b0", tmp_path / "b0.safetensors")
    )
    assert torch.equal(
        net.backbone.conv_stem.weight, state["conv_stem.weight"].mean(1, keepdim=True).repeat(1, 2, 1, 1)
    )
    assert torch.equal(net.backbone.conv_head.weight, state["conv_head.weight"])
    assert torch.equal(net.backbone.bn1.running_var, state["bn1.running_var"])
    assert net.classifier.out_features == 7


@pytest.mark.parametrize("content", [None, b"torn", "other"])
def test_file_that_is_no_such_weights_is_refused(tmp_path, content):
    path = tmp_path / "b0.safetensors"
    if content == "other":
        save_file({"a": torch.zeros(1)}, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"b0\.safetensors: no ImageNet weights of efficientnet_b0 as safetensors"):
        imagenet_weights("efficientnet_b0", path)


def test_imagenet_weights_come_from_the_repository_that_timm_names(tmp_path):
    state = imagenet_file(tmp_path / "model.safetensors")
    program = (
        "from moclip.motion.imagenet import imagenet_weights; from moclip.base.errors import MoclipError\n"
        "try: print(imagenet_weights('efficientnet_b0', None)['conv_head.weight'].double().sum().item())\n"
        "except MoclipError as error: print(error)"
    )

    def fetched(endpoint: str, home: Path) -> str:
        words = [sys.executable, "-c", program]
        env = hub_environment(endpoint, home)
        return subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout.strip()

    name = "timm/efficientnet_b0.ra_in1k/model.safetensors"
    with serving({name: (tmp_path / "model.safetensors").read_bytes()}) as hub:
        assert float(fetched(hub.url, tmp_path / "home")) == state["conv_head.weight"].double().sum().item()
        url = hub.url
    refusal = fetched(url, tmp_path / "empty")
    assert "model.safetensors of the hub's repository timm/efficientnet_b0.ra_in1k cannot be had" in refusal
    assert refusal.endswith("name the file in motion_net.checkpoint")


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
