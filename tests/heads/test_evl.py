"""The head `evl`: what each temporal part tells of order, where neighbours' places go, what is frozen, its cost."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import ParamsError
from moclip.base.random import make_deterministic
from moclip.clip.encoder import build, load_encoder, save_encoder
from moclip.clip.tiny import CONFIG as TINY
from moclip.clip.tokens import residual
from moclip.heads import evl
from moclip.heads.evl_net import ATTENTION, CONV, POSITION, EvlDecoder, Temporal, relative_places
from moclip.heads.fitted import Resources
from moclip.params.frames import FramesParams
from moclip.params.heads.evl import EvlParams
from moclip.training.flops import multiply_adds, trainable_parameters
from tests.support.frames import videos

FRAMES, PLACES, WIDTH, PATTERNS = 8, 4, 32, 8
PARAMS = {
    **{"layers": 1, "width": 32, "heads": 4, "mlp": 2, "temporal": [CONV, POSITION, ATTENTION], "schedule": "cosine"},
    **{"dropout": 0.1, "epochs": 2, "lr": 0.002, "weight_decay": 0.05, "batch_videos": 16, "select": "val"},
}
ALL = [CONV, POSITION, ATTENTION]


def decoder(temporal: list[str], **changes: Any) -> EvlDecoder:
    make_deterministic(0, "evl")
    given: dict[str, Any] = {
        "widths": [WIDTH] * 2,
        "places": [PLACES] * 2,
        "frames": FRAMES,
        "classes": 2,
        "width": None,
    }
    return EvlDecoder(**{**given, "heads": 4, "mlp": 2, "dropout": 0.0, **changes}, temporal=temporal)


def cycles(count: int, seed: int) -> tuple[list[Tensor], Tensor]:
    """Levels of videos that show eight patterns in cyclic order from a random one on; the class is the direction.

    Their mean over time has no class. Affinities are a softmax over likeness, as for a ResNet.
    """
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(PATTERNS, PLACES + 1, WIDTH, generator=torch.Generator().manual_seed(99))
    phase, label = torch.randint(PATTERNS, (count,), generator=generator), torch.arange(count) % 2
    step = torch.arange(FRAMES) * (1 - 2 * label[:, None])
    out = patterns[(phase[:, None] + step) % PATTERNS]
    out = out + 0.5 * torch.randn(out.shape, generator=generator)
    places = functional.normalize(out[:, :, 1:], dim=-1)
    likeness = places[:, 1:] @ places[:, :-1].transpose(-1, -2) / 0.1
    level = [out, likeness.softmax(-1), likeness.transpose(-1, -2).softmax(-1)]
    return level * 2, label


def learn(net: nn.Module, epochs: int = 15) -> float:
    """Accuracy on new videos after training on 128."""
    levels, labels = cycles(128, 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.003, weight_decay=0.05, fused=True)
    for epoch in range(epochs):
        order = torch.randperm(128, generator=torch.Generator().manual_seed(epoch))
        for chosen in order.split(16):
            loss = functional.cross_entropy(net(*(part[chosen] for part in levels)), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    tested, actual = cycles(256, 2)
    with torch.no_grad():
        return float((net.eval()(*tested).argmax(dim=1) == actual).float().mean())


@pytest.mark.parametrize(
    ("temporal", "sees_order"), [([], False), ([POSITION], False), ([CONV], True), ([ATTENTION], True), (ALL, True)]
)
def test_order_is_seen_by_what_compares_neighbours(temporal: list[str], sees_order: bool) -> None:
    found = learn(decoder(temporal))
    assert found >= 0.95 if sees_order else found < 0.65


def test_without_temporal_parts_frames_may_come_in_any_order() -> None:
    levels, _ = cycles(6, 3)
    order = [5, 2, 0, 7, 1, 3, 6, 4]
    changed = [part[:, order] if part.shape[1] == FRAMES else part for part in levels]
    net = decoder([]).eval()
    torch.testing.assert_close(net(*changed), net(*levels), rtol=0, atol=1e-5)


def test_a_place_that_attends_to_one_other_gets_that_ones_row() -> None:
    part = Temporal(3, FRAMES, 9, [ATTENTION])
    assert part.before is not None
    assert part.after is not None
    part.before.data.copy_(torch.arange(25)[:, None].expand(25, 3).float())
    level = torch.zeros(1, FRAMES, 10, 3)
    same, right = torch.eye(9), torch.eye(9).roll(1, dims=1)  # of place p: itself; the one after it
    none = torch.zeros(1, FRAMES - 1, 9, 9)
    moved = part(level, same.expand(1, FRAMES - 1, 9, 9), none)
    centre = 2 * 5 + 2
    assert moved[0, 0].abs().sum() == 0  # the first frame has none before it
    assert (moved[0, 1:, 1:] == centre).all()
    assert (moved[0, :, 0] == 0).all()
    moved = part(level, right.expand(1, FRAMES - 1, 9, 9), none)
    assert (moved[0, 1:, 1:3] == centre + 1).all()  # places 0 and 1 look one to the right
    assert (moved[0, 1:, 3] == centre + 5 - 2).all()  # place 2 looks at place 3: down one, left two


def test_relative_places_tell_down_and_across() -> None:
    table = relative_places(2)
    assert table.tolist() == [[4, 5, 7, 8], [3, 4, 6, 7], [1, 2, 4, 5], [0, 1, 3, 4]]


@pytest.mark.parametrize(
    ("classes", "places", "layers", "temporal", "millions"),
    [
        *[(400, 196, 4, ALL, 33.18), (101, 196, 4, ALL, 32.95), (101, 196, 4, [CONV, POSITION], 28.47)],
        *[(101, 49, 4, ALL, 29.51), (101, 49, 2, ALL, 14.80)],
    ],
)
def test_trained_parameters_are_those_of_the_paper(
    classes: int, places: int, layers: int, temporal: list[str], millions: float
) -> None:
    net = paper(classes, places, layers, temporal)
    assert round(trainable_parameters(net) / 1e6, 2) == millions


def test_multiply_adds_are_those_that_were_counted() -> None:
    """444 G of B/16, 8 frames, 3 views are 3 x (8 x 17.563 + 4 x 1.871), without the products of the affinities."""
    levels = [torch.empty(1, 8, 197, 768), torch.empty(1, 7, 196, 196), torch.empty(1, 7, 196, 196)] * 4
    levels = [level.to("meta") for level in levels]
    plain = paper(101, 196, 4, [CONV, POSITION]).requires_grad_(False)
    assert multiply_adds(lambda: plain(*levels)) / 1e9 == pytest.approx(4 * 1.871, abs=0.01)
    whole = paper(101, 196, 4, ALL).requires_grad_(False)
    more = multiply_adds(lambda: whole(*levels)) - multiply_adds(lambda: plain(*levels))
    assert 2 * more / 1e9 == pytest.approx(3.30, abs=0.01), "as much again are the affinities themselves, in CLIP's top"


def paper(classes: int, places: int, layers: int, temporal: list[str]) -> EvlDecoder:
    with torch.device("meta"):
        net = EvlDecoder([768] * layers, [places] * layers, 8, classes, None, 12, 4, temporal, 0.5)
    return net.eval()


VIT = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
CONFIGS = {"resnet": TINY["model_cfg"], "vit": VIT}


@pytest.fixture(params=CONFIGS)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    make_deterministic(0, "clip")
    config = {**TINY, "model_cfg": CONFIGS[request.param]}
    save_encoder(tmp_path / "clip", build(config["model_cfg"]), config, {"model": "test"})
    return tmp_path / "clip"


def stream_of(clip: Path, cut: int, count: int = 40) -> np.ndarray:
    model = load_encoder(clip).model.backbone
    size = model.visual.image_size if isinstance(model.visual.image_size, int) else model.visual.image_size[0]
    pixels = torch.randn(count * 4, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        values = residual(model, pixels, cut)
    return values.unflatten(0, (count, 4)).half().numpy()


def resources(clip: Path, cut: int, kept: ExitStack) -> Resources:
    frames = {"rule": "uniform:4", "grid": 1, "path": "value", "cut": cut, "select": "uniform", "keep": None}
    sections = {"frames": FramesParams(**{**frames, "order": "time"})}
    return Resources(sections, clip.parent / "work", "code", kept, clip=clip)


def test_clip_stays_as_it_is_and_the_head_comes_back_from_disk(clip: Path, tmp_path: Path) -> None:
    stream = stream_of(clip, 1)
    given = videos({"frames": stream[:, :, 0], "residual": stream}, 2)
    with ExitStack() as kept:
        params = EvlParams(**{**PARAMS, "select": "last"})
        fitted = evl.fit(given, params, (0, "evl", 1), resources=resources(clip, 1, kept))
    top, config = fitted.net.top.backbone, fitted.config()  # type: ignore[union-attr]
    make_deterministic(0, "clip")
    fresh = build(config["clip"]).state_dict()
    names = {"blocks.0.": "visual.layer4." if top.is_resnet else "visual.transformer.resblocks.2."}
    for name, value in top.state_dict().items():  # type: ignore[operator]
        for own, there in names.items():
            if name.startswith(own):
                torch.testing.assert_close(value, fresh[name.replace(own, there)], rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in top.parameters())  # type: ignore[operator]
    fitted.save(tmp_path / "head")
    again = evl.load(tmp_path / "head")
    np.testing.assert_array_equal(again.logits(given.inputs("test")), fitted.logits(given.inputs("test")))
    assert again.cost() == fitted.cost()


def test_levels_that_are_kept_and_levels_that_are_not_give_one_head(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stream_of(clip, 1)
    given = videos({"frames": stream[:, :, 0], "residual": stream}, 2)
    logits = []
    for limit in (evl.HELD_BYTES, 0):
        monkeypatch.setattr(evl, "HELD_BYTES", limit)
        with ExitStack() as kept:
            fitted = evl.fit(given, EvlParams(**PARAMS), (0, "evl", 1), resources=resources(clip, 1, kept))
        logits.append(fitted.logits(given.inputs("test")))
    np.testing.assert_array_equal(*logits)


def test_more_levels_than_were_kept_are_refused(clip: Path) -> None:
    stream = stream_of(clip, 1)
    given = videos({"frames": stream[:, :, 0], "residual": stream}, 2)
    with ExitStack() as kept, pytest.raises(ParamsError, match=r"evl\.layers: 3, but frames\.cut leaves"):
        evl.fit(given, EvlParams(**{**PARAMS, "layers": 3}), (0, "evl", 1), resources=resources(clip, 1, kept))
