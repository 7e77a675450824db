import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from moclip.base.errors import DataError
from moclip.base.random import torch_stream
from moclip.training.checkpoint import Checkpoint, checkpoint_in
from moclip.training.device import Compute
from moclip.training.history import Epoch, optimism_points
from moclip.training.loop import Batch, Schedule, batch_count, fit, held_out, shuffled

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

    schedule = Schedule(len(scores), 0.1, 0.0, select)
    history = fit(model, one_batch, 1, schedule, validate=held_out(select, validate, None))
    return model, history


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(1, 1.0), (3, 1.0), (2, 1.0)], 2),
        ([(1, 1.0), (2, 1.0), (3, 1.0)], 3),
        ([(3, 1.0), (2, 1.0), (2, 1.0)], 1),
        ([(2, 3.0), (2, 1.0), (2, 2.0)], 2),
        ([(2, 0.0), (3, 0.0), (3, 0.0)], 1),  # as sure of all answers, and the first class is said: as many hits
        ([(2, 1.0), (2, 1.0), (2, 1.0)], 1),  # as good in all: the first
        ([(3, 50.0), (2, 0.1), (1, 0.1)], 2),  # loss counts before hits
    ],
)
def test_model_is_left_at_the_best_epoch_of_validation(scores, best):
    model, history = run(scores)
    assert int(model.seen) == best
    said = [4 if not confidence else hits for hits, confidence in scores]  # of equal logits, the first class
    assert [epoch["val_top1_pct"] for epoch in history] == [25.0 * hits for hits in said]
    assert not model.training


def test_last_keeps_the_last_epoch_whatever_validation_says():
    model, history = run([(4, 1.0), (0, 1.0), (1, 1.0)], select="last")
    assert int(model.seen) == 3
    assert len(history) == 3


def with_test_part(select: str, val: list[int], test: list[int]) -> tuple[Counter, list[Epoch]]:
    """As `run`, with hits out of 4 on the validation and on the test part."""

    def part(scores: list[int]) -> Any:
        waiting = iter(scores)

        def measured() -> Batch:
            logits = torch.zeros(4, 2)
            hits = next(waiting)
            logits[:hits, 0], logits[hits:, 1] = 1.0, 1.0
            return logits, torch.zeros(4, dtype=torch.int64)

        return measured

    model = Counter()
    looked_at = part(test) if select == "test" else None
    validate = held_out(select, part(val), looked_at)
    return model, fit(model, one_batch, 1, Schedule(len(val), 0.1, 0.0, select), validate=validate)


def test_epoch_chosen_on_the_test_part_and_what_that_adds(caplog):
    """A planted leak: validation would take epoch 0, with 1 of 4 right on test; the test part itself takes epoch 2."""
    model, history = with_test_part("test", val=[4, 2, 1], test=[1, 2, 3])
    assert int(model.seen) == 3
    assert [epoch["test_top1_pct"] for epoch in history] == [25.0, 50.0, 75.0]
    assert [epoch["val_top1_pct"] for epoch in history] == [100.0, 50.0, 25.0], "still measured, for the comparison"
    assert optimism_points(history) == 50.0
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "SELECT: TEST" in caplog.text


def test_honest_selection_warns_of_nothing_and_measures_no_test_part(caplog):
    model, history = with_test_part("val", val=[1, 4, 2], test=[])
    assert int(model.seen) == 2
    assert all(math.isnan(epoch["test_top1_pct"]) for epoch in history)
    assert not caplog.records


def test_selection_on_a_test_part_that_is_not_there_is_refused():
    with pytest.raises(DataError, match="select: test needs a test part"):
        held_out("test", None, None)


def test_selection_without_validation_is_refused_before_training():
    with pytest.raises(DataError, match=r"select: val needs a validation part.*data\.val_groups.*select: last"):
        held_out("val", None, None)


def test_history_without_validation_has_gaps_and_every_epoch_is_reported():
    reported: list[Epoch] = []
    history = fit(Counter(), one_batch, 1, Schedule(3, 0.1, 0.0, "last"), on_epoch=reported.append)
    assert reported == history
    assert [epoch.epoch for epoch in history] == [0, 1, 2]
    assert all(math.isnan(epoch["val_loss"]) and math.isnan(epoch["val_top1_pct"]) for epoch in history)
    assert history[0]["train_loss"] == pytest.approx(math.log(2))
    assert history[2]["train_loss"] < history[1]["train_loss"] < history[0]["train_loss"]


def test_learning_rate_follows_one_cycle_over_all_steps():
    """The history has the rate at which each epoch began: up to the peak, then down to almost nothing."""
    rates = [epoch.lr for epoch in fit(Counter(), one_batch, 1, Schedule(20, 0.1, 0.0, "last"))]
    assert max(rates) == pytest.approx(0.1)
    peak = rates.index(max(rates))
    assert 0 < peak < 10
    assert rates == sorted(rates[:peak]) + sorted(rates[peak:], reverse=True)
    assert rates[-1] < 1e-5


def test_learning_rate_knows_how_many_steps_an_epoch_has():
    def batches(epoch: int) -> Iterator[Batch]:
        for _ in range(4):
            yield from one_batch(epoch)

    by_steps = [epoch.lr for epoch in fit(Counter(), one_batch, 1, Schedule(20, 0.1, 0.0, "last"))]
    by_epochs = [epoch.lr for epoch in fit(Counter(), batches, 4, Schedule(5, 0.1, 0.0, "last"))]
    assert by_epochs == by_steps[::4]


def test_steps_keep_the_rate_and_take_a_tenth_from_each_epoch_on():
    def batches(epoch: int) -> Iterator[Batch]:
        yield from one_batch(epoch)
        yield from one_batch(epoch)

    schedule = Schedule(6, 0.1, 0.0, "last", shape="steps", drop_epochs=[2, 5])
    rates = [epoch.lr for epoch in fit(Counter(), batches, 2, schedule)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.01, 0.001])


def moved(scale: float, **changes: Any) -> Tensor:
    """How far one step takes weights of 1 whose loss has no gradient with respect to them."""
    model = Counter()
    torch.nn.init.ones_(model.weight)

    def batches(_: int) -> Iterator[Batch]:
        yield torch.zeros(2, 2), torch.tensor([0, 1])

    schedule = Schedule(
        **{
            "epochs": 1,
            "lr": 0.01,
            "weight_decay": 0.5,
            "select": "last",
            "shape": "steps",
            "drop_epochs": [9],
            **changes,
        }
    )
    fit(model, batches, 1, schedule, parameters=[([model.weight], scale)])
    return 1 - model.weight.detach()


def test_decay_is_coupled_in_adam_and_apart_in_adamw():
    """Adam divides a decay in the gradient by its own size, so a first step is lr; AdamW shrinks by lr * decay."""
    torch.testing.assert_close(moved(1.0, optimizer="adam"), torch.full((2, 2), 0.01))
    torch.testing.assert_close(moved(1.0, optimizer="adam", eps=0.5), torch.full((2, 2), 0.01 * 0.5 / (0.5 + 0.5)))
    torch.testing.assert_close(moved(1.0, optimizer="adamw"), torch.full((2, 2), 0.01 * 0.5))


def test_sgd_has_momentum_and_its_decay_in_the_gradient():
    """From weights of 1 with gradient 0: a first step of lr * decay; a second one adds the momentum of the first."""
    torch.testing.assert_close(moved(1.0, optimizer="sgd"), torch.full((2, 2), 0.01 * 0.5))
    first = 0.01 * 0.5
    second = 0.01 * (0.9 * 0.5 + 0.5 * (1 - first))
    two = moved(1.0, optimizer="sgd", betas=(0.9, 0.999), epochs=2)
    torch.testing.assert_close(two, torch.full((2, 2), first + second))


@pytest.mark.parametrize("shape", [{}, {"shape": "steps", "drop_epochs": [1]}])
def test_each_list_of_parameters_has_its_share_of_the_rate_and_the_history_the_whole(shape):
    model, shares = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), (1.0, 0.01)
    before = [layer.weight.detach().clone() for layer in model]
    parameters = [(list(layer.parameters()), share) for layer, share in zip(model, shares, strict=True)]
    schedule = Schedule(2, 0.001, 0.0, "last", eps=1e-12, **shape)
    rates = [epoch.lr for epoch in fit(model, one_batch, 1, schedule, parameters=parameters[::-1])]
    whole, share = ((layer.weight - old).abs().max().item() for layer, old in zip(model, before, strict=True))
    assert share / whole == pytest.approx(0.01, rel=0.05)
    assert rates == pytest.approx([epoch.lr for epoch in fit(Counter(), one_batch, 1, schedule)])


class Dropping(nn.Module):
    """Draws from PyTorch's global generator, whose state a checkpoint has to keep."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"shape": "steps", "drop_epochs": [2, 4]},
        {"shape": "cosine", "warmup_epochs": 2, "clip_norm": 0.5},
        {"average_from": 3},
    ],
)
@pytest.mark.parametrize("select", ["val", "last"])
def test_interrupted_training_ends_as_an_undisturbed_one(tmp_path, monkeypatch, select, shape):
    monkeypatch.setattr("moclip.training.checkpoint.SAVE_EVERY_S", 0.0)

    def batches(epoch: int) -> Iterator[Batch]:
        generator = torch_stream(0, epoch)
        for _ in range(3):
            yield torch.randn(4, 2, generator=generator), torch.randint(2, (4,), generator=generator)

    def train(checkpoint: Checkpoint | None, stop_after: int) -> tuple[dict[str, Tensor], list[Epoch], list[int]]:
        model, trained = Dropping(), []

        def on_epoch(epoch: Epoch) -> None:
            trained.append(epoch.epoch)
            if epoch.epoch == stop_after:
                raise KeyboardInterrupt

        history = fit(
            model, batches, 3, Schedule(7, 0.05, 0.1, select, **shape), on_epoch=on_epoch, checkpoint=checkpoint,
            validate=held_out(select, lambda: next(iter([(model(x), y) for x, y in batches(99)])), None),
        )  # fmt: skip
        return model.state_dict(), history, trained

    weights, history, _ = train(None, 99)
    with checkpoint_in(tmp_path / "w") as checkpoint:
        with pytest.raises(KeyboardInterrupt):
            train(checkpoint, 4)
        again, resumed, trained = train(checkpoint, 99)
    assert trained == [4, 5, 6], "epoch 4 was not saved when it was interrupted"
    assert repr(resumed) == repr(history)
    assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_mixed_precision_is_in_force_in_training():
    seen = []

    class Watching(Counter):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            seen.append(y.dtype)
            return y

    for amp in (torch.bfloat16, torch.float16, None):
        model = Watching()
        (epoch,) = fit(model, one_batch, 1, Schedule(1, 0.1, 0.0, "last"), compute=Compute(amp=amp))
        assert model.weight.dtype == torch.float32
        assert epoch["train_loss"] == pytest.approx(math.log(2), rel=1e-2)
    assert seen == [torch.bfloat16, torch.float16, torch.float32]


def test_training_loss_is_a_mean_over_videos_not_over_batches():
    def batches(_: int) -> Iterator[Batch]:
        yield torch.zeros(3, 2), torch.tensor([0, 0, 0])  # logits 0: loss log 2
        yield torch.tensor([[1e3, 0.0]]), torch.tensor([0])

    model = Counter()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    (epoch,) = fit(model, batches, 2, Schedule(1, 1e-9, 0.0, "last"))
    assert epoch["train_loss"] == pytest.approx(math.log(2) * 3 / 4, rel=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_finite_is_refused(value):
    def batches(_: int) -> Iterator[Batch]:
        yield torch.full((2, 2), value), torch.tensor([0, 1])

    with pytest.raises(DataError, match=r"training loss is not finite; lower the learning rate"):
        fit(Counter(), batches, 1, Schedule(1, 0.1, 0.0, "last"))


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


def rates(epochs: int, **shape: Any) -> list[float]:
    return [epoch.lr for epoch in fit(Counter(), one_batch, 1, Schedule(epochs, 0.1, 0.0, **shape))]


def test_cosine_rises_in_a_line_and_falls_in_half_a_wave():
    found = rates(10, shape="cosine", warmup_epochs=2)
    expected = [0.0, 0.05] + [0.05 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    assert found == pytest.approx(expected)
    assert rates(4, shape="cosine")[0] == pytest.approx(0.1)


def test_clipping_bounds_the_step_of_a_gradient_that_is_large():
    """Adam forgets the gradient's size, so decay is off and eps large: the step is lr * g / (|g| + eps)."""

    def step(clip_norm: float | None) -> float:
        model = Counter()
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[-30.0, 30.0], [30.0, -30.0]]))
        before = model.weight.detach().clone()
        fit(model, one_batch, 1, Schedule(1, 1.0, 0.0, shape="steps", eps=10.0, clip_norm=clip_norm))
        return float((model.weight.detach() - before).abs().max())

    assert step(None) == pytest.approx(0.5 / (0.5 + 10), rel=1e-3)
    assert step(0.1) == pytest.approx(0.05 / (0.05 + 10), rel=1e-3)


def test_averaged_weights_are_the_mean_of_the_epochs_from_the_one_named():
    seen: list[Tensor] = []
    model = Counter()
    schedule = Schedule(5, 0.1, 0.0, shape="steps", average_from=2)
    fit(model, one_batch, 1, schedule, on_epoch=lambda _: seen.append(model.weight.detach().clone()))
    torch.testing.assert_close(model.weight.detach(), torch.stack(seen[2:]).mean(dim=0))
    assert not torch.equal(model.weight.detach(), seen[-1])


def test_loss_of_ones_own_and_figures_of_ones_own():
    """A pretraining has neither labels nor accuracy: the loop knows nothing of either."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return (model(batch[0]) - 1).square().mean()

    def batches(_: int) -> Iterator[Batch]:
        yield (torch.eye(2),)

    history = fit(Counter(), batches, 1, Schedule(3, 0.1, 0.0), loss=loss, validate=lambda: {"val_error": 7.0})
    assert [list(epoch.values) for epoch in history] == [["train_loss", "val_error"]] * 3
    assert history[0]["train_loss"] == pytest.approx(1.0)
    assert history[2]["train_loss"] < 1.0
