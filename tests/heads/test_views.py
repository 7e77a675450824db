"""Fusion on motion features that change from epoch to epoch: repeatable, and drifting only where that was asked for."""

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moclip.data.splits import Member
from moclip.heads import fusion
from moclip.heads.fitted import Resources, Videos
from moclip.heads.mlp import concatenate
from moclip.heads.motion_only import MotionOnly
from moclip.heads.train import Examples, Source, fit_mlp, read_examples
from moclip.heads.views import Drifted, OnlineSource, ViewSource, fit_online, view_features
from moclip.motion.features import describe_videos
from moclip.motion.grid import MotionGrid
from moclip.motion.net import MotionNet, load_motion_net
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.params.compute import ComputeParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionInput, MotionNetParams
from moclip.store.features import Features
from moclip.training import checkpoint
from moclip.training.history import Epoch
from moclip.training.weights import load_model
from moclip.video.vectors import FrameState
from tests.support.motion_clips import params as net_params
from tests.support.motion_clips import write_store
from tests.support.streams import SEED, params, split_of

MOTION = MotionParams(
    source="original", cell_px=16, reference="backward", distance="nearest", accumulate="none", window_frames=None
)
NET: MotionNetParams = net_params(batch_videos=5)
HEAD = params(epochs=3, batch_videos=4)
MEMBERS = [Member(f"v{i:02d}", i % 2, {0: "test", 1: "val"}.get((i // 2) % 5, "train"), f"g{i}") for i in range(20)]
CLIP_WIDTH = 3
ON_CPU: dict[str, Any] = {"device": "cpu", "amp": False, "channels_last": False, "deterministic": True}


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> FieldSampler:
    rng = np.random.default_rng(0)
    state = np.full(7, FrameState.VECTORS, dtype=np.uint8)
    clips = [
        (member.id, MotionGrid(rng.integers(-20, 21, (7, 8, 10, 2)).astype(np.int8), state, 0, 16, 160, 128, 25.0))
        for member in MEMBERS
    ]
    path: Path = tmp_path_factory.mktemp("views") / "store"
    write_store(path, clips, {})
    return FieldSampler(MotionStore.open(path), MOTION, NET)


@pytest.fixture
def net() -> MotionNet:
    torch.manual_seed(0)
    return MotionNet("small", 2, 20.0).eval()


@pytest.fixture
def videos(net: MotionNet, sampler: FieldSampler) -> Videos:
    ids = [member.id for member in MEMBERS]
    clip = np.random.default_rng(1).normal(size=(len(ids), CLIP_WIDTH)).astype(np.float32)
    motion, _ = describe_videos(net, sampler, ids)
    streams = {name: Features(name, np.array(ids), values) for name, values in (("clip", clip), ("motion", motion))}
    return Videos(split_of(MEMBERS, 2), streams)


@pytest.fixture
def parts(videos: Videos) -> dict[str, Examples]:
    return read_examples(videos, "clip", "motion")


def state_of(net: MotionNet) -> dict[str, Tensor]:
    return copy.deepcopy(net.state_dict())


def changed(before: dict[str, Tensor], net: MotionNet) -> set[str]:
    after = net.state_dict()
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def trained(source: Source, path: Path, **settings: Any) -> bytes:
    """Bytes of the head that training leaves."""
    fit_mlp(source, 2, HEAD.model_copy(update=settings), SEED).save(path)
    return (path / "model.safetensors").read_bytes()


def views(net: MotionNet, sampler: FieldSampler, parts: dict[str, Examples], work: Path, count: int) -> Tensor:
    return view_features(net, sampler, parts["train"].ids, SEED, views=count, work=work)


def test_inputs_of_parts_are_what_fusion_takes_by_itself(videos, parts, tmp_path):
    fusion.fit(videos, HEAD, SEED).save(tmp_path / "plain")
    assert trained(Source(parts), tmp_path / "given") == (tmp_path / "plain/model.safetensors").read_bytes()


def test_views_differ_from_each_other_and_from_the_features_of_centres(net, sampler, parts, tmp_path):
    before = state_of(net.train())  # view_features must not rely on its caller
    found = views(net, sampler, parts, tmp_path, 3)
    assert found.shape == (3, 12, 96)
    assert changed(before, net) == set()
    plain, _ = describe_videos(net, sampler, parts["train"].ids)
    every = [torch.from_numpy(plain), *found]
    assert all((one != other).any(dim=1).all() for i, one in enumerate(every) for other in every[:i])


def test_a_finished_view_is_kept_after_a_kill_and_the_bytes_are_the_same(net, sampler, parts, tmp_path, monkeypatch):
    whole = views(net, sampler, parts, tmp_path / "whole", 3)
    augmented, calls = FieldSampler.augmented, []

    def killed(*given: Any) -> Tensor:
        calls.append(1)
        if len(calls) > 4:  # three batches a view
            raise KeyboardInterrupt
        return augmented(*given)

    monkeypatch.setattr(FieldSampler, "augmented", killed)
    with pytest.raises(KeyboardInterrupt):
        views(net, sampler, parts, tmp_path / "w", 3)
    assert [path.name for path in sorted((tmp_path / "w").glob("*view*"))] == ["view-000.npz"]
    calls.clear()
    monkeypatch.setattr(FieldSampler, "augmented", lambda *given: (calls.append(1), augmented(*given))[1])
    resumed = views(net, sampler, parts, tmp_path / "w", 3)
    assert len(calls) == 6, "the finished view is not computed again"
    assert torch.equal(resumed, whole)
    for number in range(3):
        name = f"view-{number:03d}.npz"
        assert (tmp_path / "w" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_each_epoch_draws_a_view_of_each_video_and_leaves_clip_alone(parts):
    own = torch.arange(5.0)[:, None, None] * 100 + torch.arange(12.0)[:, None].expand(5, 12, 1)
    numbered = torch.cat([own.expand(5, 12, 95), torch.ones(5, 12, 1)], dim=2)  # of view v of video i: 100 v + i
    source = ViewSource(parts, numbered, SEED)
    batches = [torch.tensor([3, 1]), torch.tensor([11])]

    def drawn(epoch: int) -> list[int]:
        found = []
        for chosen, values in zip(batches, source.of_epoch(epoch, batches), strict=True):
            torch.testing.assert_close(values[:, :CLIP_WIDTH], parts["train"].inputs[chosen, :CLIP_WIDTH])
            for i, value in zip(chosen.tolist(), values, strict=True):
                matches = [
                    v for v in range(5) if torch.allclose(value[CLIP_WIDTH:], concatenate([numbered[v, i : i + 1]])[0])
                ]
                found.append(matches[0])
        return found

    epochs = [drawn(epoch) for epoch in range(40)]
    assert epochs[3] == drawn(3)
    assert {view for epoch in epochs for view in epoch} == set(range(5))
    assert any(len(set(epoch)) > 1 for epoch in epochs), "each video draws for itself"


def test_training_on_views_is_repeatable_and_their_number_matters(net, sampler, parts, tmp_path):
    three = views(net, sampler, parts, tmp_path / "w", 3)
    heads = [
        trained(ViewSource(parts, found, SEED), tmp_path / f"h{i}")
        for i, found in enumerate((three, three, three[:1], three[:2]))
    ]
    assert heads[0] == heads[1]
    assert len({*heads, trained(Source(parts), tmp_path / "plain")}) == 4


def online(drift: bool) -> Callable[..., OnlineSource]:
    def make(net: MotionNet, sampler: FieldSampler, parts: dict[str, Examples]) -> OnlineSource:
        return OnlineSource(parts, net, sampler, SEED, drift=drift)

    return make


def test_frozen_network_in_the_loop_keeps_every_parameter_and_buffer(net, sampler, parts, tmp_path):
    before = state_of(net)
    source = online(False)(net, sampler, parts)
    first = trained(source, tmp_path / "a")
    assert changed(before, net) == set()
    assert torch.equal(source.held_out("test"), parts["test"].inputs)
    assert trained(online(False)(net, sampler, parts), tmp_path / "b") == first
    assert trained(Source(parts), tmp_path / "plain") != first


def test_drift_moves_the_running_statistics_and_nothing_else(net, sampler, parts, tmp_path):
    before, plain = state_of(net), parts["test"].inputs.clone()
    source = online(True)(net, sampler, parts)
    trained(source, tmp_path / "head", select="last")
    moved = changed(before, net)
    statistics = {name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert moved == statistics
    assert int(net.input_norm.num_batches_tracked) == 3 * HEAD.epochs
    assert not net.training
    drifted = source.held_out("test")
    features, _ = describe_videos(net, sampler, parts["test"].ids)
    torch.testing.assert_close(drifted[:, CLIP_WIDTH:], concatenate([torch.from_numpy(features)]))
    torch.testing.assert_close(drifted[:, :CLIP_WIDTH], plain[:, :CLIP_WIDTH])
    assert not torch.allclose(drifted, plain, atol=1e-3)


def test_selection_brings_back_the_statistics_of_its_epoch(net, sampler, parts, tmp_path):
    """Each epoch's validation is by the network of that moment; the kept epoch's statistics come back with its head."""
    seen: list[tuple[int, Tensor]] = []

    class Watched(OnlineSource):
        def held_out(self, part: str) -> Tensor:
            found = super().held_out(part)
            seen.append((int(self.net.input_norm.num_batches_tracked), found))
            return found

    source = Watched(parts, net, sampler, SEED, drift=True)
    fitted = fit_mlp(source, 2, HEAD.model_copy(update={"epochs": 6}), SEED)
    assert [batches for batches, _ in seen] == [3 * (epoch + 1) for epoch in range(6)]
    assert len({values.numpy().tobytes() for _, values in seen}) == 6
    best = max(fitted.history, key=lambda epoch: (epoch["val_top1_pct"], -epoch["val_loss"]))
    assert int(net.input_norm.num_batches_tracked) == 3 * (best.epoch + 1)
    with torch.inference_mode():
        logits = fitted.head.eval()(source.held_out("val"))
    hits = 100 * (logits.argmax(dim=1) == parts["val"].labels).float().mean().item()
    assert hits == pytest.approx(best["val_top1_pct"])


def test_drift_is_repeatable(sampler, parts, net, tmp_path):
    state = state_of(net)
    first = trained(online(True)(net, sampler, parts), tmp_path / "a")
    after = state_of(net)
    net.load_state_dict(state)
    assert trained(online(True)(net, sampler, parts), tmp_path / "b") == first
    assert changed(after, net) == set()


@pytest.mark.parametrize("drift", [False, True])
def test_training_that_was_killed_goes_on_to_the_same_bytes(drift, net, sampler, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    start = state_of(net)

    def run(name: str, kill_after: int | None = None) -> tuple[bytes, dict[str, Tensor]]:
        net.load_state_dict(start)  # as a process does that reads it again
        settings = HEAD.model_copy(
            update={"epochs": 5, "online": True, "backbone_statistics": "drift" if drift else "frozen"}
        )

        def stop(epoch: Epoch) -> None:
            if epoch.epoch == kill_after:
                raise KeyboardInterrupt

        with checkpoint.checkpoint_in(tmp_path / "work") as kept:
            fitted = fit_online(parts, 2, settings, SEED, stop, net, sampler, kept)
        fitted.save(tmp_path / name)
        assert len(fitted.history) == 5
        return (tmp_path / name / "model.safetensors").read_bytes(), state_of(net)

    whole, statistics = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("killed", kill_after=2)
    assert (tmp_path / "work/state.pt").exists()
    resumed, again = run("resumed")
    assert resumed == whole
    assert all(torch.equal(value, again[name]) for name, value in statistics.items())


def test_drifted_head_is_tested_with_the_network_that_it_was_selected_with(net, sampler, videos, parts, tmp_path):
    settings = HEAD.model_copy(update={"online": True, "backbone_statistics": "drift"})
    fitted = fit_online(parts, 2, settings, SEED, lambda epoch: None, net, sampler)
    assert isinstance(fitted, Drifted)
    seen = fitted.sees(videos)
    for part in ("val", "test"):
        own, _ = describe_videos(net, sampler, videos.split.part(part).ids)
        np.testing.assert_allclose(seen.inputs(part)["motion"], own, rtol=1e-5, atol=1e-6)
        assert not np.allclose(own, videos.inputs(part)["motion"], atol=1e-3)
    np.testing.assert_array_equal(seen.inputs("train")["motion"], videos.inputs("train")["motion"])
    assert seen.streams["clip"] is videos.streams["clip"]
    fitted.save(tmp_path / "model")
    again = load_motion_net(*load_model(tmp_path / "model/motion"))
    assert changed(state_of(again), net) == set()
    np.testing.assert_array_equal(
        fusion.load(tmp_path / "model").logits(seen.inputs("test")), fitted.logits(seen.inputs("test"))
    )


def test_frozen_network_in_the_loop_leaves_what_a_head_sees(net, sampler, videos, parts):
    fitted = fit_online(parts, 2, HEAD.model_copy(update={"online": True}), SEED, lambda epoch: None, net, sampler)
    assert fitted.sees(videos) is videos


@pytest.fixture
def resources(net: MotionNet, sampler: FieldSampler, tmp_path: Path) -> Iterator[Resources]:
    write_store(tmp_path / "store", ((video, sampler.store.clip(video)) for video in sampler.store.ids), {})
    made_for = MotionInput(motion=MOTION, motion_net=NET, seed=0, split=1)
    MotionOnly(net, made_for).save(tmp_path / "network")
    sections = {"motion": MOTION, "motion_net": NET, "compute": ComputeParams(**ON_CPU, kernels="portable")}
    with ExitStack() as kept:
        yield Resources(sections, tmp_path / "work", "some code", kept, tmp_path / "store", tmp_path / "network")


def calls_of_augmented(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    augmented, calls = FieldSampler.augmented, []
    monkeypatch.setattr(FieldSampler, "augmented", lambda *given: (calls.append(1), augmented(*given))[1])
    return calls


def test_fusion_makes_its_views_once_for_the_same_network_code_and_videos(videos, resources, tmp_path, monkeypatch):
    calls, settings = calls_of_augmented(monkeypatch), params(epochs=2, batch_videos=4, views=2)
    found = [fusion.fit(videos, settings, SEED, resources=resources) for _ in range(2)]
    assert len(calls) == 6, "three batches a view; the second fit finds both"
    assert [epoch.values for epoch in found[0].history] == [epoch.values for epoch in found[1].history]
    assert fusion.fit(videos, params(epochs=2, batch_videos=4), SEED).history != found[0].history
    assert len(list((tmp_path / "work").iterdir())) == 1
    fusion.fit(videos, settings, SEED, resources=replace(resources, code="other code"))
    assert len(calls) == 12, "views of other code are not taken"


def test_fusion_with_the_network_in_the_loop_goes_on_and_keeps_its_state_until_all_splits_are_done(
    videos, resources, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    settings = params(epochs=4, batch_videos=4, online=True, backbone_statistics="drift")

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    whole = fusion.fit(videos, settings, SEED, resources=replace(resources, work=tmp_path / "elsewhere"))
    with pytest.raises(KeyboardInterrupt), ExitStack() as kept:
        fusion.fit(videos, settings, SEED, stop, replace(resources, kept=kept))
    (state,) = (tmp_path / "work").rglob("state.pt")
    trained: list[int] = []
    with ExitStack() as kept:
        found = fusion.fit(
            videos, settings, SEED, lambda epoch: trained.append(epoch.epoch), replace(resources, kept=kept)
        )
        assert state.exists(), "another split may still be killed"
    assert not state.exists()
    assert trained == [2, 3]
    inputs = [head.sees(videos).inputs("test") for head in (whole, found)]
    np.testing.assert_array_equal(inputs[0]["motion"], inputs[1]["motion"])
    np.testing.assert_array_equal(found.logits(inputs[1]), whole.logits(inputs[0]))
