"""Parameters of the controls: classifiers that say what something simpler than fusion gives."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from moclip.params.section import Section


def _rising(values: list[float]) -> list[float]:
    if values != sorted(set(values)):
        raise ValueError("must rise from one entry to the next")
    return values


CValues = Annotated[list[Annotated[float, Field(gt=0, le=1e12)]], Field(min_length=1), AfterValidator(_rising)]


class LinearProbeParams(Section):
    """Section `linear_probe`: logistic regression on CLIP features."""

    c_values: CValues = Field(description="Inverse strengths of regularisation to choose from on validation.")
    refit: Literal["train", "train_val"] = Field(description="Videos that the chosen one is fitted on.")


class MetadataOnlyParams(Section):
    """Section `metadata_only`: logistic regression on what the container gives away."""

    c_values: CValues = Field(description="As of `linear_probe`.")


class ScoreAverageParams(Section):
    """Section `score_average`: late average of CLIP and motion probabilities."""

    clip_head: Literal["clip_probe", "zero_shot"]
    motion_weight: float | None = Field(ge=0, le=1, description="Motion's share; null chooses it on validation.")
    weight_steps: int = Field(ge=1, le=1000, description="Equal steps from 0 to 1 to choose from.")
