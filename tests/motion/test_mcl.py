"""Contrastive pretraining by motion: its losses, its queue and its slow copy, by their definitions."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from torch.nn import functional

from moclip.motion.maps import boundary_map
from moclip.motion.net import MotionNet
from moclip.motion.pretrain.align import alignment_loss, attention_of, cosine, field_boundaries, motion_target
from moclip.motion.pretrain.mcl import EMBEDDING, Mcl, MclBatches, inter_loss, intra_loss, loss
from moclip.motion.sampler import FieldSampler
from moclip.motion.store import MotionStore
from moclip.params.heads.motion_mcl import MotionMclParams
from moclip.params.section import validated
from tests.motion.test_vit import net as transformer
from tests.support.imports import ROOT
from tests.support.motion_clips import MOTION, TRAIN, params, write_clips

MCL: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["motion_mcl"]
DRAWS = (0, "motion", 1, "pretraining", "mcl")
HEAT = 0.1


def settings(**changes: Any) -> MotionMclParams:
    small = {"epochs": 3, "batch_videos": 6, "queue": 10, "stride": 2}
    return validated("motion_mcl", MotionMclParams, {**MCL, **small, **changes})


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> FieldSampler:
    return FieldSampler(write_clips(tmp_path_factory.mktemp("motion") / "store"), MOTION, params())


def model(**changes: Any) -> Mcl:
    torch.manual_seed(0)
    return Mcl(MotionNet("small", 2, 20.0), settings(**changes)).train()


def batch(sampler: FieldSampler, epoch: int = 0, **changes: Any) -> tuple[torch.Tensor, ...]:
    return next(iter(MclBatches(sampler, TRAIN.ids, settings(**changes), DRAWS)(epoch)))


def units(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(1)), dim=-1)


# Alignment


def test_attention_that_is_motion_costs_nothing():
    motion = torch.rand(5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    motion[0, 1] = 0  # a time without motion
    motion[1] = 0  # a video without any
    for scale in (1.0, 1e-6, 1e6):
        assert alignment_loss(scale * motion, motion).item() == pytest.approx(0.0, abs=1e-5)


def test_alignment_is_never_negative_and_three_where_nothing_is_shared():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        attention, motion = (torch.rand(2, 3, 4, 5, generator=generator) ** 3 for _ in range(2))
        assert -1e-6 <= alignment_loss(attention, motion).item() <= 3
    attention, motion = torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    attention[0, 0, 0, 0], motion[0, 1, 2, 2] = 1.0, 1.0  # apart in space, in time, and in both
    assert alignment_loss(attention, motion).item() == pytest.approx(3.0)
    motion[0, 1, 2, 2], motion[0, 1, 0, 0] = 0.0, 1.0  # the same place at another time
    assert alignment_loss(attention, motion).item() == pytest.approx(2.0)


def test_times_with_more_motion_count_more():
    motion = torch.zeros(1, 2, 2, 2)
    motion[0, 0, 0, 0], motion[0, 1, 0, 0] = 1.0, 3.0
    right_at_first = motion.clone()
    right_at_first[0, 1] = torch.tensor([[0.0, 3.0], [0.0, 0.0]])
    right_at_last = motion.clone()
    right_at_last[0, 0] = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    shares = torch.tensor([1.0, 3.0]).softmax(dim=0)
    for attention, share in ((right_at_first, shares[0]), (right_at_last, shares[1])):
        both = cosine(attention.mean(dim=1).flatten(1), motion.mean(dim=1).flatten(1))
        assert alignment_loss(attention, motion).item() == pytest.approx((3 - share - both - 1).item(), abs=1e-6)


def test_gradient_through_the_gradient_is_the_numeric_one():
    """In double precision: weights learn from where a similarity looks, which is a derivative itself."""
    generator = torch.Generator().manual_seed(3)
    maps = torch.rand(2, 2, 3, 3, 2, generator=generator, dtype=torch.double, requires_grad=True)
    weight = torch.randn(3, 4, generator=generator, dtype=torch.double, requires_grad=True)
    motion = torch.rand(2, 2, 3, 2, generator=generator, dtype=torch.double)

    def aligned(maps: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        own = maps * 1.0
        features = functional.softplus(own.square().mean(dim=(3, 4)).mean(dim=1) @ weight)
        similarity = functional.normalize(features, dim=1)[:, 0]
        return alignment_loss(attention_of(similarity, own), motion)

    assert torch.autograd.gradcheck(aligned, (maps, weight), atol=1e-6)


def test_maps_that_a_similarity_does_not_use_are_refused():
    maps = torch.rand(1, 1, 2, 2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        attention_of(torch.rand(1, requires_grad=True) * 2, maps)


def test_attention_is_gradient_times_its_mean_over_places():
    maps = torch.rand(1, 1, 2, 2, 2, requires_grad=True)
    weight = torch.tensor([[[[1.0, 2.0], [3.0, 2.0]], [[-1.0, 0.0], [0.0, 5.0]]]])
    found = attention_of((maps[:, 0] * weight).sum(dim=(1, 2, 3)), maps)
    expected = (2.0 * weight[:, :1] + 1.0 * weight[:, 1:]).clamp(min=0)
    torch.testing.assert_close(found, expected)


def test_boundaries_of_fields_are_those_of_the_maps():
    mv = np.random.default_rng(0).integers(-40, 41, (1, 6, 8, 2)).astype(np.int8)
    field = torch.from_numpy(mv / 2).float().permute(0, 3, 1, 2)[:, None]
    np.testing.assert_allclose(field_boundaries(field)[0, 0].numpy(), 2 * boundary_map(mv), rtol=1e-5)
    still = torch.full((2, 3, 2, 6, 8), 7.5)
    assert not motion_target(still, 3, 2, 2).any(), "a pan asks for nothing"
    assert motion_target(torch.randn(2, 4, 2, 6, 8), 2, 3, 4).shape == (2, 2, 3, 4)


# Inter, intra, order


def test_row_of_the_own_key_among_orthogonal_others():
    query = torch.zeros(2, EMBEDDING)
    query[:, 0] = 1
    queue = torch.eye(EMBEDDING)[1:41]
    found = inter_loss(query, query[None], queue, HEAT)
    assert found.item() == pytest.approx(math.log(1 + 40 * math.exp(-1 / HEAT)), rel=1e-4)


def test_inter_is_the_mean_of_three_rows_and_intra_of_two():
    query, keys, queue = units(4, EMBEDDING), units(3, 4, EMBEDDING), units(9, EMBEDDING)
    rows = [inter_loss(query, keys[place : place + 1], queue, HEAT) for place in range(3)]
    torch.testing.assert_close(inter_loss(query, keys, queue, HEAT), torch.stack(rows).mean())
    own, second, third = ((query * key).sum(dim=1) / HEAT for key in keys)
    expected = torch.cat([functional.softplus(second - own), functional.softplus(third - own)]).mean()
    torch.testing.assert_close(intra_loss(query, keys, HEAT), expected)


def test_weight_of_the_order_grows_from_nothing(sampler: FieldSampler):
    own = model(order=True, align=0.0)
    first, last = (
        own.losses((*batch(sampler)[:4], torch.full((6,), float(epoch)), torch.tensor([0, 1] * 3))) for epoch in (0, 2)
    )
    assert first["order"].item() == 0
    assert last["order"].item() > 0.3 * 2 / 3


def test_tasks_that_are_left_out_cost_nothing(sampler: FieldSampler):
    assert set(model().losses(batch(sampler))) == {"inter", "intra", "order", "align"}
    assert set(model(intra=False, order=False, align=0.0).losses(batch(sampler))) == {"inter"}


def test_alignment_counts_twice_while_the_rate_warms_up(sampler: FieldSampler):
    plain, warm = (model(warmup_epochs=epochs).losses(batch(sampler))["align"] for epochs in (0.0, 1.0))
    torch.testing.assert_close(warm, 2 * plain)


# Queue and slow copy


def test_queue_is_first_in_first_out_and_wraps():
    own, keys = model(queue=5), units(12, EMBEDDING)
    for start in (0, 3, 6, 9):
        own.enqueue(keys[start : start + 3])
    held = {tuple(row.tolist()) for row in own.queue}
    assert held == {tuple(row.tolist()) for row in keys[7:12]}
    assert own.place.item() == 12 % 5
    own.enqueue(keys)
    assert {tuple(row.tolist()) for row in own.queue} == held, "of more than it holds, the last stay"


def test_slow_copy_follows_by_its_momentum_and_takes_the_statistics():
    own = model(momentum=0.9)
    before = [one.clone() for one in own.keys.parameters()]
    with torch.no_grad():
        for one in own.query.parameters():
            one.add_(1.0)
    own.query.net.input_norm.running_mean.add_(3.0)
    own.after_step()
    for old, new in zip(before, own.keys.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.1)
        assert not new.requires_grad
    assert torch.equal(own.keys.backbone.net.input_norm.running_mean, own.query.net.input_norm.running_mean)
    assert not own.train().keys.backbone.training, "keys share no statistics of a batch"


def test_keys_get_no_gradient_and_all_of_the_query_does(sampler: FieldSampler):
    own = model()
    loss(own, batch(sampler, epoch=2)).backward()
    assert all(one.grad is None for one in own.keys.parameters())
    without = {name for name, one in own.query.named_parameters() if one.grad is None}
    assert without == {"net.classifier.weight", "net.classifier.bias"}
    assert own.compare.weight.grad is not None


def test_a_transformer_can_be_pretrained_so_too(sampler: FieldSampler):
    torch.manual_seed(0)
    own = Mcl(transformer(classes=2), settings())
    loss(own, batch(sampler)).backward()
    assert own.query.net.transformer.embed.weight.grad is not None


# Batches


def test_batches_follow_from_seed_and_epoch(sampler: FieldSampler):
    one, again, other = batch(sampler, 1), batch(sampler, 1), batch(sampler, 2)
    assert [tuple(part.shape) for part in one] == [*[(6, 2, 2, 4, 6)] * 4, (6,), (6,)]
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])
    assert one[4].tolist() == [1.0] * 6
    assert one[5].dtype == torch.long


def test_key_is_the_querys_clip_in_a_crop_of_its_own(sampler: FieldSampler, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("moclip.motion.pretrain.mcl.crop", lambda fields, boxes, mirrored, turn: fields)
    query, own, second, _, _, order = batch(sampler)
    assert torch.equal(query, own)
    assert not torch.equal(query, second)
    assert set(order.tolist()) <= {0, 1}
    drawn = MclBatches(sampler, TRAIN.ids, settings(), DRAWS).draw(TRAIN.ids[0], np.random.default_rng(0))
    assert len(drawn.boxes) == 4
    assert drawn.boxes[0] != drawn.boxes[1]
    assert len(drawn.frames) == 6


def test_random_crops_look_at_no_motion(sampler: FieldSampler, monkeypatch: pytest.MonkeyPatch):
    def never(*_: Any) -> None:
        raise AssertionError("motion was looked at")

    monkeypatch.setattr("moclip.motion.pretrain.mcl.moving_box", never)
    batch(sampler, crop="random")
    with pytest.raises(AssertionError, match="motion was looked at"):
        batch(sampler, crop="motion")


def test_store_is_only_asked_for_the_videos_that_are_given(tmp_path):
    asked: list[str] = []

    class Store(MotionStore):
        def clip(self, video_id):
            asked.append(video_id)
            return super().clip(video_id)

    write_clips(tmp_path / "store")
    own = FieldSampler(Store.open(tmp_path / "store"), MOTION, params())
    list(MclBatches(own, ["up1", "down1", "up2"], settings(batch_videos=2), DRAWS)(0))
    assert set(asked) == {"up1", "down1", "up2"}
