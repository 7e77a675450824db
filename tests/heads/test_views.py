"""Fusion on motion features that change from epoch to epoch: repeatable, and drifting only where that was asked for."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moclip.data.splits import Member
from moclip.heads.mlp import concatenate
from moclip.heads.train import Inputs, Part, head_logits, read_parts, train_head
from moclip.heads.views import OnlineInputs, ViewInputs, view_features
from moclip.motion.features import describe_videos
from moclip.motion.grid import MotionGrid
from moclip.motion.net import MotionNet
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore, write_store
from moclip.params.heads.fusion import HeadParams
from moclip.params.motion import MotionParams
from moclip.params.motion_net import MotionNetParams
from moclip.store.features import Features
from moclip.training import checkpoint
from moclip.training.history import Epoch
from moclip.training.weights import save_model
from moclip.video.vectors import FrameState
from tests.heads.test_train import PARAMS
from tests.motion.test_train import params as net_params

SEED = (0, "fusion", 1)
MOTION = MotionParams(source="original", cell_px=16, reference="backward", accumulate="none", window_frames=None)
NET: MotionNetParams = net_params(batch_videos=5)
HEAD = HeadParams(**{**PARAMS, "epochs": 3, "batch_videos": 4})
MEMBERS = [Member(f"v{i:02d}", i % 2, {0: "test", 1: "val"}.get((i // 2) % 5, "train"), f"g{i}") for i in range(20)]
CLIP_WIDTH = 3


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
def parts(net: MotionNet, sampler: FieldSampler) -> dict[str, Part]:
    ids = [member.id for member in MEMBERS]
    clip = np.random.default_rng(1).normal(size=(len(ids), CLIP_WIDTH)).astype(np.float32)
    motion, _ = describe_videos(net, sampler, ids)
    streams = {name: Features(name, np.array(ids), values) for name, values in (("clip", clip), ("motion", motion))}
    return read_parts(streams, MEMBERS)


def state_of(net: MotionNet) -> dict[str, Tensor]:
    return copy.deepcopy(net.state_dict())


def changed(before: dict[str, Tensor], net: MotionNet) -> set[str]:
    after = net.state_dict()
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def trained(inputs: Inputs, path: Path, **settings: Any) -> bytes:
    """Bytes of the head that training leaves."""
    head, _ = train_head(inputs.parts, 2, HEAD.model_copy(update=settings), SEED, inputs=inputs)
    save_model(path, head, head.config())
    return (path / "model.safetensors").read_bytes()


def views(net: MotionNet, sampler: FieldSampler, parts: dict[str, Part], work: Path, count: int) -> Tensor:
    return view_features(net, sampler, parts["train"].ids, SEED, views=count, work=work)


def test_inputs_of_parts_are_what_training_takes_by_itself(parts, tmp_path):
    head, _ = train_head(parts, 2, HEAD, SEED)
    save_model(tmp_path / "plain", head, head.config())
    assert trained(Inputs(parts), tmp_path / "given") == (tmp_path / "plain/model.safetensors").read_bytes()


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
    inputs = ViewInputs(parts, numbered, SEED)
    batches = [torch.tensor([3, 1]), torch.tensor([11])]

    def drawn(epoch: int) -> list[int]:
        found = []
        for chosen, values in zip(batches, inputs.of_epoch(epoch, batches), strict=True):
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
        trained(ViewInputs(parts, found, SEED), tmp_path / f"h{i}")
        for i, found in enumerate((three, three, three[:1], three[:2]))
    ]
    assert heads[0] == heads[1]
    assert len({*heads, trained(Inputs(parts), tmp_path / "plain")}) == 4


def online(drift: bool) -> Callable[..., OnlineInputs]:
    def make(net: MotionNet, sampler: FieldSampler, parts: dict[str, Part]) -> OnlineInputs:
        return OnlineInputs(parts, net, sampler, SEED, drift=drift)

    return make


def test_frozen_network_in_the_loop_keeps_every_parameter_and_buffer(net, sampler, parts, tmp_path):
    before = state_of(net)
    inputs = online(False)(net, sampler, parts)
    first = trained(inputs, tmp_path / "a")
    assert changed(before, net) == set()
    assert torch.equal(inputs.held_out("test"), parts["test"].inputs)
    assert trained(online(False)(net, sampler, parts), tmp_path / "b") == first
    assert trained(Inputs(parts), tmp_path / "plain") != first


def test_drift_moves_the_running_statistics_and_nothing_else(net, sampler, parts, tmp_path):
    before, plain = state_of(net), parts["test"].inputs.clone()
    inputs = online(True)(net, sampler, parts)
    trained(inputs, tmp_path / "head", select="last")
    moved = changed(before, net)
    statistics = {name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert moved == statistics
    assert int(net.input_norm.num_batches_tracked) == 3 * HEAD.epochs
    assert not net.training
    drifted = inputs.held_out("test")
    features, _ = describe_videos(net, sampler, parts["test"].ids)
    torch.testing.assert_close(drifted[:, CLIP_WIDTH:], concatenate([torch.from_numpy(features)]))
    torch.testing.assert_close(drifted[:, :CLIP_WIDTH], plain[:, :CLIP_WIDTH])
    assert not torch.allclose(drifted, plain, atol=1e-3)


def test_selection_brings_back_the_statistics_of_its_epoch(net, sampler, parts, tmp_path):
    """Each epoch's validation is by the network of that moment; the kept epoch's statistics come back with its head."""
    seen: list[tuple[int, Tensor]] = []

    class Watched(OnlineInputs):
        def held_out(self, part: str) -> Tensor:
            found = super().held_out(part)
            seen.append((int(self.net.input_norm.num_batches_tracked), found))
            return found

    inputs = Watched(parts, net, sampler, SEED, drift=True)
    head, history = train_head(parts, 2, HEAD.model_copy(update={"epochs": 6}), SEED, inputs=inputs)
    assert [batches for batches, _ in seen] == [3 * (epoch + 1) for epoch in range(6)]
    assert len({values.numpy().tobytes() for _, values in seen}) == 6
    best = max(history, key=lambda epoch: (epoch.val_top1_pct, -epoch.val_loss)).epoch
    assert int(net.input_norm.num_batches_tracked) == 3 * (best + 1)
    logits = head_logits(head, inputs.held_out("val"))
    hits = 100 * (logits.argmax(axis=1) == parts["val"].labels.numpy()).mean()
    assert hits == pytest.approx(history[best].val_top1_pct)


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
        inputs = OnlineInputs(parts, net, sampler, SEED, drift=drift)

        def stop(epoch: Epoch) -> None:
            if epoch.epoch == kill_after:
                raise KeyboardInterrupt

        with checkpoint.checkpoint_in(tmp_path / "work") as kept:
            head, history = train_head(parts, 2, HEAD.model_copy(update={"epochs": 5}), SEED, stop, inputs, kept)
        save_model(tmp_path / name, head, head.config())
        assert len(history) == 5
        return (tmp_path / name / "model.safetensors").read_bytes(), state_of(net)

    whole, statistics = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("killed", kill_after=2)
    assert (tmp_path / "work/state.pt").exists()
    resumed, again = run("resumed")
    assert resumed == whole
    assert all(torch.equal(value, again[name]) for name, value in statistics.items())
