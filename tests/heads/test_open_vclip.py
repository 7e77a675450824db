"""Open-VCLIP: CLIP's top on video, its regularised training, averages and interpolations; seen and unseen classes."""

import copy
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from open_clip import CLIP
from torch import Tensor, nn
from torch.nn import functional

from moclip.base.errors import DataError, ParamsError, StoreError
from moclip.base.files import read_json, sha256_file
from moclip.base.random import torch_stream
from moclip.clip.captions import Caption, write_captions
from moclip.clip.encoder import build, load_encoder, save_encoder
from moclip.clip.patch import interpolated
from moclip.clip.tiny import CONFIG
from moclip.clip.top import ClipTop
from moclip.data.splits import Member, Split
from moclip.data.ucf101 import Lists
from moclip.heads import frames_zero_shot, open_vclip
from moclip.heads.fitted import ClassTexts, Resources, Videos
from moclip.heads.frames import FRAMES, RESIDUAL
from moclip.heads.open_vclip import ITSELF, TUNED, OpenVclip
from moclip.heads.open_vclip_net import matching_loss, regularised
from moclip.heads.open_vclip_training import base_classes, schedule_of
from moclip.params.compute import ComputeParams
from moclip.params.frames import FramesParams
from moclip.params.heads.open_vclip import OpenVclipParams
from moclip.params.section import validated
from moclip.training import checkpoint, loop
from tests.heads.test_evl import Rows, cyclic
from tests.support.frames import unit
from tests.support.towers import TEXT, VIT, _told_apart

T = 4
WIDTHS = {"resnet": 64, "vit": 24}
CONFIGS = {
    "resnet": CONFIG["model_cfg"],
    "vit": {"embed_dim": 24, "vision_cfg": VIT, "text_cfg": {**TEXT, "context_length": 24}},
}
SHAPES = {"resnet": (T, 16, 128), "vit": (T, 17, 32)}
CUTS = {"resnet": 1, "vit": 2}
SCALE = 20.0
SEED = (0, "open_vclip", 1)
PARAMS = {
    **{"classes": "all", "base": None, "shots": None, "neighbours": True, "edges": "repeat", "regularise": 0.5},
    **{"chain_rule": True, "share_low": 0.0, "share_high": 0.6, "average_from": 1, "share": 0.5, "captions": None},
    **{"caption_weight": 1.0, "epochs": 2, "lr": 1e-3, "warmup_epochs": 0.0, "weight_decay": 0.01, "clip_norm": 1.0},
    "batch_videos": 8,
}
COMPUTE = ComputeParams(kernels="portable", device="cpu", amp=False, channels_last=False, deterministic=True)
BOTH = pytest.mark.parametrize("family", SHAPES)


def params(**changes: Any) -> OpenVclipParams:
    return validated("open_vclip", OpenVclipParams, {**PARAMS, **changes})


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random CLIP of each family, as directories."""
    directory, found = tmp_path_factory.mktemp("clips"), {}
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        found[name] = directory / name
        save_encoder(found[name], _told_apart(build(config), 0), {**CONFIG, "model_cfg": config}, {})
    return found


@pytest.fixture
def resources(clips: dict[str, Path], tmp_path: Path) -> Any:
    with ExitStack() as kept:
        yield lambda family, cut=None: Resources(
            {"frames": frames_params(cut or CUTS[family]), "compute": COMPUTE},
            tmp_path / "work",
            "some code",
            kept,
            clip=clips[family],
        )


def frames_params(cut: int) -> FramesParams:
    own = {"rule": f"uniform:{T}", "grid": 1, "path": "value", "cut": cut}
    return FramesParams(**own, select="uniform", keep=None, order="time")


def videos_of(family: str, classes: int = 4, each: int = 10, noise: float = 1.0) -> Videos:
    """Videos whose streams lie round a pattern of their class; three fifths train, a fifth each validates and tests."""
    rng, shape = np.random.default_rng(0), SHAPES[family]
    parts = ("train", "train", "train", "val", "test")
    members = [
        Member(f"v{label}{number:02d}", label, parts[number % 5], f"g{label}{number}")
        for label in range(classes)
        for number in range(each)
    ]
    patterns = rng.normal(size=(classes, *shape[1:]))
    values = patterns[[member.label for member in members]][:, None] + noise * rng.normal(size=(len(members), *shape))
    stream = Rows({member.id: row for member, row in zip(members, values.astype(np.float16), strict=True)})
    texts = ClassTexts(unit(rng.normal(size=(classes, WIDTHS[family]))).astype(np.float32), SCALE)
    return Videos(Split(members, [f"C{label}" for label in range(classes)]), {FRAMES: stream, RESIDUAL: stream}, texts)


def fitted(family: str, resources: Any, videos: Videos | None = None, **changes: Any) -> OpenVclip:
    return open_vclip.fit(videos or videos_of(family), params(**changes), SEED, resources=resources(family))


def own_logits(clip: Path, videos: Videos, cut: int, part: str = "test") -> np.ndarray:
    """Zero-shot logits of a part by CLIP's untouched top."""
    top = ClipTop(load_encoder(clip).model.backbone, cut).eval()
    tokens = torch.from_numpy(videos.inputs(part)[RESIDUAL]).float()
    with torch.inference_mode():
        features = functional.normalize(top.pooled(tokens), dim=-1).mean(dim=1)
        return (SCALE * features @ torch.from_numpy(videos.texts.features).T).numpy()


@BOTH
def test_clips_own_share_without_neighbours_is_clip_bit_for_bit(family, resources, clips):
    videos = videos_of(family)
    head = fitted(family, resources, videos, share=1.0, neighbours=False)
    found = head.logits(videos.inputs("test"))
    assert np.array_equal(found, own_logits(clips[family], videos, CUTS[family]))
    assert np.array_equal(head.beside(videos.inputs("test"))[ITSELF], found)


@BOTH
def test_it_then_ranks_as_zero_shot_on_the_same_frames(family, resources, clips):
    videos = videos_of(family)
    top = ClipTop(load_encoder(clips[family]).model.backbone, CUTS[family]).eval()
    tokens = torch.from_numpy(videos.inputs("test")[RESIDUAL]).float()
    with torch.inference_mode():
        features = top.pooled(tokens).numpy()
    zero_shot = frames_zero_shot.fit(videos, None, SEED).logits({FRAMES: features})
    found = fitted(family, resources, videos, share=1.0, neighbours=False).logits(videos.inputs("test"))
    np.testing.assert_allclose(found, zero_shot, rtol=1e-4, atol=1e-4)
    assert np.array_equal(found.argsort(axis=1), zero_shot.argsort(axis=1))


@BOTH
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_weights_lie_between_clip_and_the_average(family, share, resources):
    head = fitted(family, resources, share=share)
    first, second, own = head.apart[ITSELF], head.apart[TUNED], head.net.tower.state_dict()
    assert own.keys() == first.keys() == second.keys()
    moved = [name for name in own if not torch.equal(first[name], second[name])]
    assert moved
    for name in own:
        if share in (0.0, 1.0) or not own[name].is_floating_point():
            assert torch.equal(own[name], (first if share else second)[name])
        else:
            torch.testing.assert_close(
                own[name], share * first[name] + (1 - share) * second[name], rtol=1e-6, atol=1e-7
            )


@BOTH
def test_fine_tuned_share_answers_by_the_average(family, resources):
    videos = videos_of(family)
    head, inputs = fitted(family, resources, videos, share=0.0), videos.inputs("test")
    assert np.array_equal(head.logits(inputs), head.beside(inputs)[TUNED])
    assert not np.array_equal(head.logits(inputs), head.beside(inputs)[ITSELF])


def test_no_epoch_is_clip(resources):
    videos = videos_of("vit")
    none, inputs = fitted("vit", resources, videos, epochs=0, share=0.3), videos.inputs("test")
    assert not none.history
    assert np.array_equal(none.logits(inputs), fitted("vit", resources, videos, share=1.0).logits(inputs))


@pytest.mark.parametrize(("average_from", "counted"), [(1, [0, 1, 2]), (2, [1, 2]), (None, [2])])
def test_average_is_the_mean_of_the_epochs_weights(average_from, counted, resources, monkeypatch):
    states: list[dict[str, Tensor]] = []
    monkeypatch.setattr(
        loop, "_measured", lambda model, validate: states.append(copy.deepcopy(model.state_dict())) or {}
    )
    head = fitted("vit", resources, average_from=average_from, epochs=3)
    assert len(states) == 3
    for name, found in head.apart[TUNED].items():
        mean = torch.stack([states[epoch][name].double() for epoch in counted]).mean(dim=0)
        torch.testing.assert_close(found.double(), mean, rtol=1e-6, atol=1e-7)


class Toy(nn.Module):
    """A linear tower."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.3, -0.7], [1.1, 0.2]], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


X = torch.tensor([[1.0, 2.0], [-0.5, 0.4], [0.2, -1.0]], dtype=torch.float64)
ANCHOR = {"weight": torch.tensor([[0.0, 0.5], [-0.2, 0.9]], dtype=torch.float64)}


def curved(tower: Any) -> Tensor:
    loss: Tensor = functional.cross_entropy(tower(X), torch.tensor([0, 1, 1])) + tower(X).pow(4).mean()
    return loss


def gradient(loss: Any) -> Tensor:
    toy = Toy()
    loss(toy).backward()
    assert toy.weight.grad is not None
    return toy.weight.grad


def test_without_a_share_of_clip_the_gradient_is_one_and_a_half_times_the_plain_one():
    plain = gradient(curved)
    for chain_rule in (True, False):
        found = gradient(lambda toy, rule=chain_rule: regularised(curved, toy, ANCHOR, 0.0, 0.5, rule))
        torch.testing.assert_close(found, 1.5 * plain, rtol=0, atol=1e-6)


def test_without_weight_the_gradient_is_the_plain_one():
    assert torch.equal(gradient(lambda toy: regularised(curved, toy, ANCHOR, 0.4, 0.0)), gradient(curved))


@pytest.mark.parametrize(("chain_rule", "factor"), [(True, 0.5), (False, 0.5 / 0.6)])
def test_gradient_is_that_of_the_loss_as_stated(chain_rule, factor):
    """With the published gradient: of L(w) + C / (1 - a) L(a w0 + (1 - a) w), a = 0.4."""

    def stated(weight: Tensor) -> float:
        toy = Toy()
        near, here = 0.4 * ANCHOR["weight"] + 0.6 * weight, toy.weight.data
        toy.weight.data = weight
        value = curved(toy).item()
        toy.weight.data = near
        value += factor * curved(toy).item()
        toy.weight.data = here
        return value

    start, numeric, step = Toy().weight.data, torch.zeros(2, 2, dtype=torch.float64), 1e-5
    for place in range(4):
        shift = torch.zeros(4, dtype=torch.float64)
        shift[place] = step
        up, down = stated(start + shift.view(2, 2)), stated(start - shift.view(2, 2))
        numeric.view(-1)[place] = (up - down) / (2 * step)
    found = gradient(lambda toy: regularised(curved, toy, ANCHOR, 0.4, 0.5, chain_rule))
    torch.testing.assert_close(found, numeric, rtol=1e-7, atol=1e-7)


def test_published_gradient_is_said_to_be_one(resources, caplog):
    with caplog.at_level(logging.WARNING):
        head = fitted("vit", resources, chain_rule=False)
    assert "lacks its factor 1 - alpha" in caplog.text
    other = fitted("vit", resources)
    assert any(not torch.equal(head.apart[TUNED][name], other.apart[TUNED][name]) for name in head.apart[TUNED])


def test_decay_spares_vectors():
    toy = nn.Linear(3, 2)
    groups = loop._optimizer([(list(toy.parameters()), 1.0)], schedule_of(params())).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.01), (1, 0.0)]
    assert groups[0]["params"][0] is toy.weight
    plain = loop._optimizer([(list(toy.parameters()), 1.0)], loop.Schedule(1, 0.1, 0.01)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in plain] == [(2, 0.01)]


def test_shares_of_a_step_follow_from_seed_and_epoch():
    first, again, other = (torch.rand(5, generator=torch_stream(*SEED, "share", epoch)) for epoch in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@BOTH
def test_it_learns_the_classes_of_its_videos(family, resources):
    videos = videos_of(family, noise=0.5)
    head, inputs = fitted(family, resources, videos, share=0.0, epochs=15, lr=3e-3), videos.inputs("test")
    labels = videos.split.part("test").labels
    accuracy = {name: float((found.argmax(1) == labels).mean()) for name, found in head.beside(inputs).items()}
    assert accuracy[TUNED] > 0.8
    assert accuracy[ITSELF] < 0.6
    assert [epoch["val_top1_pct"] for epoch in head.history][-1] > 80


def test_the_arrow_of_time_is_hidden_from_it(clips, tmp_path):
    """EVL's order test, the same frames forwards or backwards: neighbours are alike on both sides, so it is chance."""
    videos = cyclic("vit")  # a CLIP of 17 tokens of width 32, as here
    texts = ClassTexts(unit(np.random.default_rng(3).normal(size=(2, WIDTHS["vit"]))).astype(np.float32), SCALE)
    videos = Videos(videos.split, videos.streams, texts)
    with ExitStack() as kept:
        resources = Resources(
            {"frames": frames_params(2), "compute": COMPUTE}, tmp_path / "work", "code", kept, clip=clips["vit"]
        )
        own = params(epochs=15, share=0.0, average_from=None, regularise=0.0, lr=2e-3, batch_videos=16)
        head = open_vclip.fit(videos, own, SEED, resources=resources)
    stream = videos.inputs("test")[RESIDUAL]
    hits = head.logits({RESIDUAL: stream}).argmax(axis=1) == videos.split.part("test").labels
    assert 0.35 < hits.mean() < 0.65
    turned = head.logits({RESIDUAL: stream[:, ::-1].copy()})
    np.testing.assert_allclose(turned, head.logits({RESIDUAL: stream}), rtol=1e-4, atol=1e-4)


@BOTH
def test_statistics_of_batch_norms_stay_clips(family, resources):
    head = fitted(family, resources, share=0.0)
    buffers = [name for name, _ in head.net.tower.named_buffers()]
    assert bool(buffers) == (family == "resnet")
    assert all(torch.equal(head.apart[ITSELF][name], head.apart[TUNED][name]) for name in buffers)


@BOTH
def test_loaded_head_answers_the_same(family, resources, tmp_path):
    videos = videos_of(family)
    head, inputs = fitted(family, resources, videos), videos.inputs("test")
    head.save(tmp_path / "head")
    loaded = open_vclip.load(tmp_path / "head")
    assert np.array_equal(loaded.logits(inputs), head.logits(inputs))
    assert loaded.cost() == head.cost()
    assert loaded.beside(inputs) == {}


def test_same_seed_same_bytes_and_another_seed_others(resources, tmp_path):
    digests = []
    for name, seed in (("a", SEED), ("b", SEED), ("c", (1, "open_vclip", 1))):
        own = replace(resources("vit"), work=tmp_path / f"work-{name}")
        open_vclip.fit(videos_of("vit"), params(), seed, resources=own).save(tmp_path / name)
        digests.append(sha256_file(tmp_path / name / "model.safetensors"))
    assert digests[0] == digests[1] != digests[2]


def test_killed_training_goes_on_where_it_was(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    videos = videos_of("vit")

    def fit(work: Path, stop: int | None = None) -> tuple[OpenVclip, list[int]]:
        told: list[int] = []

        def on_epoch(epoch: Any) -> None:
            told.append(epoch.epoch)
            if epoch.epoch == stop:
                raise KeyboardInterrupt

        with ExitStack() as kept:
            own = {"frames": frames_params(2), "compute": COMPUTE}
            found = open_vclip.fit(
                videos, params(epochs=4), SEED, on_epoch, Resources(own, work, "code", kept, clip=clips["vit"])
            )
        return found, told

    whole, _ = fit(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed", stop=2)
    resumed, told = fit(tmp_path / "killed")
    assert told == [2, 3]
    assert all(torch.equal(resumed.apart[TUNED][name], tensor) for name, tensor in whole.apart[TUNED].items())
    assert [epoch.values for epoch in resumed.history] == [epoch.values for epoch in whole.history]


def test_cost_counts_what_trains_and_neighbours_products(resources, clips):
    videos = videos_of("vit")
    alone, beside = (fitted("vit", resources, videos, epochs=0, neighbours=one).cost() for one in (False, True))
    top = ClipTop(load_encoder(clips["vit"]).model.backbone, 2)
    assert alone.parameters == beside.parameters == sum(own.numel() for own in top.parameters())
    tokens, width = SHAPES["vit"][1:]
    assert (
        beside.macs - alone.macs == 2 * T * 2 * (2 * tokens) * tokens * width
    )  # two blocks, q k and a v, 2 more frames


def split_of(counts: Mapping[str, tuple[int, int, int]]) -> Split:
    """Classes with so many videos that train, validate and test."""
    members = [
        Member(f"{name}_{part}_{number}", label, part, f"{name}_{part}_{number}")
        for label, (name, own) in enumerate(counts.items())
        for part, count in zip(("train", "val", "test"), own, strict=True)
        for number in range(count)
    ]
    return Split(members, list(counts))


def test_base_is_the_half_with_most_videos_of_the_train_list():
    counts = {"A": (3, 0, 9), "B": (2, 3, 1), "C": (3, 0, 1), "D": (4, 0, 0), "E": (1, 1, 9)}
    assert base_classes(split_of(counts)) == [1, 2, 3]  # five, four; then three, of which C comes later than A
    assert base_classes(split_of(counts), ["E", "A"]) == [0, 4]


def test_base_that_is_no_class_or_all_of_them_is_refused():
    counts = {"A": (1, 0, 1), "B": (1, 0, 1)}
    with pytest.raises(ParamsError, match=r"open_vclip\.base: 'Juggle' is no class"):
        base_classes(split_of(counts), ["Juggle"])
    with pytest.raises(ParamsError, match="none is left to be unseen"):
        base_classes(split_of(counts), ["A", "B"])


def test_unseen_classes_are_met_in_the_test_alone(resources):
    """What videos of unseen classes hold moves no weight, and all classes are answered for."""
    videos, changed = videos_of("vit"), videos_of("vit")
    own = {"classes": "base", "base": ["C1", "C3"], "share": 0.0}
    for member in changed.split.members:
        if member.label in (0, 2):
            changed.streams[RESIDUAL].rows[member.id][:] = 0
    one, other = (fitted("vit", resources, of, **own) for of in (videos, changed))
    assert one.seen == ["C1", "C3"]
    assert all(torch.equal(one.apart[TUNED][name], other.apart[TUNED][name]) for name in one.apart[TUNED])
    assert one.logits(videos.inputs("test")).shape == (8, 4)
    assert fitted("vit", resources, videos).seen is None


def test_shots_take_so_many_videos_of_a_class(resources):
    videos = videos_of("vit")
    _, (_, few) = videos, [open_vclip.seen_part(videos, params(shots=n), SEED)[0] for n in (6, 2)]
    labels = few.split.part("train").labels.tolist()
    assert sorted(labels) == [0, 0, 1, 1, 2, 2, 3, 3]
    again = open_vclip.seen_part(videos, params(shots=2), SEED)[0]
    assert few.split.ids == again.split.ids
    assert few.split.ids != open_vclip.seen_part(videos, params(shots=2), (1, "open_vclip", 1))[0].split.ids
    with pytest.raises(ParamsError, match=r"shots: 7, but class C0 has 6 train videos"):
        open_vclip.seen_part(videos, params(shots=7), SEED)


def written(path: Path, videos: Videos, lacking: Sequence[str] = ()) -> str:
    """Two sentences for each video that trains, and one for a video that nobody knows."""
    ids = [video for video in videos.split.part("train").ids if video not in lacking]
    rows = [Caption(video, f"{words} {video[1]}") for video in ids for words in ("a person", "somebody in")]
    write_captions(path, [*rows, Caption("stranger", "nobody")])
    return str(path)


def test_without_sentences_it_says_what_it_is(resources, caplog, tmp_path):
    with caplog.at_level(logging.INFO):
        head = fitted("vit", resources, classes="base")
    head.save(tmp_path / "head")
    config = read_json(tmp_path / "head/config.json")
    assert (config["method"], config["seen"]) == ("Open-VCLIP", ["C2", "C3"])
    assert "this is Open-VCLIP, without the video-text loss of Open-VCLIP++" in caplog.text


def test_sentences_train_and_are_counted(resources, tmp_path, caplog):
    videos = videos_of("vit")
    with caplog.at_level(logging.INFO):
        told = fitted("vit", resources, videos, captions=written(tmp_path / "a.csv", videos), epochs=4)
    assert "48 sentences of 24 videos; those of 1 other videos" in caplog.text
    assert told.method == "Open-VCLIP++"
    plain = fitted("vit", resources, videos, epochs=4)
    unweighted = fitted(
        "vit", resources, videos, captions=written(tmp_path / "a.csv", videos), caption_weight=0.0, epochs=4
    )
    assert any(not torch.equal(told.apart[TUNED][name], plain.apart[TUNED][name]) for name in plain.apart[TUNED])
    assert all(torch.equal(unweighted.apart[TUNED][name], tensor) for name, tensor in plain.apart[TUNED].items())


def test_sentences_draw_videos_to_them(resources, tmp_path, clips):
    """The likeness of a class's videos to its own sentence, over that to the others', grows by the video-text loss."""
    videos = videos_of("vit", noise=0.3)
    encoder = load_encoder(clips["vit"])
    texts = unit(encoder.texts([f"a person {label}" for label in range(4)]))
    path = written(tmp_path / "a.csv", videos)
    own = {"epochs": 15, "lr": 3e-3, "share": 0.0, "regularise": 0.0, "caption_weight": 5.0}
    tokens, labels = torch.from_numpy(videos.inputs("test")[RESIDUAL]).float(), videos.split.part("test").labels
    margins = {}
    for captions in (None, path):
        net = fitted("vit", resources, videos, captions=captions, **own).net.eval()
        with torch.no_grad():
            likeness = functional.normalize(net.tower(tokens), dim=-1).numpy() @ texts.T
        right = likeness[np.arange(len(labels)), labels]
        margins[captions] = float((right - likeness.mean(axis=1)).mean())
    assert margins[path] > margins[None] + 1e-3


def test_a_video_without_a_sentence_is_named(resources, tmp_path):
    videos = videos_of("vit")
    path = written(tmp_path / "a.csv", videos, lacking=["v100"])
    with pytest.raises(DataError, match=r"no sentence for video 'v100' \(1 of 24 videos that train have none\)"):
        fitted("vit", resources, videos, captions=path)
    fitted("vit", resources, videos, captions=path, classes="base", base=["C0", "C2"], epochs=1)  # v100 does not train
    (tmp_path / "b.csv").write_text("id,sentence\nv000, \n")
    with pytest.raises(DataError, match="the sentence of video 'v000' is empty"):
        fitted("vit", resources, videos, captions=str(tmp_path / "b.csv"))
    with pytest.raises(StoreError, match="there is no such file"):
        fitted("vit", resources, videos, captions=str(tmp_path / "none.csv"))


def test_matching_loss_is_least_for_matching_pairs_and_blind_to_length():
    told = torch.eye(3)
    right, turned = matching_loss(told, told, 10.0), matching_loss(told.roll(1, 0), told, 10.0)
    assert right < turned
    assert right.item() == pytest.approx(np.log(1 + 2 * np.exp(-10.0)), rel=1e-3)
    torch.testing.assert_close(matching_loss(3 * told, 0.5 * told, 10.0), right)


def test_stream_of_another_clip_and_missing_texts_are_refused(resources):
    with pytest.raises(StoreError, match=r"a stream of \(4, 16, 128\) .* does not enter this CLIP's last 2"):
        fitted("vit", resources, videos_of("resnet"))
    videos = videos_of("vit")
    with pytest.raises(StoreError, match="open_vclip needs text features of the classes"):
        fitted("vit", resources, Videos(videos.split, videos.streams, None))
    head = fitted("vit", resources, videos, epochs=0)
    with pytest.raises(StoreError, match=r"a frame is \(26, 32\) .* trained on \(17, 32\)"):
        head.logits({RESIDUAL: np.zeros((2, T, 26, 32), np.float16)})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"share_low": 0.7}, "share_low: 0.7 is above share_high: 0.6"),
        ({"share_high": 1.0}, "share_high"),
        ({"average_from": 3}, "average_from: 3 of 2 epochs; nothing would be averaged"),
        ({"average_from": 0}, "average_from"),
        ({"warmup_epochs": 2.0}, "warmup_epochs: 2.0 of 2 epochs"),
        ({"base": ["A"]}, "classes: all trains on every one"),
        ({"classes": "base", "base": ["A", "A"]}, "each class may stand here once"),
        ({"share": 1.5}, "share"),
        ({"edges": "mirror"}, "edges"),
    ],
)
def test_settings_that_make_no_training_are_refused(changes, words):
    with pytest.raises(ParamsError, match=words):
        params(**changes)


def test_any_two_checkpoints_of_one_architecture_can_be_interpolated():
    assert isinstance(_told_apart(build(CONFIGS["vit"]), 1), CLIP)
    states = [_told_apart(build(CONFIGS["vit"]), seed).state_dict() for seed in (1, 2)]
    found = interpolated(*states, 0.25)
    name = "visual.transformer.resblocks.0.attn.in_proj_weight"
    torch.testing.assert_close(found[name], 0.25 * states[0][name] + 0.75 * states[1][name])


def test_base_of_ucf101_is_the_published_one(real_ucf101):
    """51 classes, 5,385 train videos; 2,088 test videos are of these, 1,695 of the other 50."""
    lists = Lists(real_ucf101, None, None)
    names = list(lists.index)
    members = [
        Member(video, names.index(name), part, video)
        for part, own in (("train", lists.train[1]), ("test", lists.test[1]))
        for video, name in own.items()
    ]
    split = Split(members, names)
    base = set(base_classes(split))
    counts = {part: sum(member.label in base for member in split.part(part).members) for part in ("train", "test")}
    assert (len(base), counts, len(split.part("test").ids) - counts["test"]) == (
        51,
        {"train": 5385, "test": 2088},
        1695,
    )
