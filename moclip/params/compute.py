"""Parameters of the hardware and its arithmetic."""

from typing import Literal

from pydantic import Field

from moclip.params.section import Section


class ComputeParams(Section):
    """Section `compute`: where and how exactly networks run; read by `train_motion`, the first two by `cache_clip`."""

    device: Literal["cpu", "cuda", "auto"]
    amp: Literal[False, "bf16", "fp16"] = Field(description="Type of automatic mixed precision, or false.")
    channels_last: bool
    deterministic: Literal[True, "warn", False]
