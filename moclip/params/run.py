"""Top-level parameters that belong to no single stage: seed, splits and heads."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

SplitNumber = Literal[1, 2, 3]
Head = Literal[
    "zero_shot",
    "motion_only",
    "metadata_only",
    "clip_probe",
    "linear_probe",
    "score_average",
    "motion_permuted",
    "fusion",
]


def _distinct(values: list[int] | list[str]) -> list[int] | list[str]:
    if len(set(values)) != len(values):
        raise ValueError("each entry may stand here once")
    return values


Seed = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Splits = Annotated[list[SplitNumber], Field(min_length=1), AfterValidator(_distinct)]
Heads = Annotated[list[Head], Field(min_length=1), AfterValidator(_distinct)]
