"""Parameters of the head `prompt_guided`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from moclip.params.section import Section


class PromptGuidedParams(Section):
    """Section `prompt_guided`: each class's prompt chooses the frames and the region that it is scored on."""

    slow: int = Field(ge=0, le=64, description="Frames most like the prompt, seen by their region; 0 leaves them out.")
    middle: int = Field(ge=0, le=64, description="Frames at equal distances, seen by their region; 0 leaves them out.")
    fast: bool = Field(description="All frames, seen whole.")
    region: float = Field(gt=0, le=1, description="Share of a frame's places; 1 is the whole frame by its feature.")
    window: Literal["prompt", "motion", "published"] = Field(
        description="What places the region: the prompt, the motion, or the prompt on the map as the code misreads it."
    )
    paths: Literal["equal", "tokens"] = Field(description="Weight of a path: alike, or by its number of tokens.")

    @model_validator(mode="after")
    def _has_a_path(self) -> Self:
        if not (self.slow or self.middle or self.fast):
            raise ValueError("slow: 0, middle: 0 and fast: false leave nothing to score; turn one on")
        return self

    @model_validator(mode="after")
    def _places_a_region(self) -> Self:
        if self.region == 1 and self.window != "prompt":
            raise ValueError(f"window: {self.window} places a region, and region: 1 has none; set window: prompt")
        return self
