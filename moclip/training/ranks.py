"""Processes that train one network together, its ranks: torchrun starts them, and `torch.distributed` joins them.

How many they are must move no number. So work is cut into items whose number follows from the parameters; each item is
made whole by one rank, and every rank gets all of them in one order.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """Which of how many ranks this process is, from 0."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def mine(self, count: int) -> range:
        """Which of `count` items this rank makes."""
        return range(self.rank, count, self.size)

    def share(self, items: Sequence[Tensor]) -> None:
        """Fill every item in place from the rank that made it; the others' are of its shape, type and device."""
        if self.size > 1:
            sent = [distributed.broadcast(item, i % self.size, async_op=True) for i, item in enumerate(items)]
            for one in sent:
                assert one is not None
                one.wait()

    def told(self, value: T) -> T:
        """What the leading rank has."""
        told = [value]
        if self.size > 1:
            distributed.broadcast_object_list(told, src=0)
        return told[0]

    def asked(self, value: T) -> list[T]:
        """What each rank has, by rank."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process as the rank that torchrun's variables say; with a GPU for each rank of a machine, on its own."""
    local, beside = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    has_own_gpu = torch.cuda.device_count() >= beside
    if has_own_gpu:
        torch.cuda.set_device(local)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if has_own_gpu else "gloo")
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
