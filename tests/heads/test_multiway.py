"""The head `multiway`: zero-shot at its start, equal to each class whatever the others are, and its questions."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from moclip.base.errors import StoreError
from moclip.base.random import make_deterministic, torch_stream
from moclip.heads import frames_zero_shot, multiway
from moclip.heads.frames import cross_entropy
from moclip.heads.multiway import Questions
from moclip.heads.multiway_net import MultiwayNet, _pooled
from moclip.params.heads.multiway import MultiwayParams
from tests.support.frames import in_two_orders, unit, videos

PARAMS = {
    **{"inputs": "clip", "queries": 4, "width": 32, "depth": 1, "heads": 4, "residual": True, "text_guided": True},
    **{"shared_attention": True, "choices": 4, "choice_weight": 0.0, "pretrain_epochs": 0, "negatives": "random"},
    **{"dropout": 0.1, "epochs": 60, "lr": 0.005, "weight_decay": 0.01, "batch_videos": 32, "select": "val"},
}
TEXTS = unit(np.random.default_rng(3).normal(size=(6, 16))).astype(np.float32)


def params(**changes: Any) -> MultiwayParams:
    return MultiwayParams(**{**PARAMS, **changes})


def net(texts: np.ndarray = TEXTS, trained: bool = True, **changes: Any) -> MultiwayNet:
    """A network; `trained` moves all weights away from their start."""
    make_deterministic(0, "test")
    given: dict[str, Any] = {
        **{"streams": ["frames", "grid"], "widths": [16, 16], "inputs": ["frames", "grid"], "classes": len(texts)},
        **{"logit_scale": 20.0, "width": 32, "heads": 4, "depth": 2, "queries": 4, "residual": True},
        **{"text_guided": True, "shared_attention": True, "dropout": 0.0},
    }
    model = MultiwayNet(**{**given, **changes}).eval()
    model.texts.copy_(torch.from_numpy(texts))
    if trained:
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def inputs(count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(count, 8, 16, generator=generator), torch.randn(count, 8, 2, 2, 16, generator=generator)]


@pytest.mark.parametrize("text_guided", [True, False])
def test_it_starts_as_zero_shot_on_the_same_frames(text_guided: bool) -> None:
    frames, grid = inputs()
    given = videos({"frames": frames.numpy(), "grid": grid.numpy()}, 6, TEXTS)
    expected = frames_zero_shot.fit(given, None, (0, "z", 1)).logits({"frames": frames.numpy()})
    found = net(trained=False, text_guided=text_guided)(frames, grid).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_class_is_scored_alike_whatever_the_others_are() -> None:
    model, given = net(), inputs()
    every = model(*given)
    texts = torch.from_numpy(TEXTS)
    torch.testing.assert_close(model.of_texts(texts[:4], *given), every[:, :4], rtol=0, atol=1e-5)
    order = [3, 0, 5, 1, 4, 2]
    torch.testing.assert_close(model.of_texts(texts[order], *given), every[:, order], rtol=0, atol=1e-5)
    assert (every - net(trained=False)(*given)).abs().max() > 1e-2


def test_its_size_does_not_hang_on_the_classes() -> None:
    assert sum(p.numel() for p in net().parameters()) == sum(p.numel() for p in net(TEXTS[:2]).parameters())


def test_shared_attention_learns_from_both_paths() -> None:
    model = net()
    assert model.layers[0].text is None
    apart = net(shared_attention=False)
    more = sum(p.numel() for p in apart.layers[0].video.parameters())  # type: ignore[union-attr]
    own = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in apart.parameters()) == own + 2 * more
    for text, sampled in ((True, False), (False, True)):
        model.zero_grad()
        layer: Any = model.layers[0]
        queries, tokens = torch.randn(2, 4, 32), torch.randn(2, 9, 32)
        if sampled:
            layer.sample(queries, queries, tokens, queries).sum().backward()
        if text:
            layer.read(torch.randn(2, 6, 32), queries).sum().backward()
        assert layer.video.v.weight.grad.abs().sum() > 0


def test_pooled_tokens_are_means_of_frames() -> None:
    tokens = torch.randn(2, 8, 5, 3)
    torch.testing.assert_close(_pooled(tokens, 1)[:, 0], tokens.mean(dim=(1, 2)))
    torch.testing.assert_close(_pooled(tokens, 8), tokens.mean(dim=2))
    assert _pooled(tokens, 16).shape == (2, 16, 3)


@pytest.mark.parametrize("negatives", ["random", "near"])
def test_a_question_has_the_true_class_once_among_others(negatives: str) -> None:
    questions = Questions(torch.from_numpy(TEXTS), params(negatives=negatives), torch_stream(0, "q"))
    labels = torch.arange(600) % 6
    options = questions.options(labels)
    assert options.shape == (600, 4)
    assert all(len(set(row)) == 4 for row in options.tolist())
    assert (options == labels[:, None]).sum(dim=1).eq(1).all()
    places = (options == labels[:, None]).long().argmax(dim=1).bincount(minlength=4) / 600
    assert (places - 0.25).abs().max() < 0.08
    if negatives == "near":
        likeness = TEXTS @ TEXTS.T
        nearest = set(np.argsort(-likeness[0])[:4].tolist())
        assert all(set(row) == nearest for row in options[labels == 0].tolist())


def test_multiple_choice_at_chance_and_among_all_classes() -> None:
    given = inputs(60)
    labels = torch.arange(60) % 6
    flat = net(np.ones((6, 16), dtype=np.float32) / 4, trained=False)
    questions = Questions(flat.texts, params(), torch_stream(0, "q"))
    assert questions.loss(flat, (*given, labels)).item() == pytest.approx(math.log(4), abs=1e-5)
    model = net()
    of_all = Questions(model.texts, params(choices=6), torch_stream(0, "q")).loss(model, (*given, labels))
    assert of_all.item() == pytest.approx(functional.cross_entropy(model(*given), labels).item(), abs=1e-5)
    weighted = Questions(model.texts, params(choices=6, choice_weight=0.5), torch_stream(0, "q"))
    both = weighted.added_to_labels(model, (*given, labels))
    assert both.item() == pytest.approx(1.5 * cross_entropy(model, (*given, labels)).item(), abs=1e-4)


@pytest.mark.parametrize(
    "changes", [{}, {"choice_weight": 0.5, "choices": 2}, {"pretrain_epochs": 3, "choices": 2}, {"text_guided": False}]
)
def test_order_of_two_patterns_is_seen(changes: dict[str, Any]) -> None:
    given = videos(in_two_orders(), 2, TEXTS[:2])
    fitted = multiway.fit(given, params(**changes), (0, "multiway", 1))
    logits = fitted.logits(given.inputs("test"))
    assert (logits.argmax(axis=1) == given.split.part("test").labels).mean() >= 0.95


def test_it_comes_back_from_disk(tmp_path: Path) -> None:
    given = videos(in_two_orders(40), 2, TEXTS[:2])
    fitted = multiway.fit(given, params(epochs=1), (0, "multiway", 1))
    fitted.save(tmp_path / "head")
    again = multiway.load(tmp_path / "head")
    np.testing.assert_array_equal(again.logits(given.inputs("test")), fitted.logits(given.inputs("test")))


def test_classes_without_texts_are_refused() -> None:
    with pytest.raises(StoreError, match="multiway needs text features"):
        multiway.fit(videos(in_two_orders(40), 2), params(), (0, "multiway", 1))
