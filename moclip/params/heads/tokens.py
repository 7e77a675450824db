"""Parameters of the heads that read tokens of frames: resampler, group_resampler and token_projector."""

from typing import Literal, Self

from pydantic import Field, model_validator

from moclip.params.section import Section, Select


class TrainedOnFrames(Section):
    """What every head that is trained on frames has."""

    dropout: float = Field(ge=0, lt=1)
    epochs: int = Field(ge=1, le=10_000)
    lr: float = Field(gt=0, le=10)
    weight_decay: float = Field(ge=0, le=10)
    batch_videos: int = Field(ge=1, le=65_536)
    select: Select


class TokenParams(TrainedOnFrames):
    """Section `tokens`: one small Transformer on the tokens of frames, whatever squeezes them first."""

    inputs: Literal["clip", "motion", "both"] = Field(description="Streams whose tokens are read.")
    motion_grid: int = Field(ge=1, le=14, description="Places a side of the motion network's tokens.")
    width: int = Field(ge=8, le=4096)
    depth: int = Field(ge=1, le=24, description="Blocks in which queries read tokens.")
    heads: int = Field(ge=1, le=64, description="Attention heads of a block.")
    queries: int = Field(ge=1, le=1024, description="Learned queries of a group.")
    groups: int = Field(ge=1, le=64, description="Consecutive groups of frames; `resampler` takes all at once.")
    positions: bool = Field(description="Whether a position is added to what queries give.")
    frame_dropout: float = Field(ge=0, lt=1, description="Chance that a whole frame is left out in training.")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide width: {self.width}")
        return self
