"""Parameters of the head `evl`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from moclip.params.heads.tokens import TrainedOnFrames

Temporal = Literal["conv", "position", "attention"]


def _distinct(values: list[Temporal]) -> list[Temporal]:
    if len(set(values)) != len(values):
        raise ValueError("each entry may stand here once")
    return values


class EvlParams(TrainedOnFrames):
    """Section `evl`: a decoder that reads the tokens of CLIP's last blocks."""

    layers: int = Field(ge=1, le=64, description="Levels that are read, one a decoder layer.")
    width: int | None = Field(ge=8, le=4096, description="Width that each level is brought to; null for CLIP's own.")
    heads: int = Field(ge=1, le=64)
    mlp: int = Field(ge=1, le=8, description="Hidden units of a layer's feed-forward part, in widths.")
    temporal: Annotated[list[Temporal], AfterValidator(_distinct)] = Field(description="What tells time in each level.")
    schedule: Literal["cosine", "one_cycle"]

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width is not None and self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide width: {self.width}")
        return self
