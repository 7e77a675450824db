"""The head: one hidden layer on concatenated features; with CLIP features alone it is the control."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from moclip.errors import StoreError


class Head(nn.Module):
    """MLP d -> hidden -> ReLU -> dropout -> classes, on standardised inputs.

    Mean and scale of each input are measured on the training part and kept as buffers, so that
    streams of different magnitude start equal. 1792 -> 512 -> 101 has 969,829 parameters, which is
    the paper's 0.97 M.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.inputs = nn.Linear(inputs, hidden)
        self.dropout = nn.Dropout(dropout)
        self.outputs = nn.Linear(hidden, classes)

    def config(self) -> dict[str, int]:
        """Sizes of inputs, hidden layer and classes; the weights' own shapes follow from them."""
        return {
            "inputs": self.inputs.in_features,
            "hidden": self.inputs.out_features,
            "classes": self.outputs.out_features,
        }

    @torch.no_grad()
    def fit_inputs(self, features: Tensor) -> None:
        """Take mean and standard deviation (n, d) -> (d,); a constant input is left unscaled."""
        deviation = features.std(dim=0, correction=0)
        self.mean.copy_(features.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, k) of features (n, d)."""
        hidden = self.inputs((features - self.mean) / self.scale).relu()
        logits: Tensor = self.outputs(self.dropout(hidden))
        return logits


def concatenate(streams: Sequence[Tensor]) -> Tensor:
    """Streams (n, d_i) side by side, (n, sum of d_i), each scaled to unit length per video."""
    return torch.cat([nn.functional.normalize(stream, dim=1) for stream in streams], dim=1)


def load_head(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Head:
    """Rebuild a head from its config and weights, in evaluation mode.

    Raises:
        StoreError: weights and config do not fit each other.
    """
    try:
        head = Head(**config, dropout=0.0)  # dropout does nothing in evaluation mode
        head.load_state_dict(dict(state))
    except (TypeError, RuntimeError) as error:
        raise StoreError(f"head: weights and config do not fit ({error})") from error
    return head.eval()
