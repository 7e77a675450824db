import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from moclip.errors import DataError
from moclip.history import Epoch
from moclip.training import Batch, Schedule, batch_count, fit, log_epoch, shuffled

Scores = list[tuple[int, float]]


class Counter(nn.Module):
    """Knows how many batches it was trained on; its parameter gives the optimiser something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 2))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
        return x @ self.weight


def one_batch(_: int) -> Iterator[Batch]:
    yield torch.eye(2), torch.tensor([0, 1])


def run(scores: Scores, select: str = "val") -> tuple[Counter, list[Epoch]]:
    """Train a `Counter` for one epoch per (hits out of 4, confidence) that validation is to report."""
    model, waiting = Counter(), iter(scores)

    def validate() -> Batch:
        assert not model.training
        hits, confidence = next(waiting)
        logits = torch.zeros(4, 2)
        logits[:hits, 0] = confidence
        logits[hits:, 1] = confidence
        return logits, torch.zeros(4, dtype=torch.int64)

    history = fit(model, one_batch, 1, validate, Schedule(len(scores), 0.1, 0.0, select))
    return model, history


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(1, 1.0), (3, 1.0), (2, 1.0)], 2),
        ([(1, 1.0), (2, 1.0), (3, 1.0)], 3),
        ([(3, 1.0), (2, 1.0), (2, 1.0)], 1),
        ([(2, 3.0), (2, 1.0), (2, 2.0)], 2),  # as many hits: the lowest loss decides
        ([(2, 1.0), (2, 1.0), (2, 1.0)], 1),  # as good in all: the first
        ([(3, 50.0), (2, 0.1), (1, 0.1)], 1),  # hits count before loss
    ],
)
def test_model_is_left_at_the_best_epoch_of_validation(scores, best):
    model, history = run(scores)
    assert int(model.seen) == best
    assert [epoch.val_top1_pct for epoch in history] == [25.0 * hits for hits, _ in scores]
    assert not model.training


def test_last_keeps_the_last_epoch_whatever_validation_says():
    model, history = run([(4, 1.0), (0, 1.0), (1, 1.0)], select="last")
    assert int(model.seen) == 3
    assert len(history) == 3


def test_selection_without_validation_is_refused_before_training():
    model = Counter()
    with pytest.raises(DataError, match=r"select: val needs a validation part.*data\.val_groups.*select: last"):
        fit(model, one_batch, 1, None, Schedule(3, 0.1, 0.0, "val"))
    assert int(model.seen) == 0


def test_history_without_validation_has_gaps_and_every_epoch_is_reported():
    reported: list[Epoch] = []
    history = fit(Counter(), one_batch, 1, None, Schedule(3, 0.1, 0.0, "last"), reported.append)
    assert reported == history
    assert [epoch.epoch for epoch in history] == [0, 1, 2]
    assert all(math.isnan(epoch.val_loss) and math.isnan(epoch.val_top1_pct) for epoch in history)
    assert history[0].train_loss == pytest.approx(math.log(2))
    assert history[2].train_loss < history[1].train_loss < history[0].train_loss


def test_learning_rate_follows_one_cycle_over_all_steps():
    """The history has the rate at which each epoch began: up to the peak, then down to almost nothing."""
    rates = [epoch.lr for epoch in fit(Counter(), one_batch, 1, None, Schedule(20, 0.1, 0.0, "last"))]
    assert max(rates) == pytest.approx(0.1)
    peak = rates.index(max(rates))
    assert 0 < peak < 10
    assert rates == sorted(rates[:peak]) + sorted(rates[peak:], reverse=True)
    assert rates[-1] < 1e-5


def test_learning_rate_knows_how_many_steps_an_epoch_has():
    def batches(epoch: int) -> Iterator[Batch]:
        for _ in range(4):
            yield from one_batch(epoch)

    by_steps = [epoch.lr for epoch in fit(Counter(), one_batch, 1, None, Schedule(20, 0.1, 0.0, "last"))]
    by_epochs = [epoch.lr for epoch in fit(Counter(), batches, 4, None, Schedule(5, 0.1, 0.0, "last"))]
    assert by_epochs == by_steps[::4]


def test_training_loss_is_a_mean_over_videos_not_over_batches():
    def batches(_: int) -> Iterator[Batch]:
        yield torch.zeros(3, 2), torch.tensor([0, 0, 0])  # logits 0: loss log 2
        yield torch.tensor([[1e3, 0.0]]), torch.tensor([0])

    model = Counter()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    (epoch,) = fit(model, batches, 2, None, Schedule(1, 1e-9, 0.0, "last"))
    assert epoch.train_loss == pytest.approx(math.log(2) * 3 / 4, rel=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_finite_is_refused(value):
    def batches(_: int) -> Iterator[Batch]:
        yield torch.full((2, 2), value), torch.tensor([0, 1])

    with pytest.raises(DataError, match=r"training loss is not finite; lower the learning rate"):
        fit(Counter(), batches, 1, None, Schedule(1, 0.1, 0.0, "last"))


def test_epoch_is_logged_with_units(caplog):
    with caplog.at_level("DEBUG"):
        log_epoch(Epoch(3, 0.1, 1.25, 2.5, 50.0))
    assert caplog.messages == ["epoch 3: train loss 1.2500, val loss 2.5000, val top-1 50.00 %"]


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 5))
def test_batches_hold_each_video_once_and_none_is_alone(count, size, seed):
    batches = shuffled(count, size, torch.Generator().manual_seed(seed))
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    assert len(batches) == batch_count(count, size)
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= size + 1
    assert min(sizes) > 1 or size == 1 or count == 1


def test_order_follows_the_generator():
    orders = [torch.cat(shuffled(50, 8, torch.Generator().manual_seed(seed))).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])
