"""Parameters of the evaluation."""

from typing import Any

from pydantic import Field, model_validator

from moclip.params.section import Section


class EvaluateParams(Section):
    """Section `evaluate`: how sure intervals and words are."""

    confidence_pct: float = Field(gt=50, lt=100, description="Confidence level in percent.")
    fdr_pct: float = Field(gt=0, lt=50, description="Rate of false discoveries by class, in percent.")

    @model_validator(mode="before")
    @classmethod
    def _no_resamples(cls, values: Any) -> Any:
        if isinstance(values, dict) and "resamples" in values:
            raise ValueError("resamples is gone, for intervals come from a formula without draws; delete the line")
        return values
