"""Parameters of the late average of two heads."""

from typing import Literal

from pydantic import Field

from moclip.params.section import Section


class ScoreAverageParams(Section):
    """Section `score_average`: late average of CLIP and motion probabilities."""

    clip_head: Literal["clip_probe", "zero_shot"]
    motion_weight: float | None = Field(ge=0, le=1, description="Motion's share; null chooses it on validation.")
    weight_steps: int = Field(ge=1, le=1000, description="Equal steps from 0 to 1 to choose from.")
