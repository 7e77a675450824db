import math

import numpy as np
import pytest
import torch
from open_clip import CLIP
from PIL import Image
from torch import Tensor

from moclip.clip import tiny as clip_training
from moclip.clip.encoder import load_encoder, save_encoder
from moclip.clip.tiny import CONFIG, IMAGE_PX, MAX_LOGIT_SCALE, contrastive_loss, train_demo_clip
from moclip.demo.stills import captioned_stills
from moclip.params.demo_clip import DemoClipParams


class Lookup:
    """A CLIP whose features are given: pixels are features, and so are a caption's token numbers."""

    def __init__(self, texts: Tensor, scale: float = 10.0) -> None:
        self.table, self.logit_scale = texts, torch.tensor(math.log(scale))

    def encode_image(self, pixels: Tensor) -> Tensor:
        return pixels

    def encode_text(self, tokens: Tensor) -> Tensor:
        return self.table[tokens[:, 0]]


AXES = torch.eye(3)


def loss(images: Tensor, captions: list[int], scale: float = 10.0) -> float:
    tokens = torch.tensor([[caption, 7] for caption in captions])
    return float(contrastive_loss(Lookup(AXES, scale), images, tokens))  # type: ignore[arg-type]


def test_right_pairs_beat_wrong_pairs():
    assert loss(AXES, [0, 1, 2]) < 1e-3
    assert loss(AXES, [1, 2, 0]) > 5
    assert loss(AXES, [0, 1, 2], scale=1e-6) == pytest.approx(math.log(3), rel=1e-4)


def test_feature_length_does_not_matter():
    assert loss(AXES * torch.tensor([[2.0], [0.1], [30.0]]), [0, 1, 2]) == pytest.approx(loss(AXES, [0, 1, 2]))


def test_equal_captions_are_equally_right():
    """Two stills of one caption share their target: the best reachable loss is the entropy of that choice."""
    images = AXES[[0, 0, 1]]
    assert loss(images, [0, 0, 1], scale=100) == pytest.approx(2 / 3 * math.log(2), rel=1e-4)
    swapped = images[[1, 0, 2]]
    assert loss(swapped, [0, 0, 1]) == loss(images, [0, 0, 1])
    assert loss(AXES[[0]].repeat(3, 1), [0, 0, 0]) == pytest.approx(math.log(3))


def test_loss_is_symmetric_in_images_and_texts():
    torch.manual_seed(0)
    a, b = torch.randn(4, 5), torch.randn(4, 5)
    tokens = torch.arange(4)[:, None]
    one, other = (contrastive_loss(Lookup(texts), images, tokens) for images, texts in ((a, b), (b, a)))  # type: ignore[arg-type]
    torch.testing.assert_close(one, other)


@pytest.fixture(scope="module")
def stills() -> tuple[np.ndarray, list[str]]:
    return captioned_stills(64, 0, IMAGE_PX, jobs=1)


Trained = tuple[CLIP, list[float]]


def train(stills: tuple[np.ndarray, list[str]], seed: int) -> Trained:
    losses: list[float] = []
    params = DemoClipParams(stills=64, epochs=4, lr=0.002, batch_images=32)
    return train_demo_clip(*stills, params, seed, lambda epoch: losses.append(epoch["train_loss"])), losses


@pytest.fixture(scope="module")
def trained(stills: tuple[np.ndarray, list[str]]) -> Trained:
    return train(stills, 0)


def test_a_few_steps_reduce_the_loss(trained):
    model, losses = trained
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]
    assert not model.training
    assert model.logit_scale.detach().exp() <= MAX_LOGIT_SCALE


def test_same_seed_same_weights_and_another_seed_others(stills, trained):
    model, (again, _), (other, _) = trained[0], train(stills, 0), train(stills, 1)
    weights = [dict(net.state_dict()) for net in (model, again, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not torch.equal(weights[0]["text_projection"], weights[2]["text_projection"])


def test_training_and_use_give_the_network_the_same_pixels(stills, trained, tmp_path, monkeypatch):
    """Tensors in training, PIL images in use: a second, own way of preprocessing could differ from the first."""
    seen: list[Tensor] = []

    def first_batch(model: CLIP, pixels: Tensor, tokens: Tensor) -> Tensor:
        seen.append(pixels)
        raise InterruptedError

    monkeypatch.setattr(clip_training, "contrastive_loss", first_batch)
    monkeypatch.setattr(clip_training, "shuffled", lambda *_: [torch.arange(32)])
    with pytest.raises(InterruptedError):
        train(stills, 0)
    save_encoder(tmp_path / "clip", trained[0], CONFIG, {})
    preprocess = load_encoder(tmp_path / "clip").preprocess
    used = torch.stack([preprocess(Image.fromarray(still)) for still in stills[0][:32]])
    torch.testing.assert_close(seen[0], used)
