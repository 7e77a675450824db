"""Parameters of the head `open_vclip`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from moclip.params.section import Section, Select


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) != len(names):
        raise ValueError("each class may stand here once")
    return names


class OpenVclipParams(Section):
    """Section `open_vclip`: CLIP's last blocks, adapted to video and led back towards CLIP."""

    classes: Literal["all", "base"] = Field(description="Classes that train; the others are met in the test alone.")
    base: Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)] | None = Field(
        description="Names of the base classes; null for the half with most train videos."
    )
    shots: int | None = Field(ge=1, le=10_000, description="Train videos of each class, drawn; null for all.")
    neighbours: bool = Field(description="Whether each frame's attention also sees the frames beside it.")
    edges: Literal["repeat", "zeros"] = Field(description="What both ends have for the neighbour that they lack.")
    regularise: float = Field(ge=0, le=100, description="Weight of the loss at weights interpolated towards CLIP.")
    chain_rule: bool = Field(
        description="Whether its gradient has the factor 1 - alpha, which the published code omits."
    )
    share_low: float = Field(ge=0, lt=1, description="Least share of CLIP in these weights.")
    share_high: float = Field(ge=0, lt=1, description="Greatest share of CLIP in these weights.")
    average_from: int | None = Field(
        ge=1, description="Epoch, from 1, whose weights are averaged first; null: none are."
    )
    share: float = Field(ge=0, le=1, description="Share of CLIP in the weights that answer; the rest is the average's.")
    captions: str | None = Field(min_length=1, description="Table of sentences by video id, for the video-text loss.")
    caption_weight: float = Field(ge=0, le=100, description="Weight of that loss.")
    epochs: int = Field(ge=0, le=10_000)
    lr: float = Field(gt=0, le=10)
    warmup_epochs: float = Field(ge=0, le=10_000)
    weight_decay: float = Field(ge=0, le=10, description="Of matrices; vectors, such as biases, have none.")
    clip_norm: float | None = Field(gt=0, description="Bound of the gradient's norm; null for none.")
    batch_videos: int = Field(ge=1, le=65_536)

    @property
    def select(self) -> Select:
        """No epoch is chosen: the average, or the last one's weights, are taken."""
        return "last"

    @model_validator(mode="after")
    def _shares_in_order(self) -> Self:
        if self.share_low > self.share_high:
            raise ValueError(f"share_low: {self.share_low} is above share_high: {self.share_high}")
        return self

    @model_validator(mode="after")
    def _epochs_suffice(self) -> Self:
        if self.epochs and self.average_from is not None and self.average_from > self.epochs:
            raise ValueError(
                f"average_from: {self.average_from} of {self.epochs} epochs; nothing would be averaged: begin earlier, "
                "or set null"
            )
        if self.epochs and self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs: {self.warmup_epochs} of {self.epochs} epochs; warm up for fewer")
        return self

    @model_validator(mode="after")
    def _base_is_asked_for(self) -> Self:
        if self.base is not None and self.classes != "base":
            raise ValueError(
                "base: names classes, and classes: all trains on every one; set classes: base, or base: null"
            )
        return self
