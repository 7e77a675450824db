"""What heads on frames share: how they are fed, trained, saved and asked."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from moclip.base.errors import DataError, StoreError
from moclip.base.random import make_deterministic
from moclip.data.splits import Split
from moclip.heads import frames as module
from moclip.heads.fitted import Videos
from moclip.heads.frames import (
    FRAMES,
    GRID,
    Feed,
    OnFrames,
    as_tensor,
    cross_entropy,
    facts_of,
    fit_on_frames,
    load_on_frames,
    passes,
    shapes_of,
)
from moclip.params.heads.prompt_guided import PromptGuidedParams
from moclip.params.heads.tokens import TrainedOnFrames
from moclip.store.blocks import BlockStore, join, write_block
from moclip.store.frames import Chosen, FrameStream
from moclip.training.history import Epoch
from moclip.training.loop import Batch, Schedule
from tests.heads import test_multiway, test_tokens
from tests.heads.test_tokens import HEADS as TOKEN_HEADS
from tests.params.test_params import PARAMS as PARAMETERS
from tests.support.frames import FACTS, Array, in_two_orders, members
from tests.support.frames import videos as videos_of
from tests.support.streams import params as probe_params

SEED = (0, "toy", 1)
COUNT, T, D = 40, 3, 4
PARAMS: dict[str, Any] = {
    "dropout": 0.0,
    "epochs": 8,
    "lr": 0.05,
    "weight_decay": 0.01,
    "batch_videos": 8,
    "select": "val",
}


def params(**changes: Any) -> TrainedOnFrames:
    return TrainedOnFrames(**{**PARAMS, **changes})


def toy_streams() -> dict[str, np.ndarray]:
    """The class of a video is the sign of the mean over its frames."""
    rng = np.random.default_rng(0)
    sign = np.where(np.arange(COUNT) % 2 == 0, -1.0, 1.0)
    frames = 0.5 * sign[:, None, None] + rng.normal(0, 0.5, (COUNT, T, D))
    return {FRAMES: frames.astype(np.float16), GRID: rng.normal(size=(COUNT, T, 2, 2, D)).astype(np.float16)}


def toy() -> Videos:
    return videos_of(toy_streams(), 2)


class MeanNet(nn.Module):
    """Logits of the mean over frames; whatever else it is given counts with nothing."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(0.2), nn.Linear(width, classes)

    def forward(self, frames: Tensor, *others: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(frames.mean(dim=1)))
        return logits


def fitted(
    videos: Videos, names: Sequence[str] = (FRAMES,), seed: int = 0, **changes: Any
) -> tuple[MeanNet, list[Epoch]]:
    make_deterministic(seed, "toy", 1)
    net = MeanNet(D, 2)
    return net, fit_on_frames(net, videos, names, params(**changes), (seed, "toy", 1), lambda epoch: None)


def state(net: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in net.state_dict().items()}


def accuracy(net: nn.Module, videos: Videos) -> float:
    test = videos.split.part("test")
    (frames,) = Feed(videos, [FRAMES])(test.ids)
    return float((net(frames).argmax(dim=1).numpy() == test.labels).mean())


@dataclass(frozen=True)
class Counted(Array):
    """A stream that notes for how many videos it was asked."""

    asked: list[int] = field(default_factory=list)

    def of(self, ids: Sequence[str]) -> np.ndarray:
        self.asked.append(len(ids))
        return super().of(ids)


def test_feed_gives_the_streams_in_the_order_asked_for_as_float32():
    videos = toy()
    ids = ["v007", "v001", "v039", "v001"]
    grid, frames = Feed(videos, [GRID, FRAMES])(ids)
    assert grid.dtype == frames.dtype == torch.float32
    for found, name in ((grid, GRID), (frames, FRAMES)):
        expected = toy_streams()[name][[7, 1, 39, 1]].astype(np.float32)
        np.testing.assert_array_equal(found.numpy(), expected)


@given(st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=12), st.sampled_from([0, COUNT * T * D * 2, 1 << 30]))
def test_batches_are_the_same_whether_all_none_or_some_streams_are_held(places, held):
    """At the middle bound the features of frames are held, to the byte, and their tokens are not."""
    videos = toy()
    expected = Feed(videos, [FRAMES, GRID])([f"v{place:03}" for place in places])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HELD_BYTES", held)
        found = Feed(videos, [FRAMES, GRID])([f"v{place:03}" for place in places])
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(("spare", "asked"), [(0, [1, COUNT]), (-1, [1, 2, 2])])
def test_stream_within_the_bound_is_read_once_and_a_larger_one_for_each_batch(monkeypatch, spare, asked):
    monkeypatch.setattr(module, "HELD_BYTES", COUNT * T * D * 2 + spare)
    videos = toy()
    stream = Counted([member.id for member in videos.split.members], toy_streams()[FRAMES], FACTS)
    feed = Feed(replace(videos, streams={FRAMES: stream}), [FRAMES])
    for _ in range(2):
        feed(["v003", "v004"])
    assert stream.asked == asked


def test_what_is_made_of_a_batch_does_not_change_what_is_held():
    feed = Feed(videos_of({FRAMES: toy_streams()[FRAMES].astype(np.float32)}, 2), [FRAMES])
    before = feed(["v003"])[0].clone()
    feed(["v003"])[0].zero_()
    assert torch.equal(feed(["v003"])[0], before)


def test_feed_reads_a_store_of_frames_out_of_order_where_it_was_asked_to(tmp_path):
    ids, values = [member.id for member in members(COUNT, 2)], toy_streams()[FRAMES]
    write_block(tmp_path / "block", ids, {"global": list(values)})
    join(tmp_path / "store", [tmp_path / "block"], {})
    rows = dict.fromkeys(ids, np.array([0, 2]))
    chosen = Chosen(rows, {video: own[::-1] for video, own in rows.items()}, FACTS)
    stream = FrameStream(BlockStore(tmp_path / "store"), "global", chosen, out_of_order={"v005"})
    videos = Videos(Split(members(COUNT, 2), ["a", "b"]), {FRAMES: stream})
    (found,) = Feed(videos, [FRAMES])(["v006", "v005"])
    np.testing.assert_array_equal(found.numpy(), [values[6, [0, 2]], values[5, [2, 0]]])
    assert facts_of(videos) == FACTS
    assert shapes_of(videos, [FRAMES]) == [[2, D]]
    with pytest.raises(StoreError, match="choice of frames lacks 1 of 1 videos, first other"):
        Feed(videos, [FRAMES]).streams[0].of(["other"])


def test_video_that_a_stream_lacks_is_named_before_training_begins(tmp_path):
    ids = [member.id for member in members(COUNT, 2)]
    write_block(tmp_path / "block", ids[:-1], {"global": list(toy_streams()[FRAMES][:-1])})
    join(tmp_path / "store", [tmp_path / "block"], {})
    rows = dict.fromkeys(ids, np.arange(T))
    stream = FrameStream(BlockStore(tmp_path / "store"), "global", Chosen(rows, rows, FACTS))
    videos = Videos(Split(members(COUNT, 2), ["a", "b"]), {FRAMES: stream})
    with pytest.raises(StoreError, match=rf"store: lacks 1 of {COUNT} videos, first v039"):
        fitted(videos)


def test_network_learns_the_sign_of_the_mean_and_is_left_in_evaluation_mode():
    videos = toy()
    net, history = fitted(videos)
    assert accuracy(net, videos) == 1.0
    assert not net.training
    assert [epoch.epoch for epoch in history] == list(range(8))
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert set(history[0].values) == {"train_loss", "val_loss", "val_top1_pct"}


def test_untrained_network_has_learnt_nothing():
    """The toy can fail: weights of the start do not solve it."""
    make_deterministic(0, "toy", 1)
    assert accuracy(MeanNet(D, 2).eval(), toy()) < 1.0


def test_same_seed_gives_the_same_bytes_and_another_seed_others(monkeypatch):
    (net, history), (other, _) = fitted(toy()), fitted(toy(), seed=1)
    again, second = fitted(toy())
    assert state(again) == state(net)
    assert second == history
    assert state(other) != state(net)
    monkeypatch.setattr(module, "HELD_BYTES", 0)
    assert state(fitted(toy())[0]) == state(net), "held or not"


def test_order_of_the_videos_follows_from_the_seed_and_the_epoch():
    videos = toy()

    def watch(net: nn.Module, batch: Batch) -> Tensor:
        orders.append(batch[0].sum(dim=(1, 2)).tolist())
        return cross_entropy(net, batch)

    found = []
    for seed in (0, 0, 1):
        orders: list[list[float]] = []
        net = MeanNet(D, 2)
        fit_on_frames(net, videos, [FRAMES], params(epochs=2), (seed, "toy", 1), lambda epoch: None, loss=watch)
        found.append(orders)
    assert found[0] == found[1]
    assert found[0] != found[2]
    steps = len(found[0]) // 2
    first, second = ([value for batch in part for value in batch] for part in (found[0][:steps], found[0][steps:]))
    assert first != second
    assert sorted(first) == sorted(second), "each video once an epoch"
    assert len(first) == len(videos.split.part("train").ids)
    assert [len(batch) for batch in found[0][:steps]] == [8, 8, 8]


def test_labels_of_a_batch_belong_to_its_videos():
    seen: dict[float, set[int]] = {}

    def watch(net: nn.Module, batch: Batch) -> Tensor:
        for frames, label in zip(batch[0], batch[-1], strict=True):
            seen.setdefault(float(frames.sum()), set()).add(int(label))
        return cross_entropy(net, batch)

    videos = toy()
    fit_on_frames(MeanNet(D, 2), videos, [FRAMES], params(), SEED, lambda epoch: None, loss=watch)
    train = videos.split.part("train")
    (values,) = Feed(videos, [FRAMES])(train.ids)
    assert seen == {float(one.sum()): {label} for one, label in zip(values, train.labels.tolist(), strict=True)}


def test_streams_come_in_the_order_of_the_names():
    shapes: list[list[int]] = []

    def watch(net: nn.Module, batch: Batch) -> Tensor:
        shapes.append([one.dim() for one in batch])
        return cross_entropy(net, (batch[1], batch[0], batch[-1]))

    class Turned(MeanNet):
        def forward(self, grid: Tensor, frames: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(frames if frames.dim() == 3 else grid)

    fit_on_frames(Turned(D, 2), toy(), [GRID, FRAMES], params(epochs=1), SEED, lambda epoch: None, loss=watch)
    assert shapes
    assert all(dims == [5, 3, 1] for dims in shapes)


def test_schedule_and_feed_that_are_given_are_taken():
    videos, rates = toy(), []
    schedule = Schedule(2, 0.1, 0.0, shape="steps")
    names: list[int] = []

    def feed(ids: Sequence[str]) -> Batch:
        names.append(len(ids))
        return (torch.zeros(len(ids), T, D),)

    net = MeanNet(D, 2)
    weight = net.linear.weight.detach().clone()
    fit_on_frames(
        *(net, videos, [FRAMES], params(), SEED, lambda epoch: rates.append(epoch.lr)), schedule=schedule, feed=feed
    )
    assert rates == [0.1, 0.1]
    assert names == [8, 8, 8, 8] * 2, "three batches of 24 videos and 8 to validate on"
    assert torch.equal(net.linear.weight, weight), "the network saw zeros alone"


def without(videos: Videos, part: str) -> Videos:
    kept = [member for member in videos.split.members if member.part != part]
    return replace(videos, split=Split(kept, videos.split.classes))


def test_split_without_videos_to_train_on_is_refused():
    with pytest.raises(DataError, match="the train part of this split has no video"):
        fitted(without(toy(), "train"))


def test_split_without_videos_to_validate_on_trains_to_the_last_epoch_alone():
    with pytest.raises(DataError, match="select: val needs a validation part, and this split has none"):
        fitted(without(toy(), "val"))
    net, history = fitted(without(toy(), "val"), select="last")
    assert set(history[0].values) == {"train_loss"}
    assert accuracy(net, toy()) == 1.0


@given(st.integers(0, 9), st.integers(1, 4))
def test_passes_give_the_logits_of_all_videos_however_many_go_at_once(count, at_once):
    torch.manual_seed(0)
    net, x = MeanNet(D, 3).eval(), torch.randn(9, T, D)[:count]
    sizes: list[int] = []

    def feed(chosen: slice) -> Batch:
        sizes.append(len(x[chosen]))
        return (x[chosen],)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "VIDEOS_AT_ONCE", at_once)
        found = passes(net, feed, count)
    assert found.shape == (count, 3)
    torch.testing.assert_close(found, net(x))
    assert max(sizes) <= at_once
    assert sum(sizes) == count


class Toy(OnFrames):
    streams = (FRAMES, GRID)


ARGUMENTS = {"width": D, "classes": 2}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Toy, Path]:
    videos = toy()
    net, _ = fitted(videos, (FRAMES, GRID))
    head = Toy(net, facts_of(videos), shapes_of(videos, (FRAMES, GRID)), ARGUMENTS)
    head.save(tmp_path / "head")
    return head, tmp_path / "head"


def test_saved_head_repeats_its_logits_bit_by_bit_and_knows_its_frames(saved):
    head, path = saved
    inputs = toy().inputs("test")
    net, facts, shapes, config = load_on_frames(path, MeanNet)
    assert (facts, shapes, config) == (FACTS, [[T, D], [T, 2, 2, D]], {"width": D, "classes": 2})
    assert not net.training
    logits = Toy(net, facts, shapes, ARGUMENTS).logits(inputs)
    assert (logits.shape, logits.dtype) == ((8, 2), np.float32)
    np.testing.assert_array_equal(logits, head.logits(inputs))


def test_head_answers_alike_after_training_mode_and_does_not_change_its_inputs(saved):
    head, _ = saved
    inputs: Mapping[str, Any] = {name: values.astype(np.float32) for name, values in toy().inputs("test").items()}
    before = {name: values.copy() for name, values in inputs.items()}
    expected = head.logits(inputs)
    head.net.train()
    np.testing.assert_array_equal(head.logits(inputs), expected)
    assert all(np.array_equal(inputs[name], before[name]) for name in before)


def test_head_asked_for_no_video_gives_no_answer(saved):
    """A split without a validation part."""
    head, _ = saved
    assert head.logits(without(toy(), "val").inputs("val")).shape == (0, 2)


@pytest.mark.parametrize(
    "name", sorted({*TOKEN_HEADS, "multiway", "prompt_guided", "frames_zero_shot", "frames_probe"})
)
def test_every_head_on_frames_is_asked_for_no_video_where_no_part_validates(name):
    streams = in_two_orders(count=40)
    given = without(videos_of(streams, 2, texts=np.eye(2, 16)), "val")
    own = {"epochs": 1, "select": "last"}
    settings: Mapping[str, Any] = {
        **{kind: lambda: test_tokens.params(**own) for kind in TOKEN_HEADS},
        "multiway": lambda: test_multiway.params(**own, choices=2),
        "prompt_guided": lambda: PromptGuidedParams(**PARAMETERS["prompt_guided"]),
        "frames_zero_shot": lambda: None,
        "frames_probe": lambda: probe_params(**own),
    }
    head = importlib.import_module(f"moclip.heads.{name}").fit(given, settings[name](), (0, name, 1))
    seen = head.sees(given)
    assert head.logits(seen.inputs("val")).shape == (0, 2)
    logits = head.logits(seen.inputs("test"))
    assert logits.shape == (len(given.split.part("test").ids), 2)
    one = {stream: values[:1] for stream, values in seen.inputs("test").items()}
    np.testing.assert_allclose(head.logits(one), logits[:1], rtol=1e-4, atol=1e-4)


def test_cost_is_counted_on_one_video_and_leaves_the_network_as_it_was(saved):
    head, _ = saved
    before = state(head.net)
    cost = head.cost()
    assert cost is not None
    assert (cost.parameters, cost.macs) == (D * 2 + 2, D * 2)
    assert state(head.net) == before
    assert all(parameter.requires_grad for parameter in head.net.parameters())


@pytest.mark.parametrize("build", [lambda width: MeanNet(width, 2), lambda width, classes: MeanNet(width + 1, classes)])
def test_weights_that_do_not_fit_are_refused(saved, build):
    with pytest.raises(StoreError, match="head: weights and config do not fit"):
        load_on_frames(saved[1], build)


def test_values_become_float32_whatever_they_were():
    assert as_tensor(np.arange(3, dtype=np.float16)).dtype == torch.float32
    assert as_tensor(np.arange(3)).tolist() == [0.0, 1.0, 2.0]
