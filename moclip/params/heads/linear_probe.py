"""Parameters of the linear probe."""

from typing import Literal

from pydantic import Field

from moclip.params.heads.c_values import CValues
from moclip.params.section import Section


class LinearProbeParams(Section):
    """Section `linear_probe`: logistic regression on CLIP features."""

    c_values: CValues = Field(description="Inverse strengths of regularisation to choose from on validation.")
    refit: Literal["train", "train_val"] = Field(description="Videos that the chosen one is fitted on.")
