"""Parameters of the generated data set."""

from pydantic import Field

from moclip.params.section import Section


class DemoParams(Section):
    """Section `demo`: size of the generated data set; read by `download` when `data.source` is demo."""

    groups: int = Field(ge=3, le=24, multiple_of=3, description="Groups per class, a third tests.")
    clips_per_group: int = Field(ge=1, le=20)
    frames: int = Field(ge=4, le=500, description="Frames per clip.")
    width_px: int = Field(ge=64, le=640, multiple_of=16)
    height_px: int = Field(ge=64, le=480, multiple_of=16)
