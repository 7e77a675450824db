import copy
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from moclip.training.loop import Batch, Schedule, fit
from moclip.training.parts import Part, Parts, cut
from moclip.training.ranks import ALONE, Ranks

SIZES = (4, 4, 3)


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(1)
    layers = (nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(dropout), nn.Linear(8, 2))
    return nn.Sequential(*layers).double().train()


@pytest.fixture
def batches() -> list[Batch]:
    """Three parts of eleven examples, of means of their own."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(sum(SIZES), 3, generator=generator, dtype=torch.float64).cumsum(0)
    labels = torch.randint(2, (sum(SIZES),), generator=generator)
    return list(zip(inputs.split(SIZES), labels.split(SIZES), strict=True))


def parts(batches: Sequence[Batch]) -> list[Part]:
    return [Part(len(batch[-1]), partial(tuple, batch)) for batch in batches]


def gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def mean_loss(model: nn.Module, batches: Sequence[Batch]) -> Tensor:
    """Over all videos, of which each part has its own batch statistics."""
    return torch.stack([functional.cross_entropy(model(x), y, reduction="sum") for x, y in batches]).sum() / sum(SIZES)


def of_parts(model: nn.Module, batches: Sequence[Batch], ranks: Ranks = ALONE) -> Tensor:
    """The loss of a step; gradients and statistics are in the model."""

    def backward(batch: Batch, share: float) -> Tensor:
        loss = functional.cross_entropy(model(batch[0]), batch[1])
        (loss * share).backward()
        return loss.detach()

    loss, videos = Parts(ranks)(model, parts(batches), backward)
    assert videos == sum(SIZES)
    return loss


def test_gradients_are_those_of_the_mean_loss_over_all_videos(batches):
    """The reference differentiates it at once; uneven parts weigh as their videos do."""
    model, reference = network(), network()
    expected = mean_loss(reference, batches)
    expected.backward()
    torch.testing.assert_close(of_parts(model, batches), expected.detach(), rtol=0, atol=1e-12)
    for found, own in zip(gradients(model), gradients(reference), strict=True):
        torch.testing.assert_close(found, own, rtol=0, atol=1e-9)


def test_statistics_move_by_the_mean_of_what_the_parts_would_move_them(batches):
    model, start = network(), network()
    of_parts(model, batches)
    alone = []
    for batch in batches:
        one = copy.deepcopy(start)
        one(batch[0])
        alone.append(one[1].running_mean)
    weights = torch.tensor(SIZES, dtype=torch.float64) / sum(SIZES)
    torch.testing.assert_close(model[1].running_mean, weights @ torch.stack(alone), rtol=0, atol=1e-12)
    assert int(model[1].num_batches_tracked) == 1


class Backwards(Ranks):
    """Makes the last part first, as a rank does whose parts are others."""

    def mine(self, count: int) -> range:
        return range(count - 1, -1, -1)


def test_what_a_part_draws_follows_from_its_number_alone(batches):
    found = []
    for ranks in (ALONE, Backwards()):
        model = network(dropout=0.5)
        torch.manual_seed(7)
        of_parts(model, batches, ranks)
        found.append([*gradients(model), *model.buffers(), torch.rand(3)])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_step_in_parts_trains_and_its_loss_is_a_mean_over_videos(batches):
    model = network()
    history = fit(model, lambda _: iter([parts(batches)]), 1, Schedule(30, 0.05, 0.0), gradients=Parts())
    assert history[0]["train_loss"] == pytest.approx(mean_loss(network(), batches).item(), rel=1e-9)
    assert history[-1]["train_loss"] < 0.6 * history[0]["train_loss"]


@pytest.mark.parametrize(("count", "sizes"), [(48, [12] * 4), (47, [12, 12, 12, 11]), (5, [3, 2]), (3, [3]), (1, [1])])
def test_parts_of_a_batch_are_nearly_equal_and_none_is_of_one_video_among_others(count, sizes):
    found = cut(torch.arange(count), 4)
    assert [len(part) for part in found] == sizes
    assert torch.equal(torch.cat(found), torch.arange(count))
