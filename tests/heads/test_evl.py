"""EVL's decoder: what tells it the order of frames, what stays frozen, and what it costs."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip import CLIP

from moclip.base.errors import ParamsError, StoreError
from moclip.base.files import sha256_file
from moclip.clip.encoder import build, known_config, load_encoder, save_encoder
from moclip.clip.tiny import CONFIG
from moclip.clip.top import ClipTop
from moclip.data.splits import Member
from moclip.heads import evl
from moclip.heads.evl import Evl, LevelFeed
from moclip.heads.evl_net import EvlDecoder, Temporal, relative_places
from moclip.heads.fitted import Resources, Videos
from moclip.heads.frames import FRAMES, RESIDUAL
from moclip.params.frames import FramesParams
from moclip.params.heads.evl import EvlParams
from moclip.params.section import validated
from moclip.report.paper_costs import decoder_macs, decoder_parameters
from moclip.report.papers import TemporalDecoder, read_papers
from moclip.training.flops import multiply_adds, trainable_parameters
from tests.support.imports import ROOT
from tests.support.streams import split_of

SEED = (0, "evl", 1)
FRAMES_EACH = 8
ALL = ("conv", "position", "attention")
VIT = {
    **CONFIG["model_cfg"],
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8},
}
SHAPES = {"resnet": (FRAMES_EACH, 16, 128), "vit": (FRAMES_EACH, 17, 32)}
CUTS = {"resnet": 1, "vit": 2}
SHARP = 4.0  # of queries and of keys
PARAMS = {
    "layers": 2,
    "width": 32,
    "heads": 4,
    "mlp": 2,
    "temporal": list(ALL),
    "schedule": "cosine",
    "dropout": 0.1,
    "epochs": 2,
    "lr": 0.006,
    "weight_decay": 0.01,
    "batch_videos": 16,
    "select": "last",
}


def params(**changes: Any) -> EvlParams:
    return validated("evl", EvlParams, {**PARAMS, **changes})


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random CLIP of each family, as directories."""
    directory, found = tmp_path_factory.mktemp("clips"), {}
    for name, config in {"resnet": CONFIG["model_cfg"], "vit": VIT}.items():
        found[name] = directory / name
        save_encoder(found[name], drawn(config), {**CONFIG, "model_cfg": config}, {})
    return found


def drawn(config: Mapping[str, Any]) -> CLIP:
    """A random CLIP; a ViT's places attend to few, as trained ones do, where random ones attend to all alike."""
    torch.manual_seed(0)
    model = build(config)
    for name, weight in model.visual.named_parameters():
        if name.endswith("in_proj_weight"):
            weight.data[: 2 * len(weight) // 3] *= SHARP
    return model


@pytest.fixture
def resources(clips: dict[str, Path], tmp_path: Path) -> Any:
    with ExitStack() as kept:
        yield lambda family, cut=None: Resources(
            {"frames": frames_params(cut or CUTS[family])}, tmp_path, "some code", kept, clip=clips[family]
        )


def frames_params(cut: int) -> FramesParams:
    own = {"rule": f"uniform:{FRAMES_EACH}", "grid": 1, "path": "value", "cut": cut}
    return FramesParams(**own, select="uniform", keep=None, order="time")


def cyclic(family: str, train: int = 128, test: int = 256, noise: float = 0.5) -> Videos:
    """Videos of the same 8 frames, from any of them on, forwards (class 0) or backwards (class 1)."""
    rng, shape = np.random.default_rng(0), SHAPES[family]
    patterns = rng.normal(size=shape)
    members = [Member(f"v{i:03d}", i % 2, "train" if i < train else "test", f"g{i}") for i in range(train + test)]
    order = np.arange(FRAMES_EACH)
    starts = rng.integers(FRAMES_EACH, size=len(members))
    values = [
        patterns[(start + (1 - 2 * member.label) * order) % FRAMES_EACH]
        for start, member in zip(starts, members, strict=True)
    ]
    noisy = np.stack(values) + noise * rng.normal(size=(len(members), *shape))
    return of_values(members, noisy.astype(np.float16))


def of_values(members: Sequence[Member], values: np.ndarray) -> Videos:
    stream = Rows({member.id: row for member, row in zip(members, values, strict=True)})
    return Videos(split_of(members, 2), {FRAMES: stream, RESIDUAL: stream})


@dataclass(frozen=True)
class Rows:
    """A stream of frames in memory."""

    rows: Mapping[str, np.ndarray]

    def of(self, ids: Sequence[str]) -> np.ndarray:
        return np.stack([self.rows[video] for video in ids])


def accuracy_pct(fitted: Evl, videos: Videos) -> float:
    hits = fitted.logits(videos.inputs("test")).argmax(axis=1) == videos.split.part("test").labels
    return 100 * float(hits.mean())


def fitted(family: str, resources: Any, videos: Videos | None = None, cut: int | None = None, **changes: Any) -> Evl:
    videos = videos or cyclic(family, train=16, test=8)
    return evl.fit(videos, params(**changes), SEED, resources=resources(family, cut))


@pytest.mark.parametrize("temporal", [[], ["position"]])
def test_order_of_frames_is_chance_without_what_looks_beside_a_frame(temporal, resources):
    """A position tells nothing either, as each video starts anywhere in the cycle."""
    videos = cyclic("vit")
    assert 35 < accuracy_pct(fitted("vit", resources, videos, temporal=temporal, epochs=15), videos) < 65


@pytest.mark.parametrize(
    ("family", "temporal", "train"),
    [
        ("vit", ["conv"], 128),
        ("vit", ["attention"], 128),
        ("vit", ALL, 128),
        ("resnet", ["attention"], 256),
    ],
)
def test_order_of_frames_is_learned(family, temporal, train, resources):
    videos = cyclic(family, train)
    assert accuracy_pct(fitted(family, resources, videos, temporal=list(temporal), epochs=15), videos) >= 95


@pytest.mark.parametrize("family", SHAPES)
def test_logits_are_blind_to_the_order_of_frames_without_temporal_parts(family, resources):
    videos = cyclic(family, train=16, test=8)
    stream = videos.inputs("test")[RESIDUAL]
    shuffled = stream[:, np.random.default_rng(1).permutation(FRAMES_EACH)]
    apart = {}
    for temporal in ([], *([part] for part in ALL)):
        head = fitted(family, resources, videos, temporal=temporal)
        apart[tuple(temporal)] = np.abs(head.logits({RESIDUAL: stream}) - head.logits({RESIDUAL: shuffled})).max()
    assert apart.pop(()) < 1e-5
    assert min(apart.values()) > 1e-4


def offset_row(down: int, across: int, side: int = 3) -> int:
    return (down + side - 1) * (2 * side - 1) + across + side - 1


def test_tables_are_read_by_how_far_a_place_lies_from_the_one_it_attends_to():
    rows = relative_places(3)
    assert rows.shape == (9, 9)
    for p in range(9):
        for r in range(9):
            assert rows[p, r] == offset_row(p // 3 - r // 3, p % 3 - r % 3)


def test_an_affinity_of_one_place_adds_its_row_to_the_place_alone():
    net = Temporal(5, frames=4, places=9, parts=["attention"])
    assert net.before is not None
    assert net.after is not None
    for table in (net.before, net.after):
        torch.nn.init.normal_(table)
    level = torch.randn(2, 4, 10, 5)
    kept, same = level.clone(), torch.eye(9).expand(2, 3, 9, 9)
    right = torch.eye(9).roll(1, dims=1).expand(2, 3, 9, 9)  # a place looks at the next; the last of a row wraps
    with torch.no_grad():
        added = net(level, same, right) - level
    assert torch.equal(level, kept)  # nothing is added in place
    assert torch.equal(added[:, :, 0], torch.zeros(2, 4, 5))  # the class token has no place
    before, after = net.before[offset_row(0, 0)], net.after[offset_row(0, -1)]
    inner = [1 + 3 * down + across for down in range(3) for across in range(2)]
    for frame, expected in ((0, after), (1, before + after), (2, before + after), (3, before)):
        torch.testing.assert_close(added[:, frame, inner], expected.expand(2, 6, 5))


def test_no_affinity_adds_nothing_at_the_start():
    net = Temporal(5, frames=4, places=9, parts=["position", "attention"])
    level, affinity = torch.randn(2, 4, 10, 5), torch.full((2, 3, 9, 9), 1 / 9)
    assert torch.equal(net(level, affinity, affinity), level)


@pytest.mark.parametrize("family", SHAPES)
def test_clip_stays_as_it_is_and_gets_no_gradient(family, resources, clips):
    head = fitted(family, resources)
    top = ClipTop(load_encoder(clips[family]).model.backbone, CUTS[family])
    own, kept = head.net.top.backbone.state_dict(), top.state_dict()
    assert own.keys() == kept.keys()
    assert all(torch.equal(own[name], kept[name]) for name in kept)
    stream = torch.randn(2, *SHAPES[family], requires_grad=True)
    head.net.train()(stream).sum().backward()
    assert stream.grad is None
    assert all(weight.grad is None for weight in head.net.top.parameters())
    assert all(weight.grad is not None for weight in head.net.decoder.parameters())


@pytest.mark.parametrize("family", SHAPES)
def test_levels_are_those_of_the_clip_on_file(family, resources, clips):
    """The top that stands in the head has the CLIP's weights and its activation."""
    head, stream = fitted(family, resources), torch.randn(2, *SHAPES[family])
    top = ClipTop(load_encoder(clips[family]).model.backbone, CUTS[family]).eval()
    with torch.no_grad():
        found = list(top.levels(stream))
        if family == "resnet":
            found = [top.entry(stream), *found]
    expected = [part for level in found for part in level]
    assert [part.shape for part in head.net.levels(stream)] == [part.shape for part in expected]
    for own, part in zip(head.net.levels(stream), expected, strict=True):
        torch.testing.assert_close(own, part, rtol=2e-3, atol=1e-3)  # float16


@pytest.mark.parametrize("layers", [1, 2])
def test_a_resnets_levels_end_with_its_last_stage(layers, resources):
    head = fitted("resnet", resources, layers=layers)
    shapes = [list(adapter.weight.shape) for adapter in head.net.decoder.adapters]
    assert shapes == [[32, 128], [32, 256]][-layers:]


def test_kept_levels_are_those_made_anew(resources, monkeypatch):
    videos = cyclic("vit", train=16, test=8)
    net, ids = fitted("vit", resources, videos).net, videos.split.part("train").ids[3:9]
    kept = LevelFeed(net, videos)
    monkeypatch.setattr(evl, "HELD_BYTES", 0)
    anew = LevelFeed(net, videos)
    assert kept.held is not None
    assert anew.held is None
    for one, other in zip(kept(ids), anew(ids), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=1e-3)
    assert fitted("vit", resources, videos).history  # trains batch by batch


@pytest.mark.parametrize(("family", "width"), [("resnet", 32), ("vit", 32), ("vit", None)])
def test_loaded_head_answers_by_itself(family, width, resources, tmp_path):
    videos = cyclic(family, train=16, test=8)
    head, inputs = fitted(family, resources, videos, width=width), videos.inputs("test")
    head.save(tmp_path / "head")
    loaded = evl.load(tmp_path / "head")
    assert np.array_equal(loaded.logits(inputs), head.logits(inputs))
    features = loaded.features(inputs)
    assert features.shape == (8, 32)
    with torch.no_grad():
        logits = loaded.net.decoder.outputs(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(logits, head.logits(inputs), atol=1e-6)


def test_same_seed_same_bytes_and_another_seed_others(resources, tmp_path):
    videos = cyclic("vit", train=16, test=8)
    digests = []
    for name, seed in (("a", SEED), ("b", SEED), ("c", (1, "evl", 1))):
        evl.fit(videos, params(), seed, resources=resources("vit")).save(tmp_path / name)
        digests.append(sha256_file(tmp_path / name / "model.safetensors"))
    assert digests[0] == digests[1] != digests[2]


def test_cost_has_the_decoders_parameters_and_clips_products(resources):
    head = fitted("vit", resources)
    cost = head.cost()
    decoder = trainable_parameters(head.net.decoder)
    assert cost.parameters == decoder < sum(weight.numel() for weight in head.net.parameters())
    frozen = copy.deepcopy(head.net).requires_grad_(False)
    levels = frozen.levels(torch.zeros(1, *SHAPES["vit"]))
    of_decoder = multiply_adds(lambda: frozen.decoder(*levels))
    of_top = multiply_adds(lambda: frozen.levels(torch.zeros(1, *SHAPES["vit"])))
    assert cost.macs == of_decoder + of_top > of_decoder > 0


@pytest.mark.parametrize(
    ("family", "cut", "changes", "words"),
    [
        ("vit", 1, {}, r"evl\.layers: 2, but frames\.cut leaves 1 levels"),
        ("resnet", 1, {"layers": 3}, r"evl\.layers: 3, but frames\.cut leaves 2 levels"),
        ("resnet", 1, {"width": None}, r"evl\.width: null .* its levels have \[128, 256\]"),
        ("vit", 2, {"width": None, "heads": 5}, r"evl\.heads: 5 do not divide CLIP's width 32"),
    ],
)
def test_layers_and_widths_that_clip_has_not_are_refused(family, cut, changes, words, resources):
    with pytest.raises(ParamsError, match=words):
        fitted(family, resources, cut=cut, **changes)


def test_stream_of_another_clip_is_refused(resources):
    with pytest.raises(StoreError, match=r"residual: a stream of \(8, 16, 128\) .* does not enter this CLIP's last 2"):
        fitted("vit", resources, cyclic("resnet", train=16, test=8))


@pytest.mark.parametrize("shape", [(4, 17, 32), (8, 26, 32), (8, 17, 48)])
def test_other_frames_or_another_width_than_trained_on_are_refused(shape, resources):
    head = fitted("vit", resources)
    for ask in (head.logits, head.features):
        with pytest.raises(StoreError, match=r"residual: a video is .* trained on \(8, 17, 32\)"):
            ask({RESIDUAL: np.zeros((2, *shape), np.float16)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 30}, "heads: 4 do not divide width: 30"),
        ({"temporal": ["conv", "conv"]}, "each entry may stand here once"),
        ({"temporal": ["flow"]}, "temporal"),
        ({"layers": 0}, "layers"),
        ({"schedule": "constant"}, "schedule"),
    ],
)
def test_settings_that_make_no_decoder_are_refused(changes, words):
    with pytest.raises(ParamsError, match=words):
        params(**changes)


def published(patches: int, layers: int = 4, classes: int = 101, temporal: Sequence[str] = ALL) -> EvlDecoder:
    """The paper's decoder over ViT-B, without weights."""
    with torch.device("meta"):
        return (
            EvlDecoder(
                widths=[768] * layers,
                places=[patches**2] * layers,
                frames=FRAMES_EACH,
                classes=classes,
                width=None,
                heads=12,
                mlp=4,
                temporal=temporal,
                dropout=0.5,
            )
            .eval()
            .requires_grad_(False)
        )


def parameters_m(net: EvlDecoder) -> float:
    return round(sum(weight.numel() for weight in net.parameters()) / 1e6, 2)


def view_gmac(net: EvlDecoder, patches: int) -> float:
    places = patches**2
    with torch.device("meta"):
        out, affinity = torch.empty(1, FRAMES_EACH, 1 + places, 768), torch.empty(1, FRAMES_EACH - 1, places, places)
        return multiply_adds(lambda: net(*[out, affinity, affinity] * len(net.layers))) / 1e9


@pytest.mark.parametrize(
    ("patches", "layers", "classes", "temporal", "millions"),
    [
        (14, 4, 400, ALL, 33.18),
        (14, 4, 101, ALL, 32.95),
        (14, 4, 101, ("conv", "position"), 28.47),
        (7, 4, 101, ALL, 29.51),
        (7, 2, 101, ALL, 14.80),
    ],
)
def test_parameters_are_the_papers(patches, layers, classes, temporal, millions):
    assert parameters_m(published(patches, layers, classes, temporal)) == millions


def test_multiply_adds_are_the_papers():
    """444 GFLOPs count no affinities; these add 3.30 a view, half of them where queries meet the neighbours' keys."""
    plain, whole = (published(14, classes=400, temporal=parts) for parts in (ALL[:2], ALL))
    assert round(view_gmac(plain, 14) / 4, 3) == 1.871
    tables = view_gmac(whole, 14) - view_gmac(plain, 14)
    with torch.device("meta"):
        top = ClipTop(build(known_config("ViT-B-16")), 4).eval().requires_grad_(False)
        stream = torch.empty(1, FRAMES_EACH, 197, 768)
        projection = FRAMES_EACH * 768 * 512
        affinities = multiply_adds(lambda: list(top.levels(stream))) - multiply_adds(lambda: top.pooled(stream))
    assert round(tables + (affinities + projection) / 1e9, 2) == 3.30
    assert round(tables, 3) == 1.652


def test_reports_closed_forms_are_this_decoder():
    costs = read_papers(ROOT / "papers")["evl"].costs
    assert isinstance(costs, TemporalDecoder)
    plain, whole = (published(14, classes=400, temporal=parts) for parts in (ALL[:2], ALL))
    assert decoder_parameters(costs) == sum(weight.numel() for weight in whole.parameters())
    assert decoder_macs(costs) == round(1e9 * view_gmac(plain, 14))
