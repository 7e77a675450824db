"""Parameters of the control that sees no picture."""

from pydantic import Field

from moclip.params.heads.c_values import CValues
from moclip.params.section import Section


class MetadataOnlyParams(Section):
    """Section `metadata_only`: logistic regression on what the container gives away."""

    c_values: CValues = Field(description="As of `linear_probe`.")
