"""Frozen means frozen: no gradients, and evaluation mode even inside a parent in training mode."""

from typing import Self

from torch import Tensor, nn


class Frozen(nn.Module):
    """Wrap a backbone so that neither its parameters nor its buffers can change by training.

    The paper's code calls `train()` on its frozen backbone, whose batch statistics then drift.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the wrapper's mode; the backbone stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        """The backbone's output."""
        output: Tensor = self.backbone(*inputs)
        return output
