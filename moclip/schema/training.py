"""Parameters of the two trainings: the motion network, and the heads on cached features."""

from typing import Literal

from pydantic import Field, model_validator

from moclip.schema.base import Section


class MotionNetParams(Section):
    """Section `motion_net`: architecture, sampling and schedule of the motion network."""

    arch: Literal["small", "efficientnet_b0"]
    pretrained: bool
    input_px: int | None = Field(ge=16, le=512, description="Side fields are resized to, or null.")
    bound_px: float = Field(gt=0, le=1000, description="Displacement in pixels that maps to 1.0.")
    segments: int = Field(ge=1, le=64, description="Snippets per video in training.")
    eval_segments: int = Field(ge=1, le=64, description="Snippets per video in evaluation.")
    epochs: int = Field(ge=1, le=10_000)
    batch_videos: int = Field(ge=1, le=4096)
    lr: float = Field(gt=0, le=10)
    weight_decay: float = Field(ge=0, le=10)
    select: Literal["val", "last"]

    @model_validator(mode="after")
    def _weights_exist(self) -> "MotionNetParams":
        if self.pretrained and self.arch == "small":
            raise ValueError("pretrained needs arch: efficientnet_b0; nobody published weights for small")
        return self


class HeadParams(Section):
    """Section `fusion`: the MLP on cached features, for fusion and for its controls."""

    inputs: Literal["both", "clip", "motion"] = Field(description="Streams that the head `fusion` gets.")
    normalisation: Literal["unit_standard", "unit", "standard", "none"]
    combine: Literal["concat", "gated"]
    hidden: int = Field(ge=0, le=65_536, description="Width of the hidden layer; 0 for a linear classifier.")
    dropout: float = Field(ge=0, lt=1)
    epochs: int = Field(ge=1, le=10_000)
    lr: float = Field(gt=0, le=10)
    weight_decay: float = Field(ge=0, le=10)
    batch_videos: int = Field(ge=1, le=65_536)
    select: Literal["val", "last"]

    @model_validator(mode="after")
    def _gate_has_units(self) -> "HeadParams":
        if self.combine == "gated" and not self.hidden:
            raise ValueError("combine: gated mixes hidden units, and hidden: 0 has none; raise hidden")
        return self
