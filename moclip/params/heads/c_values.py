"""Inverse strengths of regularisation that a logistic regression chooses from."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _rising(values: list[float]) -> list[float]:
    if values != sorted(set(values)):
        raise ValueError("must rise from one entry to the next")
    return values


CValues = Annotated[list[Annotated[float, Field(gt=0, le=1e12)]], Field(min_length=1), AfterValidator(_rising)]
