"""Parameters of the hardware and its arithmetic."""

from typing import Literal

from pydantic import Field

from moclip.params.section import Section


class ComputeParams(Section):
    """Section `compute`: where and how exactly networks run."""

    kernels: Literal["portable", "native"] = Field(
        description="`portable` gives the same bytes on every x86-64 machine with AVX2; `native` is the fastest here."
    )
    device: Literal["cpu", "cuda", "auto"]
    amp: Literal[False, "bf16", "fp16"] = Field(description="Type of automatic mixed precision, or false.")
    channels_last: bool
    deterministic: Literal[True, "warn", False]
