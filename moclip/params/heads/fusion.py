"""Parameters of the MLP on cached features: the fusion and its controls."""

from typing import Literal, Self

from pydantic import Field, model_validator

from moclip.params.section import Section, Select


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
    schedule: Literal["one_cycle", "constant"]
    batch_videos: int = Field(ge=1, le=65_536)
    select: Select
    views: int = Field(ge=0, le=1000, description="Augmented views of the motion features per training video.")
    online: bool = Field(description="Augmented motion features are computed anew in every epoch.")
    backbone_statistics: Literal["frozen", "drift"] = Field(
        description="Batch-norm statistics of the motion network while the head trains."
    )

    @model_validator(mode="after")
    def _one_way_of_augmenting(self) -> Self:
        if self.online and self.views:
            raise ValueError("online computes new views in every epoch; set views: 0 with it")
        if (self.online or self.views) and self.inputs == "clip":
            raise ValueError("views and online are of motion features, and inputs: clip leaves these out")
        if self.backbone_statistics == "drift" and not self.online:
            raise ValueError(
                "backbone_statistics: drift needs online: true; cached features have no statistics to move"
            )
        return self

    @model_validator(mode="after")
    def _gate_has_units(self) -> Self:
        if self.combine == "gated" and not self.hidden:
            raise ValueError("combine: gated mixes hidden units, and hidden: 0 has none; raise hidden")
        return self
