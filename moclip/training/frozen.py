"""Frozen means frozen: no gradients, and evaluation mode even inside a parent in training mode."""

from typing import Generic, Self, TypeVar

from torch import Tensor, nn

Backbone = TypeVar("Backbone", bound=nn.Module)


class Frozen(nn.Module, Generic[Backbone]):
    """Wrap a backbone so that neither its parameters nor its buffers can change by training.

    The paper's code calls `train()` on its frozen backbone, whose batch statistics then drift.
    """

    backbone: Backbone

    def __init__(self, backbone: Backbone) -> None:
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
