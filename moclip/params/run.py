"""Top-level parameters that belong to no single stage: seed and splits."""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from moclip.base.files import fingerprint
from moclip.params.section import Section

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


class SeedsParams(Section):
    """Section `seeds`: how many trainings there are of each head, and of the motion network that they build on."""

    heads: int = Field(ge=1, le=100, description="Trainings of a head.")
    motion: int = Field(ge=1, le=100, description="Trainings of the motion network.")

    @model_validator(mode="after")
    def _every_network_is_taken(self) -> Self:
        if self.motion > self.heads:
            raise ValueError(
                f"motion: {self.motion} is more than heads: {self.heads}, and some trainings of the motion network "
                "would be taken by no head; raise heads"
            )
        return self


def repeat_seed(seed: int, repeat: int) -> int:
    """The seed of a repeat of a training, of 31 bits; that of the first one, 0, is the seed itself.

    Those of one seed are unlike those of the next, so that trainings of both share no draw.
    """
    return int(fingerprint(seed, "repeat", repeat)[:15], 16) >> 29 if repeat else seed
