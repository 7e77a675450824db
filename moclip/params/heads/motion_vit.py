"""Parameters of the Transformer on motion vectors."""

from typing import Self

from pydantic import Field, model_validator

from moclip.params.section import Section


class MotionVitParams(Section):
    """Section `motion_vit`: shape, input and training of `arch: vit`, in place of what `motion_net` says of these."""

    input_px: int | None = Field(ge=16, le=512, description="Side fields are resized to, or null.")
    segments: int = Field(ge=1, le=64, description="Fields of a video, in training and evaluation alike.")
    tube: int = Field(ge=1, le=16, description="Fields of a token.")
    patch: int = Field(ge=1, le=64, description="Cells a side of a token.")
    width: int = Field(ge=8, le=4096)
    depth: int = Field(ge=1, le=48)
    heads: int = Field(ge=1, le=64)
    mlp: int = Field(ge=1, le=8, description="Hidden units of a block's feed-forward part, in widths.")
    dropout: float = Field(ge=0, lt=1, description="Before the classifier.")
    epochs: int = Field(ge=1, le=10_000)
    lr: float = Field(gt=0, le=10)
    weight_decay: float = Field(ge=0, le=10)
    layer_decay: float = Field(gt=0, le=1, description="Share of a block's learning rate that the one below gets.")

    @model_validator(mode="after")
    def _parts_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} do not divide width: {self.width}")
        if self.segments % self.tube:
            raise ValueError(f"tube: {self.tube} does not divide segments: {self.segments}")
        if self.input_px is not None and self.input_px % self.patch:
            raise ValueError(f"patch: {self.patch} does not divide input_px: {self.input_px}")
        return self
