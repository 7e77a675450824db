"""Parameters of the motion fields."""

from typing import Literal

from pydantic import Field, model_validator

from moclip.params.section import Section


class MotionParams(Section):
    """Section `motion`: how vectors become fields; all but the last two keys shape the stored grids."""

    source: Literal["original", "reencoded"]
    cell_px: Literal[8, 16]
    reference: Literal["backward", "forward", "both"]
    distance: Literal["nearest", "as_coded"]
    accumulate: Literal["none", "gop", "window"]
    window_frames: int | None = Field(ge=1, le=250, description="Length of `window`; else null.")

    @model_validator(mode="after")
    def _window_has_length(self) -> "MotionParams":
        if (self.accumulate == "window") != (self.window_frames is not None):
            raise ValueError("window_frames is a number with accumulate: window, and null otherwise")
        return self
