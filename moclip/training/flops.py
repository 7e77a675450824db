"""Multiply-adds and parameters, counted from the modules themselves.

Counts come from networks on PyTorch's meta device, where a forward pass computes shapes alone. One multiply-add is what
the field often calls one FLOP. Counted are matrix products and convolutions; normalisation, activation and pooling are
left out, as by most counters.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(forward: Callable[[], object]) -> int:
    """Multiply-adds of one forward pass; PyTorch's counter gives two operations for each.

    Attention's fused inference path is switched off meanwhile, for the counter does not see into it.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            forward()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return int(counter.get_total_flops()) // 2


def trainable_parameters(module: nn.Module) -> int:
    """Number of parameters that training changes."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
