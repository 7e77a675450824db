"""Top-level parameters that belong to no single stage: seed and splits."""

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

T = TypeVar("T")
SplitNumber = Literal[1, 2, 3]


def _distinct(values: list[T]) -> list[T]:
    if len(set(values)) != len(values):
        raise ValueError("each entry may stand here once")
    return values


Seed = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Splits = Annotated[list[SplitNumber], Field(min_length=1), AfterValidator(_distinct)]
Related = Annotated[list[Literal["frames"]], AfterValidator(_distinct)]
"""Sets of stages that exist beside the usual ones."""
