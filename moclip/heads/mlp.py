"""The head on cached features: a small MLP on one stream or more; with CLIP features alone it is the control.

Axes: n video, d_i feature of stream i, d = d_1 + ... + d_m, h hidden, k class.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from moclip.base.errors import ParamsError, StoreError
from moclip.params.section import Section, validated
from moclip.training.weights import UNFIT, restored

UNIT, STANDARD = ("unit", "unit_standard"), ("standard", "unit_standard")


class GatedSum(nn.Module):
    """Two streams mixed unit by unit: g * (A x_1 + a) + (1 - g) * (B x_2 + b), g = sigmoid(G [x_1 x_2] + c).

    Weights: A (h, d_1), B (h, d_2), G (h, d_1 + d_2); with a gate of one half it is the mean of both projections.
    """

    def __init__(self, widths: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.first, self.second = (nn.Linear(width, hidden) for width in self.widths)
        self.gate = nn.Linear(sum(self.widths), hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Mixture (n, h) of streams side by side (n, d_1 + d_2)."""
        first, second = x.split(self.widths, dim=1)
        g = self.gate(x).sigmoid()
        mixed: Tensor = g * self.first(first) + (1 - g) * self.second(second)
        return mixed


class Head(nn.Module):
    """Logits of features: normalise -> hidden layer -> ReLU -> dropout -> classes.

    Args:
        inputs: Widths of the streams by name; in the features they stand side by side, in the order of their names.
        hidden: Width of the hidden layer; 0 leaves it out, with ReLU and dropout: a linear classifier.
        classes: Number of classes.
        dropout: Share of hidden units dropped in training.
        normalisation: `unit` scales each stream of each video to length 1; `standard` shifts and scales each
            input to mean 0 and deviation 1 of the training part, kept as buffers, so that streams of different
            magnitude start equal; `unit_standard` does first one, then the other; `none` does nothing.
        combine: `concat` feeds the hidden layer all streams side by side; `gated` makes it a `GatedSum` of two
            streams. One stream alone has nothing to be mixed with: both are the same.

    1792 -> 512 -> 101 has 969,829 parameters, which is the paper's 0.97 M.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        inputs: Mapping[str, int],
        hidden: int,
        classes: int,
        dropout: float = 0.0,
        *,
        normalisation: str = "unit_standard",
        combine: str = "concat",
    ) -> None:
        super().__init__()
        self.widths, self.normalisation, self.combine = dict(sorted(inputs.items())), normalisation, combine
        width = sum(self.widths.values())
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        if hidden:
            gated = combine == "gated" and len(self.widths) > 1
            self.inputs = GatedSum(list(self.widths.values()), hidden) if gated else nn.Linear(width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.outputs = nn.Linear(hidden or width, classes)
        self.hidden = hidden

    def config(self) -> dict[str, Any]:
        """All that `load_head` needs to build the same head, beside its weights."""
        return {
            "inputs": self.widths,
            "hidden": self.hidden,
            "classes": self.outputs.out_features,
            "normalisation": self.normalisation,
            "combine": self.combine,
        }

    @torch.no_grad()
    def fit_inputs(self, features: Tensor) -> None:
        """Measure mean and deviation of the inputs (n, d), where they are used; a constant input is left unscaled."""
        if self.normalisation in STANDARD:
            features = self._at_unit_length(features)
            deviation = features.std(dim=0, correction=0)
            self.mean.copy_(features.mean(dim=0))
            self.scale.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def normalised(self, features: Tensor) -> Tensor:
        """Features (n, d) as the first layer gets them."""
        return (self._at_unit_length(features) - self.mean) / self.scale

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, k) of features (n, d), as they were cached."""
        x = self.normalised(features)
        if self.hidden:
            x = self.dropout(self.inputs(x).relu())
        logits: Tensor = self.outputs(x)
        return logits

    def _at_unit_length(self, features: Tensor) -> Tensor:
        if self.normalisation not in UNIT:
            return features
        streams = features.split(list(self.widths.values()), dim=1)
        return concatenate([nn.functional.normalize(stream, dim=1) for stream in streams])


def concatenate(streams: Sequence[Tensor]) -> Tensor:
    """Streams (n, d_i) side by side, (n, d), in this order."""
    return torch.cat(list(streams), dim=1)


class _Build(Section):
    """What `Head.config` writes, as anybody may have changed it."""

    inputs: dict[str, Annotated[int, Field(ge=1)]] = Field(min_length=1)
    hidden: int = Field(ge=0)
    classes: int = Field(ge=1)
    normalisation: Literal["unit", "standard", "unit_standard", "none"] = "unit_standard"
    combine: Literal["concat", "gated"] = "concat"


def load_head(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Head:
    """Rebuild a head from its config and weights, in evaluation mode.

    Raises:
        StoreError: weights and config do not fit each other.
    """
    try:
        built = validated("config", _Build, config)
        return restored(lambda: Head(**dict(built)), state)
    except (*UNFIT, ParamsError) as error:
        raise StoreError(f"head: weights and config do not fit ({error})") from error
