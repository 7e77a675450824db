"""Parameters of the evaluation."""

from pydantic import Field

from moclip.params.section import Section


class EvaluateParams(Section):
    """Section `evaluate`: uncertainty of an accuracy, by bootstrap over groups."""

    resamples: int = Field(ge=100, le=1_000_000, description="Bootstrap resamples of the groups.")
    confidence_pct: float = Field(gt=50, lt=100, description="Confidence level in percent.")
