"""Parameters of the motion fields."""

from typing import Literal

from pydantic import Field, model_validator

from moclip.schema.base import Section


class MotionParams(Section):
    """Section `motion`: how vectors become fields; all but the last two keys shape the stored grids."""

    source: Literal["original", "reencoded"]
    cell_px: Literal[8, 16]
    reference: Literal["backward", "forward", "both"]
    accumulate: Literal["none", "gop", "window"]
    window_frames: int | None = Field(ge=1, le=250, description="Length of `window`; else null.")

    @model_validator(mode="after")
    def _window_has_length(self) -> "MotionParams":
        if (self.accumulate == "window") != (self.window_frames is not None):
            raise ValueError("window_frames is a number with accumulate: window, and null otherwise")
        return self


class MotionInput(Section):
    """How a video becomes what a trained motion network takes; kept beside its weights."""

    motion: MotionParams
    input_px: int | None = Field(ge=16, le=512, description="Side that fields are resized to, or null.")
    eval_segments: int = Field(ge=1, le=64, description="Snippets per video.")
    eval_crops: Literal[1, 10] = Field(description="Crops of each snippet.")
