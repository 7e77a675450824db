"""Parameters of the contrastive pretraining of the motion network."""

from typing import Literal

from pydantic import Field

from moclip.params.section import Section


class MotionMclParams(Section):
    """Section `motion_mcl`: pretraining on clips and crops chosen by motion (after MCL)."""

    epochs: int = Field(ge=1, le=10_000)
    batch_videos: int = Field(ge=2, le=4096)
    optimizer: Literal["sgd", "adamw"]
    lr: float = Field(gt=0, le=10)
    weight_decay: float = Field(ge=0, le=10)
    warmup_epochs: float = Field(ge=0, le=1000)
    momentum: float = Field(ge=0, lt=1, description="Share that the keys' network keeps of itself in a step.")
    queue: int = Field(ge=1, le=1 << 20, description="Keys of earlier videos that a query is told from.")
    temperature: float = Field(gt=0, le=10)
    fields: int = Field(ge=1, le=64, description="Fields of a clip.")
    stride: int = Field(ge=1, le=250, description="Frames from one of them to the next.")
    motion_share: float = Field(ge=0, le=1, description="Chance that a clip starts where much moves.")
    motion_top: float = Field(gt=0, le=1, description="Share of the starts that counts as such.")
    crop: Literal["motion", "random"]
    intra: bool
    order: bool
    align: float = Field(ge=0, le=100, description="Weight of the alignment loss; 0 leaves it out.")
