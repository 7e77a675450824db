"""Parameters of the videos: where they come from, which of them, and what is held out for validation."""

import re
from typing import Literal

from pydantic import Field, field_validator

from moclip.schema.base import Section


class DataParams(Section):
    """Section `data`: read by the stage `download`."""

    source: Literal["demo", "ucf101", "folder"]
    root: str = Field(min_length=1, description="Directory of the videos; relative to the repository.")
    subset: Literal["full", "present"] = Field(
        description="`full` refuses a folder that lacks listed videos; `present` takes what is there."
    )
    classes: list[str] | None = Field(description="Only these classes, in class-index order.")
    val_groups: int = Field(ge=0, le=12, description="Groups per class of the train list held out.")
    group_pattern: str = Field(
        description="Regular expression whose group 1 is the group in a file stem (source `folder`)."
    )

    @field_validator("group_pattern")
    @classmethod
    def _one_capture(cls, pattern: str) -> str:
        try:
            captures = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if captures != 1:
            raise ValueError(f"needs exactly one capture group, has {captures}")
        return pattern

    @field_validator("classes")
    @classmethod
    def _at_least_two(cls, classes: list[str] | None) -> list[str] | None:
        if classes is not None and (len(set(classes)) != len(classes) or len(classes) < 2):
            raise ValueError("needs at least two classes, each named once; null takes all")
        return classes


class DemoParams(Section):
    """Section `demo`: size of the generated data set; read by `download` when `data.source` is demo."""

    groups: int = Field(ge=3, le=24, multiple_of=3, description="Groups per class, a third tests.")
    clips_per_group: int = Field(ge=1, le=20)
    frames: int = Field(ge=4, le=500, description="Frames per clip.")
    width_px: int = Field(ge=64, le=640, multiple_of=16)
    height_px: int = Field(ge=64, le=480, multiple_of=16)
