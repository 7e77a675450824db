"""Where networks run and with what arithmetic: device, mixed precision, memory layout, repeatable kernels."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
from torch import Tensor, nn

from moclip.base.arithmetic import Kernels
from moclip.base.errors import ParamsError
from moclip.base.random import Deterministic
from moclip.params.compute import ComputeParams

Module = TypeVar("Module", bound=nn.Module)
CPU = torch.device("cpu")
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """A device and how to use it; the default is what every machine has, in full precision.

    `amp` is the type of automatic mixed precision, None without.
    """

    device: torch.device = CPU
    amp: torch.dtype | None = None
    channels_last: bool = False
    deterministic: Deterministic = True
    kernels: Kernels = "portable"

    @classmethod
    def of(cls, params: ComputeParams) -> Self:
        """The parameters on this machine; `auto` becomes what is there.

        Raises:
            ParamsError: `cuda` was asked for, and there is no such device.
        """
        found = torch.cuda.is_available()
        if params.device == "cuda" and not found:
            raise ParamsError(
                "compute.device: cuda was asked for, but PyTorch finds no CUDA device on this machine; "
                "set it to cpu or auto"
            )
        name = params.device if params.device != "auto" else "cuda" if found else "cpu"
        amp = _TYPES[params.amp] if params.amp else None
        return cls(torch.device(name), amp, params.channels_last, params.deterministic, params.kernels)

    @property
    def processor(self) -> str:
        """The model of the GPU; of a CPU, whose kernels `compute.kernels` chooses, `cpu` whatever it is."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type

    @property
    def key(self) -> str:
        """All that can move a last digit here: half-done work of another GPU's model is not taken up."""
        return f"{self} on {self.processor}"

    def place(self, module: Module) -> Module:
        """The module on the device, in the memory layout that convolutions are to work in."""
        placed = module.to(self.device)
        return placed.to(memory_format=torch.channels_last) if self.channels_last else placed

    def tensor(self, tensor: Tensor) -> Tensor:
        """The tensor on the device. From pinned memory, so that a GPU fetches it while it still computes."""
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor

    def autocast(self) -> AbstractContextManager[None]:
        """A context in which the forward pass runs in mixed precision, if that was asked for."""
        return torch.autocast(self.device.type, self.amp, enabled=self.amp is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """Scales the loss where float16 would lose small gradients; otherwise it changes nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.amp is torch.float16)

    def random_state(self) -> dict[str, Tensor]:
        """States of PyTorch's global generators that a network may draw from (dropout)."""
        states = {"cpu": torch.get_rng_state()}
        return states | {"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else states

    def set_random_state(self, states: Mapping[str, Tensor]) -> None:
        """Put back what `random_state` gave."""
        torch.set_rng_state(states["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self.device)


ON_CPU = Compute()
