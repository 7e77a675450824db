"""Parameters of the frames that are looked at apart: by heads, and in a search."""

from typing import Literal, Self

from pydantic import Field, model_validator

from moclip.params.section import Section


class FramesParams(Section):
    """Section `frames`: which frames of a video are kept apart, what of them, and which of those a head sees."""

    rule: str = Field(
        pattern=r"^uniform:([1-9]|[1-5]\d|6[0-4])$",
        description="`uniform:K`: the centres of K segments, K from 1 to 64.",
    )
    grid: int = Field(ge=1, le=32, description="Places a side of each frame's tokens in the joint space.")
    path: Literal["value", "last"] = Field(
        description="Tokens by the last attention's values, or the last block's own output (ViT alone)."
    )
    cut: int = Field(ge=1, le=64, description="Blocks above the kept residual stream.")
    select: Literal["uniform", "attention", "attention_unit", "attention_lowest", "motion", "still", "prompt"] = Field(
        description="What chooses `keep` of the frames."
    )
    keep: int | None = Field(ge=1, le=64, description="Frames that heads see; null for all.")
    order: Literal["time", "shuffled"] = Field(description="Of the frames of held-out videos.")

    @property
    def count(self) -> int:
        """Frames that the store has of each video."""
        return int(self.rule.partition(":")[2])

    @model_validator(mode="after")
    def _keeps_some(self) -> Self:
        if self.keep is not None and self.keep > self.count:
            raise ValueError(
                f"keep: {self.keep} of the {self.count} frames of rule {self.rule}; keep fewer, or raise K"
            )
        return self


class SearchParams(Section):
    """Section `search`: how long videos are composed, and how their curves are cut."""

    every_s: float = Field(ge=0.01, le=60, description="Seconds of a step.")
    chunk_s: float = Field(gt=0, le=3600, description="Seconds that a chunk is meant to have.")
    chunks: Literal["query", "maxima", "threshold", "shots", "uniform", "published"] | None = Field(
        description="How the row `query` cuts; null: chosen on validation."
    )
    merge: int | None = Field(ge=1, le=64, description="Best chunks that become one where they touch; null: chosen.")
    runs: int = Field(ge=2, le=1000, description="Groups in one composed video, at most.")
