"""Parameters of the masked pretraining of the Transformer on motion vectors."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from moclip.params.section import Section

Beta = Annotated[float, Field(ge=0, lt=1)]
CELL_SHARES = (0.0, 0.25, 0.5, 0.75)


class MotionMaeParams(Section):
    """Section `motion_mae`: pretraining by masked tokens, hidden from encoder and decoder apart (after VideoMAE V2)."""

    mask: float = Field(gt=0, lt=1, description="Share of the places that the encoder does not see.")
    decoder_mask: float = Field(ge=0, lt=1, description="Share of the tokens that the decoder leaves out.")
    decoder_width: int = Field(ge=8, le=4096)
    decoder_depth: int = Field(ge=1, le=48)
    decoder_heads: int = Field(ge=1, le=64)
    target: Literal["tubelet", "raw"]
    floor_px: float = Field(gt=0, le=1000, description="Deviation in pixels that `tubelet` adds to a token's own.")
    epochs: int = Field(ge=1, le=10_000)
    batch_videos: int = Field(ge=1, le=4096)
    masks_per_read: int = Field(ge=1, le=64, description="Masks of each clip that is read.")
    reads: int | None = Field(ge=1, le=1000, description="Reads of a video that are kept and met again; null: none is.")
    lr: float = Field(gt=0, le=10)
    betas: list[Beta] = Field(min_length=2, max_length=2)
    weight_decay: float = Field(ge=0, le=10)
    warmup_epochs: float = Field(ge=0, le=1000)

    @model_validator(mode="after")
    def _cells_have_four_places(self) -> Self:
        if self.decoder_mask not in CELL_SHARES:
            raise ValueError(f"decoder_mask: a running cell has 4 places, so it is one of {CELL_SHARES}")
        if self.decoder_width % self.decoder_heads:
            raise ValueError(f"decoder_heads: {self.decoder_heads} do not divide decoder_width: {self.decoder_width}")
        return self
