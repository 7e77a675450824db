"""Frozen means frozen: an epoch of training around the backbones leaves every parameter and buffer as it was."""

import copy

import pytest
import torch
from torch import Tensor, nn

from moclip.clip.encoder import build
from moclip.clip.tiny import CONFIG
from moclip.heads.mlp import Head, concatenate
from moclip.motion.net import SMALL_WIDTHS, MotionNet
from moclip.training.frozen import Frozen


class Images(nn.Module):
    """The image side of a CLIP as a plain module."""

    def __init__(self) -> None:
        super().__init__()
        self.clip = build(CONFIG["model_cfg"])

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.clip.encode_image(images)
        return features


class Fields(nn.Module):
    """The motion network up to its features."""

    def __init__(self) -> None:
        super().__init__()
        self.net = MotionNet("small", 3, 20.0)

    def forward(self, fields: Tensor) -> Tensor:
        return self.net.features(fields)


class Fusion(nn.Module):
    """Both backbones and the head in one parent, as the paper's code has them."""

    def __init__(self, images: nn.Module, fields: nn.Module) -> None:
        super().__init__()
        self.images, self.fields = images, fields
        self.head = Head({"clip": 64, "motion": SMALL_WIDTHS[-1][0]}, 16, 3, 0.5)

    def forward(self, images: Tensor, fields: Tensor) -> Tensor:
        logits: Tensor = self.head(concatenate([self.images(images), self.fields(fields)]))
        return logits


def train_one_epoch(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    model.train()
    for _ in range(3):
        images = torch.randn(4, 3, 64, 64, generator=generator)
        fields = 10 * torch.randn(4, 2, 2, 8, 8, generator=generator)
        loss = nn.functional.cross_entropy(model(images, fields), torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def fusion(wrap: type[nn.Module] | None) -> Fusion:
    torch.manual_seed(0)
    images, fields = Images(), Fields()
    return Fusion(images, fields) if wrap is None else Fusion(wrap(images), wrap(fields))


def test_training_leaves_both_backbones_as_they_were():
    model = fusion(Frozen)
    before = copy.deepcopy(model.state_dict())
    train_one_epoch(model)
    drifted = changed(before, model.state_dict())
    assert {name.split(".")[0] for name in drifted} == {"head"}
    kinds = {name.rsplit(".", 1)[1] for name in before if name.startswith(("images", "fields"))}
    assert {"weight", "running_mean", "running_var", "num_batches_tracked"} <= kinds


def test_plain_backbones_in_the_same_place_do_drift():
    """What the test above is there to see: it fails without the wrapper, by weights and by batch statistics."""
    model = fusion(None)
    before = copy.deepcopy(model.state_dict())
    train_one_epoch(model)
    drifted = changed(before, model.state_dict())
    for stream in ("images", "fields"):
        assert any(name.startswith(stream) and name.endswith("running_mean") for name in drifted)
        assert any(name.startswith(stream) and name.endswith("weight") for name in drifted)


def test_weights_without_gradients_alone_would_not_be_enough():
    """The paper's code stops gradients, and its batch statistics move all the same."""
    model = fusion(None)
    model.images.requires_grad_(False)
    model.fields.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    train_one_epoch(model)
    assert any(name.startswith("fields") and "running" in name for name in changed(before, model.state_dict()))


@pytest.mark.parametrize("mode", [True, False])
def test_backbone_stays_in_evaluation_mode_inside_any_parent(mode):
    parent = nn.Sequential(Frozen(nn.BatchNorm1d(2)), nn.Dropout()).train(mode)
    assert parent[0].training is mode
    assert parent[1].training is mode
    assert not parent[0].backbone.training
    assert not any(p.requires_grad for p in parent.parameters())


def test_output_is_the_backbones_own_and_carries_gradients_to_its_input():
    backbone = nn.Linear(2, 2)
    x = torch.ones(1, 2, requires_grad=True)
    y = Frozen(backbone)(x)
    assert torch.equal(y, backbone(x))
    y.sum().backward()
    assert x.grad is not None
