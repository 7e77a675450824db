"""Steps whose batch is cut into parts of a fixed number, so that ranks can share them and move no number.

Each part goes through the network alone, with batch statistics of its own. Its gradient, what it moved of the network's
statistics, and its loss are one row, weighted by the part's share of the batch's videos; rows are added in their order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from moclip.training.loop import Backward, Batch
from moclip.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Part:
    """A part of a batch: how many videos, and what reads them on the rank that computes it."""

    videos: int
    read: Callable[[], Batch]


def cut(chosen: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Indices (n,) of a batch in `parts` parts of nearly equal size; in fewer, where one had less than two videos."""
    return chosen.tensor_split(max(1, min(parts, len(chosen) // 2)))


@dataclass(frozen=True)
class Parts:
    """Gradients of a batch that is given as parts, the same whatever number of ranks shares them."""

    ranks: Ranks = ALONE

    def __call__(self, model: nn.Module, batch: Sequence[Part], backward: Backward) -> tuple[Tensor, int]:
        """As `moclip.training.loop.Gradients`."""
        videos, row = sum(part.videos for part in batch), _Row(model)
        seeds = torch.randint(1 << 62, (len(batch),)).tolist()
        rows = [row.empty() for _ in batch]
        for number in self.ranks.mine(len(batch)):
            share = batch[number].videos / videos
            with _drawing_by(seeds[number]):
                loss = backward(batch[number].read(), share)
            rows[number] = row.taken(loss, share)
        self.ranks.share(rows)
        total = rows[0]
        for other in rows[1:]:
            total += other
        return row.put(total), videos


class _Row:
    """What a part gives, in one row: gradients, changes of buffers, and the loss."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = [own for own in model.parameters() if own.requires_grad]
        self.buffers = list(model.buffers())
        self.before = [buffer.clone() for buffer in self.buffers]

    def empty(self) -> Tensor:
        return self.parameters[0].new_empty(sum(one.numel() for one in (*self.parameters, *self.buffers)) + 1)

    def taken(self, loss: Tensor, share: float) -> Tensor:
        """The row of the part that was computed last; the network is left as it was before."""
        gradients = [torch.zeros_like(own) if own.grad is None else own.grad for own in self.parameters]
        moved = [(now - before) * share for now, before in zip(self.buffers, self.before, strict=True)]
        row = torch.cat([one.reshape(-1).to(self.parameters[0].dtype) for one in (*gradients, *moved, loss * share)])
        for parameter in self.parameters:
            parameter.grad = None
        for now, before in zip(self.buffers, self.before, strict=True):
            now.copy_(before)
        return row

    def put(self, total: Tensor) -> Tensor:
        """Give the network the sum of all rows, and return the loss."""
        *pieces, loss = total.split([one.numel() for one in (*self.parameters, *self.buffers)] + [1])
        gradients, moved = pieces[: len(self.parameters)], pieces[len(self.parameters) :]
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = torch.empty_like(parameter).copy_(gradient.view(parameter.shape))
        for buffer, change in zip(self.buffers, moved, strict=True):
            whole = change if buffer.is_floating_point() else change.round()
            buffer.add_(whole.view(buffer.shape).to(buffer.dtype))
        return loss[0]


@contextmanager
def _drawing_by(seed: int) -> Iterator[None]:
    """What a network draws in here (dropout) follows from the seed, and nothing after it from what is drawn in here."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
