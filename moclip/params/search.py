"""Parameters of the search for moments."""

from typing import Literal

from pydantic import Field

from moclip.params.section import Section


class SearchParams(Section):
    """Section `search`: how long videos are composed, and how their curves are cut."""

    every_s: float = Field(ge=0.01, le=60, description="Seconds of a step.")
    chunk_s: float = Field(gt=0, le=3600, description="Seconds that a chunk is meant to have.")
    chunks: Literal["query", "maxima", "threshold", "shots", "uniform", "published"] | None = Field(
        description="How the row `query` cuts; null: chosen on validation."
    )
    merge: int | None = Field(ge=1, le=64, description="Best chunks that become one where they touch; null: chosen.")
    runs: int = Field(ge=2, le=1000, description="Groups in one composed video, at most.")
