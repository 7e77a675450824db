"""Parameters of the head `multiway`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from moclip.params.heads.tokens import TrainedOnFrames


class MultiwayParams(TrainedOnFrames):
    """Section `multiway`: class texts and video tokens read each other by one shared attention."""

    inputs: Literal["clip", "motion", "both"] = Field(description="Streams whose tokens are read.")
    queries: int = Field(ge=1, le=1024, description="Learned queries of the sampler.")
    width: int = Field(ge=8, le=4096)
    depth: int = Field(ge=1, le=24)
    heads: int = Field(ge=1, le=64)
    residual: bool = Field(description="Pooled tokens are added to the queries.")
    text_guided: bool = Field(description="Class texts read the sampled tokens; else a learned query does.")
    shared_attention: bool = Field(description="One attention for video and text; else one each.")
    choices: int = Field(ge=2, le=64, description="Options of a multiple-choice question.")
    choice_weight: float = Field(ge=0, le=100, description="Weight of the multiple-choice loss.")
    pretrain_epochs: int = Field(ge=0, le=10_000, description="Epochs of multiple choice alone, before the others.")
    negatives: Literal["random", "near"] = Field(description="Which other classes stand in a question.")

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide width: {self.width}")
        return self
